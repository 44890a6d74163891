"""A verdict as a colleague's note: labelled rows that every format lays out in its own way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from validator.model import CoverageState, Finding, Run, SecondLook, Signal, Status, Verdict
from validator.report.text import duration, plain

MOST_SEEN: Final = 20
"""How many lines of what was seen are shown for one finding."""
QUERY_LIMIT: Final = 4000
"""A query is there to be copied: it is shown whole, up to this many characters."""

_ADVICE: Final[Mapping[CoverageState, str]] = {
    CoverageState.OPEN: "give the run more time: raise `deadline`, or the source's `lag_budget`",
    CoverageState.UNPROVEN: "find out why the source gave no fresh, full answer, then run again",
    CoverageState.UNREACHABLE: "make the source reachable from here, then run again",
    CoverageState.ABSENT: "configure a source for this signal, or remove the check",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled line; `query` tells that it is to be copied as it is."""

    label: str
    text: str
    query: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """What one finding says; `title` is empty where the verdict's summary says it already."""

    title: str
    rows: tuple[Row, ...]


def headline(verdict: Verdict) -> str:
    """Return what stands beside the verdict's name."""
    summary = plain(verdict.summary)
    if verdict.status is Status.PASS:
        return f"{summary} ({verdict.examined} examined)"
    if verdict.status is Status.BLOCKED:
        by = f"by {plain(verdict.blocked_by)}"
        return f"{by}: {summary}" if summary else by
    return summary if verdict.level == "required" else f"({verdict.level}) {summary}"


def notes(run: Run, verdict: Verdict) -> list[Note]:
    """Return everything below the headline: each finding, then what the verdict itself adds."""
    if verdict.status is Status.BLOCKED:
        return []  # what it found only repeats what the other says
    titled = len(verdict.findings) > 1
    found = [
        Note(
            plain(finding.summary) if titled or finding.summary != verdict.summary else "",
            tuple(_finding_rows(finding)),
        )
        for finding in verdict.findings
    ]
    rest = tuple(_verdict_rows(run, verdict))
    if rest and len(found) == 1:  # one finding and its verdict are one note, the query last
        only = found[0]
        asks = tuple(row for row in only.rows if row.query)
        kept = tuple(row for row in only.rows if not row.query)
        return [Note(only.title, (*kept, *rest, *asks))]
    return [*found, Note("", rest)] if rest else found


def remarks(run: Run) -> list[str]:
    """Return what is to be said of the run and its sources, though it decides nothing."""
    said = [plain(text) for text in run.findings]
    for source in run.evidence.sources:
        said += [f"{plain(source.name)}: {plain(text)}" for text in source.findings]
    if run.second_look is not None:
        said.append(_looked_again(run, run.second_look))
    if run.interrupted:
        said.append("the run was interrupted before it was done")
    return said


def _looked_again(run: Run, look: SecondLook) -> str:
    """Say what a second look came to."""
    after = f"looked at once more {duration(look.at - run.finished)} after the verdicts"
    if not look.spans and not look.lines and not look.revisions:
        return f"{after}: nothing new"
    late = f"{look.spans} spans and {look.lines} log lines had come late"
    if not look.revisions:
        return f"{after}: {late}, no verdict changed"
    names = ", ".join(plain(revision.name, 40) for revision in look.revisions)
    return f"{after}: {late}; revised: {names}"


def _finding_rows(finding: Finding) -> Iterator[Row]:
    """Lay out a finding; what it leaves empty is left out."""
    if finding.expected:
        yield Row("expected", plain(finding.expected))
    label = "seen"
    for line in finding.seen[:MOST_SEEN]:
        yield Row(label, plain(line))
        label = ""
    if len(finding.seen) > MOST_SEEN:
        yield Row("", f"… and {len(finding.seen) - MOST_SEEN} more lines")
    if finding.likely:
        yield Row("likely", plain(finding.likely))
    if finding.query:
        yield Row("ask", plain(finding.query, QUERY_LIMIT), query=True)


def _verdict_rows(run: Run, verdict: Verdict) -> Iterator[Row]:
    """Lay out what a verdict says beyond its findings; of a pass only its notes."""
    for revision in run.second_look.revisions if run.second_look else ():
        if revision.name == verdict.name:
            yield Row("revised", f"was {revision.was} ({plain(revision.was_code, 80)}) at first")
    if verdict.status is Status.INCONCLUSIVE:
        yield from _why(run, verdict)
    if verdict.status is Status.PENDING:
        yield Row("why", "the run ended before this could be decided")
    if verdict.status in (Status.FAIL, Status.INCONCLUSIVE) and verdict.catches:
        yield Row("catches", plain(verdict.catches))
    for text in verdict.notes[:MOST_SEEN]:
        yield Row("note", plain(text))


def _why(run: Run, verdict: Verdict) -> Iterator[Row]:
    """Say which evidence was not good enough to judge by, and what to do about it."""
    advice = []
    for signal in verdict.signals:
        coverage = run.evidence.covered(signal)
        if not coverage.state.complete and signal is not Signal.JOB:  # the target's word
            yield Row("why", plain(f"{signal} are {coverage.state}: {coverage.reason}"))
            advice.append(_ADVICE[coverage.state])
    wanted = set(verdict.signals)
    for source in run.evidence.sources:
        if source.error and wanted.intersection(source.signals):
            kind = f"{source.error_kind}: " if source.error_kind else ""
            yield Row("why", plain(f"{source.name}: {kind}{source.error}"))
    for text in dict.fromkeys(advice):
        yield Row("do", text)
