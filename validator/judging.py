"""Judging while evidence comes in: anew whenever it, the job or its completeness has changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from validator.gather import GATHERED, Gather
from validator.judge import Judge
from validator.model import Coverage, CoverageState, Evidence, Job, Signal, Status, Verdict


@dataclass(slots=True)
class Judging:
    """The verdicts on what has been gathered so far.

    `tell` is told of each verdict that is decided. `stale` says that there is new evidence.
    """

    judge: Judge
    gather: Gather
    tell: Callable[[str, str], None]
    stale: bool = True
    verdicts: tuple[Verdict, ...] = ()
    _judged: Job | None = None
    _missing: frozenset[Signal] = frozenset(GATHERED)
    _covered: Mapping[Signal, Coverage] = field(default_factory=dict)

    @property
    def decided(self) -> bool:
        """Whether there are verdicts, and none is pending."""
        return bool(self.verdicts) and not any(
            verdict.status is Status.PENDING for verdict in self.verdicts
        )

    def update(self, job: Job, now: float) -> None:
        """Judge, if the evidence, the job or the completeness of a signal has changed."""
        if self.stale or job is not self._judged:
            self.stale = True
            self._missing = self._misses(job, now)
            self.gather.miss(self._missing, job, now)
        covered = self.gather.coverage(job, now, self._missing)
        if self.stale or covered != self._covered:
            self.stale, self._judged, self._covered = False, job, covered
            self._announce(self.judge.verdicts(self.gather.evidence(job, now, covered)), job)

    def final_evidence(self, job: Job, now: float) -> Evidence:
        """Return the evidence on which the last verdicts stand, or would stand."""
        changed = self.stale or job is not self._judged
        covered = self.gather.coverage(job, now, self._missing) if changed else self._covered
        return self.gather.evidence(job, now, covered)

    def _misses(self, job: Job, now: float) -> frozenset[Signal]:
        """Return the signals of which some check still misses something that may come."""
        waiting = dict.fromkeys(GATHERED, Coverage(CoverageState.OPEN, "", ()))
        evidence = self.gather.evidence(job, now, waiting)
        return frozenset(
            signal
            for verdict in self.judge.verdicts(evidence)
            if any(finding.absent for finding in verdict.findings)
            for signal in verdict.signals
        )

    def _announce(self, verdicts: tuple[Verdict, ...], job: Job) -> None:
        before = {verdict.name: verdict.status for verdict in self.verdicts}
        self.verdicts = verdicts
        for verdict in verdicts:
            decided = verdict.status is not Status.PENDING
            if decided and before.get(verdict.name) is not verdict.status:
                self.tell("verdict", f"{verdict.status} {verdict.name}")
                self.gather.decided(verdict.signals, job)


def verdicts_of_record(judge: Judge, evidence: Evidence) -> tuple[Verdict, ...]:
    """Judge evidence to which nothing more will come: what is still pending is inconclusive."""
    return tuple(
        replace(
            verdict,
            status=Status.INCONCLUSIVE,
            code="undecided",
            summary=f"the run ended before this could be decided: {verdict.summary}",
        )
        if verdict.status is Status.PENDING
        else verdict
        for verdict in judge.verdicts(evidence)
    )
