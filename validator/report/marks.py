"""What the findings of a run put on its waterfall: marks, gaps and rows of what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from validator.model import Finding, Run
from validator.report.axis import Axis
from validator.report.text import duration, plain

LOST: Final = "context_lost"
"""The code of a finding whose spans are the last before and the first after a break."""
_SERVICE: Final = "spans:"
"""How a fact begins that says which service's spans are missing."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A finding's number and summary, where it concerns a span."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Gap:
    """Where the context was lost between two traces, as a stretch of the axis."""

    number: int
    text: str
    x: float
    width: float
    took: str


@dataclass(frozen=True, slots=True)
class Ghost:
    """What a finding says is missing: a row without a bar."""

    number: int
    name: str


def findings_of(run: Run) -> list[Finding]:
    """Return the findings in the order in which they are numbered, from 1."""
    return [finding for verdict in run.verdicts for finding in verdict.findings]


def marks_of(run: Run) -> dict[str, tuple[Mark, ...]]:
    """Return the marks of each span id; findings are numbered through the run from 1."""
    marks: dict[str, tuple[Mark, ...]] = {}
    for number, finding in enumerate(findings_of(run), start=1):
        for span_id in dict.fromkeys(finding.spans):
            mark = Mark(number, plain(finding.summary, 200))
            marks[span_id] = (*marks.get(span_id, ()), mark)
    return marks


def gaps_of(run: Run, axis: Axis, order: Sequence[str]) -> dict[str, tuple[Gap, ...]]:
    """Return the gaps in front of each trace: from the last span before to the first after."""
    rank = {trace_id: number for number, trace_id in enumerate(order)}
    gaps: dict[str, tuple[Gap, ...]] = {}
    for number, finding in enumerate(findings_of(run), start=1):
        if finding.code != LOST:
            continue
        named = [span for span in run.evidence.spans if span.span_id in finding.spans]
        named.sort(key=lambda span: (rank[span.trace_id], span.start))
        for before, after in pairwise(named):
            if before.trace_id == after.trace_id:
                continue
            start, end = sorted((before.end, after.start))
            x, width = axis.place(start, end)
            took = duration((after.start - before.end) / 1e9)
            gap = Gap(number, plain(finding.summary, 200), x, width, took)
            gaps[after.trace_id] = (*gaps.get(after.trace_id, ()), gap)
    return gaps


def ghosts_of(run: Run) -> tuple[Ghost, ...]:
    """Return a row for each service that a finding says has no spans."""
    ghosts = {
        fact.removeprefix(_SERVICE): number
        for number, finding in reversed(list(enumerate(findings_of(run), start=1)))
        for fact in finding.missing
        if fact.startswith(_SERVICE)
    }
    pairs = sorted((number, name) for name, number in ghosts.items())
    return tuple(Ghost(number, plain(name, 80)) for number, name in pairs)
