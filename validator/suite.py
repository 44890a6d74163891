"""A suite as it is judged: what the loader made of the YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class CheckSpec:
    """One check of a suite.

    `params` are the parameters as written (templates unrendered), already validated against the
    kind's model with example values. `level` is `required`, `advisory` or `quarantined`; only
    required ones set the exit code. `where` is `file:line`, for messages.
    """

    kind: str
    name: str
    params: Mapping[str, Any]
    catches: str
    level: str
    where: str


@dataclass(frozen=True, slots=True)
class Suite:
    """A suite: one job, and what its telemetry has to be.

    `deadline` is seconds from submission to the job's end; `settle` seconds without anything new
    after which evidence that misses nothing counts as complete. `skew` is the tolerance in
    seconds between the clocks of different hosts. `concurrent` declares that the suite's job
    leaves alone what other suites of the target measure, so that it may run beside them. `gate`
    names a check without whose pass nothing else of the suite is judged, `expected_version` what
    it looks for; empty for none.
    """

    name: str
    ring: int
    target: str
    job: Mapping[str, Any]
    deadline: float
    settle: float
    skew: float
    concurrent: bool
    checks: tuple[CheckSpec, ...]
    path: str
    gate: str = ""
    expected_version: str = ""
