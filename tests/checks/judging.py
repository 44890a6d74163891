"""Judging in one call, as a suite would."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from checks import CHECKS
from validator.model import CoverageState, Evidence, Finding, Status, Verdict

INCOMPLETE = (
    CoverageState.OPEN,
    CoverageState.UNPROVEN,
    CoverageState.UNREACHABLE,
    CoverageState.ABSENT,
)

WAITS_FOR_TRACES = pytest.mark.parametrize(
    ("traces", "status"),
    [
        (CoverageState.OPEN, Status.PENDING),
        (CoverageState.UNREACHABLE, Status.INCONCLUSIVE),
        (CoverageState.EXHAUSTED, Status.FAIL),
        (CoverageState.ABSENT, Status.FAIL),
    ],
)
"""What becomes of a finding about logs that spans may take back, by the state of the traces."""


def judge(kind: str, params: dict[str, Any], evidence: Evidence) -> Verdict:
    """Return the verdict of a check with these parameters, as written in a suite."""
    check = CHECKS[kind]
    return check.evaluate(check.params.model_validate(params), evidence)


def only(verdict: Verdict) -> Finding:
    """Return the one finding."""
    (finding,) = verdict.findings
    return finding


def told(verdict: Verdict) -> str:
    """Return everything that a verdict says, as one text."""
    said = [verdict.summary, *verdict.notes]
    for finding in verdict.findings:
        said += [finding.summary, finding.expected, *finding.seen, finding.likely, finding.query]
    return "\n".join(said)


def passes(verdict: Verdict) -> bool:
    """Whether it is a pass; a pass has looked at something."""
    if verdict.status is Status.PASS:
        assert verdict.examined > 0
        assert not verdict.findings
    return verdict.status is Status.PASS


def refused(kind: str, params: dict[str, Any]) -> str:
    """Return why the parameters are refused when a suite is loaded."""
    with pytest.raises(ValidationError) as caught:
        CHECKS[kind].params.model_validate(params)
    return str(caught.value)
