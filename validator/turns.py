"""Beside production: a run begins when the target may have another job, and it is our turn.

What a job does to metrics can be told from another's only if no other is under way. So all of a
run is made under the target's lease, from what is read before the job to the cleaning up.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from validator import __version__
from validator.config_targets import TargetSettings
from validator.errors import SubmitError
from validator.judge import Judge
from validator.judging import verdicts_of_record
from validator.model import Coverage, CoverageState, Evidence, Job, JobState, Run, Signal
from validator.plan import Parts, Plan
from validator.ports import Clock
from validator.run import SuiteRun
from validator.submit.lease import Lease, NotOurTurnError, StoppedError, Tenure, Waiting
from validator.submit.rate import RateLimit
from validator.submit.sender import Means
from validator.submit.sweep import sweep

_HURRY = 1.5
"""Seconds for giving a lease back after an interrupt; it runs out by itself. With the 5 s for
cleaning up before it that ends within the 10 s that Docker waits after its SIGTERM."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A run that was made in its turn, and what can look at it again, if anything can."""

    run: Run
    suite_run: SuiteRun | None

    def remarked(self, *findings: str) -> Turn:
        """Return the same with findings about the run."""
        return Turn(replace(self.run, findings=(*findings, *self.run.findings)), self.suite_run)


@dataclass(slots=True)
class Entered:
    """A turn that lasts until it is left: between the two a run is made.

    `findings` are what went wrong before it; `lost` is called when the lease is lost meanwhile.
    """

    lost: Callable[[], None]
    lease: Lease | None = None
    tenure: Tenure | None = None
    findings: tuple[str, ...] = ()

    @property
    def gone(self) -> str:
        """Return how the lease was lost, empty if it was not: then no sample can be believed."""
        return self.tenure.lost if self.tenure else ""

    def leave(self, within: float = math.inf) -> str:
        """Let others have their turn, within so many seconds; return what went wrong.

        `gone` is certain afterwards.
        """
        if self.lease is None or self.tenure is None:
            return ""
        return self.lease.leave(self.tenure, self.lost, within)


@dataclass(slots=True)
class _Before:
    """What stands before the runs of one target."""

    name: str
    settings: TargetSettings
    means: Means
    lease: Lease | None
    rate: RateLimit | None
    swept: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def await_rate(self, waiting: Waiting, *, take: bool) -> None:
        """Wait until another job may be sent; with `take` it is counted."""
        if self.rate is None:
            return
        while left := self.rate.take() if take else self.rate.wait():
            waiting.tell(f"{left:.1f} s: `{self.name}` gets at most {self.rate.rate} jobs")
            waiting.sleep(left)

    def sweep_once(self, plan: Plan) -> tuple[str, ...]:
        """Sweep before the first run; return a finding if that failed."""
        with self.lock:
            if self.swept:
                return ()
            self.swept = True
        try:
            sweep(self.name, self.settings, self.means, plan.mark)
        except SubmitError as error:
            return (f"sweeping failed: {error}",)
        return ()

    def enter(self, plan: Plan, waiting: Waiting, lost: Callable[[], None]) -> Entered:
        """Return when it is our turn; whoever enters has to leave."""
        self.await_rate(waiting, take=False)
        entered = Entered(lost)
        if self.lease is not None:
            entered.tenure = self.lease.take(plan.mark, lost, waiting)
            entered.lease = self.lease
        try:
            self.await_rate(waiting, take=True)
            entered.findings = self.sweep_once(plan)
        except BaseException:
            entered.leave(_HURRY)
            raise
        return entered

    def run(self, plan: Plan, parts: Parts, waiting: Waiting, lost: Callable[[], None]) -> Turn:
        """Make a run in its turn; `lost` ends it early."""
        entered = self.enter(plan, waiting, lost)
        remark, within = "", _HURRY
        try:
            suite_run = SuiteRun(plan, parts)
            turn = Turn(suite_run.make(), suite_run).remarked(*entered.findings)
            within = _HURRY if turn.run.interrupted else math.inf
        finally:
            remark = entered.leave(within)
        if remark:
            turn = turn.remarked(remark)
        if entered.gone:  # a second look would take its samples for this run's again
            return Turn(without_samples(turn.run, plan.judge, entered.gone), None)
        return turn


class Turns:
    """Makes runs, each at its time. One for all runs of a process; any thread may ask."""

    def __init__(self, clock: Clock, holder: str) -> None:
        """Take leases as `holder`, a name that no other process has."""
        self._clock = clock
        self._holder = holder
        self._lock = threading.Lock()
        self._targets: dict[str, _Before] = {}

    def close(self) -> None:
        """Let go of connections."""
        for before in self._targets.values():
            before.means.session.close()

    def before(self, name: str, settings: TargetSettings, means: Means) -> None:
        """Know a target; its own `means` are used by all of its runs."""
        lease = Lease(name, settings, means, self._holder) if settings.lease else None
        rate = RateLimit(settings.rate_limit, self._clock) if settings.rate_limit else None
        self._targets[name] = _Before(name, settings, means, lease, rate)

    def enter(self, plan: Plan, waiting: Waiting, lost: Callable[[], None]) -> Entered:
        """Return when a run of this plan may begin, for who makes it step by step.

        Raises `NotOurTurnError` when another validator does not let us, `StoppedError` when all is
        to stop.
        """
        return self._targets[plan.target.name].enter(plan, waiting, lost)

    def run(
        self, plan: Plan, parts: Parts, lost: Callable[[], None], stopped: threading.Event
    ) -> Turn | None:
        """Make a run when it may be made; None when `stopped` came before.

        A run that another validator kept from beginning is one whose job was not submitted. `lost`
        ends a run in the middle.
        """
        if plan.existing is not None:
            suite_run = SuiteRun(plan, parts)
            return Turn(suite_run.make(), suite_run)
        before = self._targets[plan.target.name]

        def tell(what: str) -> None:
            parts.observer.on_event(plan.mark.run_id, plan.suite.name, "waiting", what)

        try:
            return before.run(plan, parts, Waiting(stopped.wait, tell), lost)
        except StoppedError:
            return None
        except NotOurTurnError as error:
            return Turn(not_submitted(plan, str(error), self._clock.now()), None)


def without_samples(run: Run, judge: Judge, why: str) -> Run:
    """Judge a run anew without what metrics showed: another validator's job may be in it."""
    nothing = Coverage(CoverageState.UNREACHABLE, f"samples cannot be told apart: {why}", ())
    evidence = replace(
        run.evidence, samples=(), coverage={**run.evidence.coverage, Signal.METRICS: nothing}
    )
    verdicts = verdicts_of_record(judge, evidence)
    return replace(run, evidence=evidence, verdicts=verdicts, findings=(*run.findings, why))


def not_submitted(plan: Plan, why: str, now: float) -> Run:
    """Return the run of a job that was not sent: inconclusive, with the reason."""
    nothing = Coverage(CoverageState.OPEN, "the job was not submitted", ())
    evidence = Evidence(
        job=Job(
            id="",
            run_id=plan.mark.run_id,
            target=plan.target.name,
            state=JobState.NOT_SUBMITTED,
            status="",
            detail=why,
            fields=plan.mark.context,
            traces=(),
            sent_parent="",
            existing=False,
            submitted=None,
            ended=None,
            sampling=plan.target.sampling,
        ),
        spans=(),
        logs=(),
        samples=(),
        alerts=(),
        sources=(),
        coverage=dict.fromkeys(Signal, nothing),
        job_id_keys=plan.target.job_id_keys,
        skew=plan.suite.skew,
        now=now,
    )
    return Run(
        id=plan.mark.run_id,
        suite=plan.suite.name,
        target=plan.target.name,
        ring=plan.suite.ring,
        version=__version__,
        started=now,
        finished=now,
        verdicts=verdicts_of_record(plan.judge, evidence),
        findings=(),
        evidence=evidence,
        interrupted=False,
        expected_version=plan.suite.expected_version,
    )
