"""A job whose run is made step by step, as a test asks for what it left.

It is a run as every other: what is asked when, and when evidence is complete, is the run's own
knowledge. Between two questions of a test it stands still; whoever asks drives it on.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from checks import CHECKS
from validator import __version__
from validator.follow import Step
from validator.judge import Judge
from validator.model import CoverageState, Evidence, Job, JobState, Run, Signal, Status, Verdict
from validator.pytest_plugin.errors import Inconclusive, JobFailed
from validator.pytest_plugin.wishes import WISHES
from validator.run import SuiteRun
from validator.suite import CheckSpec
from validator.turns import Entered

_LONGEST_WAIT = 3600.0
_HURRY = 1.5
"""Seconds for giving the lease back after an interrupt (`validator/turns.py`)."""
_READ = (Signal.TRACES, Signal.LOGS, Signal.METRICS)
_OVER_EARLY = (JobState.REFUSED, JobState.TIMED_OUT)


@dataclass(eq=False, repr=False)
class Observed(SuiteRun):
    """One job: submitted, followed, looked at, cleaned up. Any thread may ask.

    `disturbed` says why samples are not known to be of this job alone, empty if they are. `read`
    is the evidence in which metrics were complete, kept from before the next job was sent.
    """

    entered: Entered | None = None
    open: bool = True
    disturbed: str = ""
    read: Evidence | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)
    notes: dict[str, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Have every signal asked for from the beginning: nobody knows what a test will want."""
        super().__post_init__()
        for channel in self.gather.channels:
            channel.wanted = channel.signal in _READ

    def __repr__(self) -> str:
        """Name it; its configuration is nobody's business in a traceback."""
        return f"<{self.name()}>"

    @property
    def job(self) -> Job:
        """Return what is known of the job."""
        return self.follower.job

    @property
    def job_id(self) -> str:
        """Return the job's id."""
        return self.follower.job.id

    def begin(self) -> None:
        """Read what metrics are, then submit; raises `JobFailed` when the target refuses."""
        __tracebackhide__ = True
        with self.lock:
            self._begin()
            self._drive(lambda: self.follower.submitted)
            if self.job.state is JobState.REFUSED:
                raise JobFailed(
                    f"the target `{self.job.target}` refused the job: {self.job.detail}"
                )

    def completed(self, state: str = "any", deadline: float | None = None) -> Job:
        """Drive on to the job's end; raises `JobFailed` if that is another than `state`."""
        __tracebackhide__ = True
        with self.lock:
            if deadline is not None:
                self.follower.deadline = deadline
            if self.open:
                self._catch_up()
                self._drive(lambda: self.follower.step is Step.ENDED)
            job = self.job
        known = job.state in (JobState.PASSED, JobState.FAILED)
        if not known and job.state is not JobState.UNKNOWN and job.state not in _OVER_EARLY:
            raise Inconclusive(f"{self.name()} had not ended when its test did")
        if job.state in _OVER_EARLY or (known and state not in ("any", job.state)):
            raise JobFailed(f"{self.name()} is {_how(job)}, not {_wanted(state)}")
        if job.state is JobState.UNKNOWN and state != "any":
            why = job.detail or "the target cannot be asked"
            raise Inconclusive(f"how {self.name()} ended is not known: {why}")
        return job

    def judged(self, wish: str, params: Mapping[str, Any]) -> Verdict | None:
        """Return the verdict on a wish; None where the test's end left it open."""
        __tracebackhide__ = True
        with self.lock:
            if not self.open and self.job.ended is None and self.job.state not in _OVER_EARLY:
                return None
            self.completed()
            if not self.open:
                return self._recalled(wish, params, self.seen())
            signals = frozenset(WISHES[wish].signals)
            self.judging.judge = _judge_of(wish, params)
            self.judging.stale = True
            self._all_due(self.parts.clock.now(), signals)  # the test may have done something since
            self._drive(lambda: not self._pending(wish) and not self._asking(signals))
            return self._verdict(wish)

    def judged_samples(self, wish: str, params: Mapping[str, Any]) -> Verdict | None:
        """Return the verdict on samples, which stands on `samples_seen`."""
        __tracebackhide__ = True
        with self.lock:
            self._lost()
            if self.disturbed:
                raise Inconclusive(
                    f"what {self.name()} did to metrics cannot be told: {self.disturbed}"
                )
            if self.read is None and not self.open:
                return None
            if self.read is not None:
                return self._recalled(wish, params, self.read)
            verdict = self.judged(wish, params)
            self._lost()
            return verdict

    def samples_seen(self) -> Evidence:
        """Return the evidence that samples are judged by."""
        return self.read or self.seen()

    def seen(self) -> Evidence:
        """Return all that has been gathered by now."""
        with self.lock:
            now = self.parts.clock.now() if self.open else self.finished
            return self.judging.final_evidence(self.job, now)

    def keep_samples(self) -> bool:
        """Before something else moves metrics: keep what they are, if they are complete."""
        with self.lock:
            if self.read is None and not self.disturbed:
                seen = self.seen()
                self.read = seen if seen.covered(Signal.METRICS).state.complete else None
            return self.read is not None

    def under_way(self) -> bool:
        """Whether what it does to metrics may be taken for another job's."""
        if self.open:
            return self.read is None
        sent, job = self.job.submitted, self.job
        now = self.parts.clock.now()
        return job.ended is None and sent is not None and now < sent + self.follower.deadline

    def end(self, *, interrupted: bool = False) -> None:
        """Remove what the job made, and let others have their turn."""
        with self.lock:
            if not self.open:
                return
            self.interrupted = interrupted
            try:
                self._leave()
            finally:
                self.open = False
                self.parts.executor.close()
                self.plan.target.submitter.close()
                within = _HURRY if interrupted else math.inf
                remark = self.entered.leave(within) if self.entered else ""
                self.findings |= {remark: None} if remark else {}
                self.keep_samples()
                self._lost()

    def run_of(self, *verdicts: Verdict) -> Run:
        """Return the run with these verdicts, for a report."""
        seen = self.seen()
        return Run(
            id=self.plan.mark.run_id,
            suite=self.plan.suite.name,
            target=self.plan.target.name,
            ring=self.plan.suite.ring,
            version=__version__,
            started=self.began,
            finished=seen.now,
            verdicts=verdicts,
            findings=tuple(self.findings),
            evidence=seen,
            interrupted=self.interrupted,
        )

    def name(self) -> str:
        """Name the job for people."""
        traces = ", ".join(ref.trace_id for ref in self.job.traces[:1])
        return f"job {self.job_id}" if self.job_id else f"the job of trace {traces or '?'}"

    # -- driving ----------------------------------------------------------------------------

    def _drive(self, done: Callable[[], bool]) -> None:
        """Go on as a run does, until `done`; first take what has come since it stood still."""
        self._turn(0.0)
        self._tick()
        while not done():
            wait = max(0.0, min(self._next_due() - self.parts.clock.now(), _LONGEST_WAIT))
            self._turn(wait)
            self._tick()

    def _catch_up(self) -> None:
        """Ask what became of the job before its deadline is looked at: nobody has asked meanwhile.

        A job that ended in time while its test did something else has not timed out.
        """
        follower, now = self.follower, self.parts.clock.now()
        if follower.expires is None or now < follower.expires:
            return
        deadline, follower.deadline = follower.deadline, math.inf
        self._turn(0.0)
        if follower.step is Step.FOLLOWING:
            follower.due = follower.due and now
            self._drive(lambda: follower.due is not None or follower.step is not Step.FOLLOWING)
        if follower.step is Step.FOLLOWING:
            follower.deadline = deadline

    def _asking(self, signals: frozenset[Signal]) -> bool:
        channels = (one for one in self.gather.channels if one.signal in signals)
        return any(one.in_flight for one in channels)

    def _verdict(self, wish: str) -> Verdict:
        return next(one for one in self.judging.verdicts if one.check == wish)

    def _pending(self, wish: str) -> bool:
        return self._verdict(wish).status is Status.PENDING

    def _recalled(self, wish: str, params: Mapping[str, Any], seen: Evidence) -> Verdict | None:
        """Judge evidence to which nothing more will come, unless more would have been waited for.

        What was complete for another question may lack what this one asks for.
        """
        verdicts = _judge_of(wish, params).verdicts(seen)
        verdict = next(one for one in verdicts if one.check == wish)
        state = seen.covered(verdict.signals[0]).state
        waits = any(one.absent for one in verdict.findings) and state is CoverageState.SETTLED
        return None if waits or verdict.status is Status.PENDING else verdict

    def _lost(self) -> None:
        """Believe no sample from when the lease was lost."""
        if self.entered is not None and self.entered.gone:
            self.read, self.disturbed = None, self.entered.gone


def _judge_of(wish: str, params: Mapping[str, Any]) -> Judge:
    return Judge({**CHECKS, **WISHES}, (CheckSpec(wish, wish, params, "", "required", wish),))


def _how(job: Job) -> str:
    detail = f": {job.detail}" if job.detail else ""
    return f"{job.state.value}{f' ({job.status})' if job.status else ''}{detail}"


def _wanted(state: str) -> str:
    return "at its end" if state == "any" else state
