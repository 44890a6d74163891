"""Small kinds of checks, for suites that are loaded in tests."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import Field, field_validator

from checks import CheckKind
from checks._params import Params
from validator.model import Evidence, Signal, Status, Verdict


class Filter(Params):
    """A section within parameters."""

    name: str = ""


class SpansOf(Params):
    """Parameters of several types."""

    service: str
    count: int = 1
    pattern: str = ""
    equals: Mapping[str, Any] = Field(default={})
    filter: Filter = Filter()

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        """Refuse what is no pattern, as real kinds do."""
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"is not a regular expression: {error}") from error
        return pattern


class AtMost(Params):
    """Parameters that can all be left out."""

    count: int = 1


def verdict(params: Params, evidence: Evidence) -> Verdict:
    """Pass whatever there is."""
    return Verdict(
        check="spans_of",
        name="",
        status=Status.PASS,
        code="",
        summary=f"{params} {len(evidence.spans)}",
        findings=(),
        notes=(),
        examined=1,
        signals=(Signal.TRACES,),
        blocked_by="",
        catches="",
    )


def breaks(params: Params, evidence: Evidence) -> Verdict:
    """Fail as a faulty check does."""
    del params
    raise LookupError(f"no spans in {len(evidence.spans)}")


KINDS: Mapping[str, CheckKind] = {
    "spans_of": CheckKind(SpansOf, verdict, (Signal.TRACES,)),
    "at_most": CheckKind(AtMost, verdict, (Signal.TRACES,)),
    "breaks": CheckKind(AtMost, breaks, (Signal.TRACES,)),
}
