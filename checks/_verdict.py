"""From findings to a verdict: the part of "Rules of judging" (DESIGN.md) that all checks share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from validator.model import (
    Coverage,
    CoverageState,
    Evidence,
    Finding,
    JobState,
    Signal,
    Status,
    Verdict,
)

_WORST_FIRST = (
    CoverageState.ABSENT,
    CoverageState.UNREACHABLE,
    CoverageState.OPEN,
    CoverageState.UNPROVEN,
    CoverageState.EXHAUSTED,
    CoverageState.SETTLED,
)

_CODES = {
    CoverageState.ABSENT: "no_source",
    CoverageState.UNREACHABLE: "source_unreachable",
    CoverageState.UNPROVEN: "source_unproven",
}


SAMPLED_OUT = "sampled_out"
"""The code of what left no spans because a sampler said so."""


@dataclass(frozen=True, slots=True)
class Examined:
    """What a check looked at and what it found.

    `count` is how many pieces of evidence it looked at, `summary` what a pass says, `notes` what
    is worth knowing though it decides nothing. `exists` is True when the check asks only that at
    least one exists, and one does: only then a pass needs no complete evidence. `doubts` are why
    complete evidence can still not be judged (there is no before, an expression breaks): without
    findings they make the verdict inconclusive.
    """

    kind: str
    signals: tuple[Signal, ...]
    count: int
    summary: str
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    exists: bool = False
    doubts: tuple[Finding, ...] = ()


def worst(evidence: Evidence, signals: Sequence[Signal]) -> Coverage:
    """Return the least trustworthy coverage among `signals`."""
    return min(
        (_covered(evidence, signal) for signal in signals),
        key=lambda coverage: _WORST_FIRST.index(coverage.state),
    )


def _covered(evidence: Evidence, signal: Signal) -> Coverage:
    """Return the signal's coverage; what the target says of its job is complete once it ended."""
    if signal is not Signal.JOB:
        return evidence.covered(signal)
    job = evidence.job
    over = job.state in (JobState.REFUSED, JobState.TIMED_OUT, JobState.NOT_SUBMITTED)
    if job.state is JobState.RUNNING or (job.ended is None and not over):
        return Coverage(CoverageState.OPEN, "the job has not ended", (job.target,))
    return Coverage(CoverageState.SETTLED, "the job is over", (job.target,))


def decide(evidence: Evidence, examined: Examined) -> Verdict:
    """Turn what a check found into its verdict.

    A final finding fails at once. Any other finding fails when the evidence is complete, waits
    while more may come, and is inconclusive where completeness cannot be had. Without findings
    and doubts the check passes by the same rule, or at once if that something exists is all it
    asks.
    """
    coverage = worst(evidence, examined.signals)
    status, code, summary = _outcome(examined, coverage)
    if status is Status.FAIL and _may_be_unsampled(evidence, examined):
        status, code, summary = (
            Status.INCONCLUSIVE,
            SAMPLED_OUT,
            "sampled out: no span was recorded",
        )
    return Verdict(
        check=examined.kind,
        name=examined.kind,
        status=status,
        code=code,
        summary=summary,
        findings=(*examined.findings, *examined.doubts),
        notes=examined.notes,
        examined=examined.count,
        signals=examined.signals,
        blocked_by="",
        catches="",
    )


def sampled_out(evidence: Evidence) -> bool:
    """Whether the logs of a job without spans say that its trace was not to be recorded."""
    flags = {line.sampled for line in evidence.logs if line.trace_id and line.sampled is not None}
    return not evidence.spans and flags == {False}


def _may_be_unsampled(evidence: Evidence, examined: Examined) -> bool:
    """Whether all that is wrong is that there are no spans, of a target that samples."""
    return (
        evidence.job.sampling != "all"
        and sampled_out(evidence)
        and all("spans" in (*one.needs, *one.missing) for one in examined.findings)
    )


def _outcome(examined: Examined, coverage: Coverage) -> tuple[Status, str, str]:
    findings = examined.findings
    if any(finding.final for finding in findings) or (findings and coverage.state.complete):
        first = next((finding for finding in findings if finding.final), findings[0])
        more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
        return Status.FAIL, first.code, first.summary + more
    if coverage.state.complete and examined.doubts:
        return Status.INCONCLUSIVE, examined.doubts[0].code, examined.doubts[0].summary
    if not findings and not examined.doubts and (coverage.state.complete or examined.exists):
        return Status.PASS, "ok", examined.summary
    if coverage.state is CoverageState.OPEN:
        return Status.PENDING, "pending", coverage.reason
    return Status.INCONCLUSIVE, _CODES[coverage.state], coverage.reason
