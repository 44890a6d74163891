"""The loop: submit a job, follow it, gather what it left, judge, record.

One thread decides; everything that leaves the process runs beside it in the executor, so a
source or a target that hangs holds up nothing that does not need it. The loop waits for what
comes first: an answer, a source's wake-up, or the moment at which time alone decides something.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from validator import __version__, poll
from validator.channel import Channel, channels
from validator.errors import SourceError, SourceFailure, ValidatorError
from validator.executor import Done, Executor
from validator.follow import Follower, Step
from validator.found import Found
from validator.gather import Gather
from validator.judging import Judging, verdicts_of_record
from validator.looks import OF_THE_JOB
from validator.model import JobState, Run, Signal
from validator.plan import Parts, Plan, new_job
from validator.ports import Answer, Plantable, Waking
from validator.second_look import second_look
from validator.traces import with_traces

_LONGEST_WAIT = 3600.0
_READINGS = 3
_REREAD = 0.2
"""So often, and so many seconds apart, what cannot be read whole before the job is read again."""

_HURRY = 5.0
"""Seconds for cleaning up after an interrupt: Docker kills what lives 10 s after its SIGTERM."""


@dataclass(slots=True)
class SuiteRun:
    """One run of a suite, from the submission of its job to its verdicts of record."""

    plan: Plan
    parts: Parts
    follower: Follower = field(init=False)
    gather: Gather = field(init=False)
    judging: Judging = field(init=False)
    began: float = field(init=False)
    looking_again: bool = False
    finished: float = 0.0
    baselines: set[int] = field(default_factory=set)
    interrupted: bool = False
    findings: dict[str, None] = field(default_factory=dict)
    endings: list[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Lay out what is known before anything was asked."""
        plan = self.plan
        self.began = self.parts.clock.now()
        self.follower = Follower(
            submitter=plan.target.submitter,
            mark=plan.mark,
            deadline=plan.suite.deadline,
            executor=self.parts.executor,
            tell=self._tell,
            job=plan.existing or new_job(plan),
        )
        self.gather = Gather(
            channels=channels(plan.sources, plan.metrics, plan.judge.signals()),
            found=Found(plan.target.job_id_keys),
            skew=plan.suite.skew,
            settle=plan.suite.settle,
            patience=plan.patience,
            began=self.began if plan.existing is None else float("-inf"),
            control=plan.mark.run_id.rjust(32, "c"),
        )
        for channel in self.gather.channels:
            if channel.signal is not Signal.SEARCH:  # an index has a lag of its own
                channel.lags = plan.lags.get(channel.source.name, channel.lags)
            key = (plan.suite.name, channel.source.name, channel.signal)
            channel.habit = plan.habits.setdefault(key, channel.habit)
        self.judging = Judging(plan.judge, self.gather, self._tell)

    def make(self) -> Run:
        """Make the run; `KeyboardInterrupt` ends it early, cleaned up and recorded."""
        try:
            self._begin()
            self._go()
        except KeyboardInterrupt:
            self.interrupted = True
        finally:
            self._leave()
        self.gather.learn(self.follower.job)
        return self._record()

    def look_again(self, before: Run, executor: Executor) -> Run | None:
        """Ask once more for what the job left, and judge anew if there is anything new.

        Traces have no end mark, so what comes after a verdict is a way to a false one. Metrics are
        not asked again: other jobs have moved them since. A source that fails now takes nothing
        back. What is new has to settle as it had to at first. `before` is the run as it was told;
        None is returned after an interrupt.
        """
        self.parts = replace(self.parts, executor=executor)
        self.looking_again = True
        self._tell("second look", "")
        try:
            self._ask_until_quiet()
            self._tick()
            self._go()
        except KeyboardInterrupt:
            return None
        self.finished = self.parts.clock.now()
        return self._record(before)

    def _ask_until_quiet(self) -> None:
        """Ask for what the job left until an answer has nothing new, as long as patience lasts."""
        until = self.parts.clock.now() + self.plan.suite.settle + self.plan.patience
        quiet = False
        while not quiet and self.parts.clock.now() < until:
            had = dict(self.gather.last_new)
            for index, channel in enumerate(self.gather.channels):
                channel.in_flight, channel.next_at = False, None
                if channel.signal in (*OF_THE_JOB, Signal.SEARCH):
                    self._ask(index, "ask")
            while any(channel.in_flight for channel in self.gather.channels):
                self._turn(_LONGEST_WAIT)
            quiet = self.gather.last_new == had
            if not quiet:
                self._turn(self.plan.suite.settle)

    def _go(self) -> None:
        """Go on until every verdict is decided, or nothing more can be had."""
        while not self._over():
            wait = max(0.0, min(self._next_due() - self.parts.clock.now(), _LONGEST_WAIT))
            self._turn(wait)
            self._tick()

    def _turn(self, wait: float) -> None:
        """Take what comes within `wait` seconds."""
        for done in self.parts.executor.wait(wait):
            self._take(done)

    def _begin(self) -> None:
        """Read what metrics say before the job, listen to sources."""
        for source in self.plan.sources:
            if isinstance(source, Waking):
                self.endings.append(source.on_change(self._waker(source.name)))
        if self.plan.existing is None:
            for index, channel in enumerate(self.gather.channels):
                if channel.signal is Signal.METRICS:
                    self.baselines.add(index)
                    self._ask(index, "baseline")
        if not self.baselines:
            self._begin_job()

    def _waker(self, name: str) -> Callable[[], None]:
        return lambda: self.parts.executor.wake(("wake", name))

    def _begin_job(self) -> None:
        now = self.parts.clock.now()
        for channel in self.gather.channels:
            self.gather.plan(channel, self.follower.job, now, now)
        self.follower.begin(now)

    def _tick(self) -> None:
        """Do what is due, then judge anew if anything has changed."""
        now = self.parts.clock.now()
        self.follower.tick(now)
        asking = range(len(self.gather.channels)) if self.follower.submitted else self.baselines
        for index in tuple(asking):
            due = self.gather.channels[index].due
            if due is not None and now >= due:
                self._ask(index, "baseline" if index in self.baselines else "ask")
        if self.follower.submitted:
            self.judging.update(self.follower.job, now)

    def _next_due(self) -> float:
        """Return when there is something to do even if nothing comes in."""
        now = self.parts.clock.now()
        times = [now + _LONGEST_WAIT]
        times += [time for time in (self.follower.due, self.follower.expires) if time is not None]
        if self.follower.submitted or self.baselines:
            for channel in self.gather.channels:
                times += [] if channel.due is None else [channel.due]
                given_up = self.gather.given_up_at(channel, self.follower.job, now)
                times += [given_up] if given_up > now else []
        return min(times)

    def _over(self) -> bool:
        """Whether no verdict is pending, or nothing that may come could decide one."""
        if self.follower.job.state in (JobState.REFUSED, JobState.TIMED_OUT):
            return True
        return self.follower.step is Step.ENDED and self.judging.decided

    def _take(self, done: Done) -> None:
        now = self.parts.clock.now()
        match done.token:
            case ("wake", str(name)):
                self.gather.woken(name, self.follower.job, now)
            case ("plant", str(name)):
                self._take_plant(name, done)
            case ("baseline", int(index)):
                self._take_baseline(index, done, now)
            case ("ask", int(index)):
                self._take_answer(self.gather.channels[index], done, now)
            case _:
                had_ended = self.follower.job.ended is not None
                self.follower.take(done, now)
                if self.follower.job.ended is not None and not had_ended:
                    self._evidence_is_due(now)

    def _evidence_is_due(self, now: float) -> None:
        """Ask for what the job has left, now that it has ended.

        A control record goes only where nothing of the job has been seen: elsewhere it would show
        nothing more. It is younger than all that the job left, so where it is visible, that is too.
        """
        for channel in self.gather.channels:
            self.gather.end(channel, self.follower.job, now)
        for source in self.gather.unshown():
            if isinstance(source, Plantable):
                self._plant(source.name, source)

    def _plant(self, name: str, source: Plantable) -> None:
        control = self.gather.planting(name)
        self.parts.executor.start(("plant", name), lambda: source.plant(control))

    def _take_plant(self, name: str, done: Done) -> None:
        if done.error is None:
            self.gather.planted.add(name)
        else:
            self.findings[f"{name}: no control record could be written ({done.error})"] = None

    def _take_baseline(self, index: int, done: Done, now: float) -> None:
        """Take a reading from before the job; one that is older than the run is not enough.

        What is scraped at intervals may not yet have what an earlier job did to it, which would
        then be taken for the doing of this one; what was just started may not be scraped yet.
        """
        channel = self.gather.channels[index]
        channel.in_flight = False
        answer: Answer | None = done.value
        stale = answer is not None and answer.as_of is not None and answer.as_of < self.began
        promised = answer is not None and not answer.full and answer.again is not None
        budget = channel.lag_budget
        if answer is not None and (stale or promised) and now < self.began + budget:
            self._tell("waiting", f"for {channel.source.name} to be scraped before the job")
            # A moment that is promised is kept to; a guess is made anew ever more seldom.
            least = poll.LEAST if stale else max(_REREAD, (now - self.began) / 4)
            channel.next_at = max(answer.again or 0.0, min(now + least, self.began + budget))
            return
        if _may_be_torn(done) and not promised and channel.requests < _READINGS:
            channel.next_at = now + _REREAD  # a page may have been torn while it was written
            return
        if answer is None:
            why = f"could not be read before the job ({done.error})"
        elif not answer.full:
            why = f"could be read only in part before the job ({answer.partial()})"
        elif stale:
            why = f"was not scraped within {budget:g} s (its lag budget) before the job"
        else:
            why = ""
        self.gather.take_baseline(channel, answer, why)
        self.baselines.discard(index)
        if not self.baselines:
            self._begin_job()

    def _take_answer(self, channel: Channel, done: Done, now: float) -> None:
        channel.in_flight = False
        before = self.follower.job
        if done.error is not None and self.looking_again:
            self.findings[f"the second look could not ask everything: {done.error}"] = None
        elif done.error is not None:
            self.gather.fail(channel, _as_source_error(channel, done.error))
        else:
            self.follower.job = with_traces(before, done.value.traces)
            if self.gather.take(channel, done.asked, done.value, now):
                self.judging.stale = True
                self._tell("gathering", f"{len(self.gather.found.spans)} spans")
            self.follower.job = self.gather.found.named_job(self.follower.job)
            self.gather.forget_stale(self.follower.job, now)
        self.gather.plan(channel, self.follower.job, now, done.asked)
        if self.follower.job is not before:
            self._all_due(now, OF_THE_JOB)

    def _ask(self, index: int, word: str) -> None:
        channel = self.gather.channels[index]
        channel.in_flight = True
        channel.next_at = None
        channel.requests += 1
        question = self.gather.question(channel, self.follower.job, self.parts.clock.now())
        channel.asked_for = question.trace_ids
        self.parts.executor.start((word, index), lambda: channel.ask(question))

    def _all_due(self, now: float, signals: frozenset[Signal]) -> None:
        for channel in self.gather.channels:
            if channel.signal in signals:
                channel.next_at = now

    def _leave(self) -> None:
        """Stop listening and remove what the run made, whatever happened before."""
        for end in self.endings:
            end()
        if self.follower.tried:
            try:
                within = _HURRY if self.interrupted else math.inf
                submitter = self.plan.target.submitter
                submitter.clean_up(self.plan.mark, self.follower.job.id, within)
            except ValidatorError as error:
                if self.follower.job.state is not JobState.REFUSED:
                    self.findings[f"cleaning up failed: {error}"] = None
        self.finished = self.parts.clock.now()

    def _record(self, before: Run | None = None) -> Run:
        """Judge once more on the final evidence: the verdicts of record, which replay repeats."""
        job, now = self.follower.job, self.finished
        evidence = self.judging.final_evidence(job, now)
        verdicts = verdicts_of_record(self.plan.judge, evidence)
        return Run(
            id=self.plan.mark.run_id,
            suite=self.plan.suite.name,
            target=self.plan.target.name,
            ring=self.plan.suite.ring,
            version=__version__,
            started=self.began,
            finished=now if before is None else before.finished,
            verdicts=verdicts,
            findings=tuple(dict.fromkeys((*(before.findings if before else ()), *self.findings))),
            evidence=evidence,
            interrupted=self.interrupted,
            expected_version=self.plan.suite.expected_version,
            second_look=None if before is None else second_look(before, verdicts, evidence),
        )

    def _tell(self, event: str, detail: str) -> None:
        self.parts.observer.on_event(self.plan.mark.run_id, self.plan.suite.name, event, detail)


def _may_be_torn(done: Done) -> bool:
    """Whether what was read is not whole, or no reading at all, and the next may be."""
    if isinstance(done.error, SourceError):
        return done.error.retriable
    return done.error is not None or not done.value.full


def _as_source_error(channel: Channel, error: ValidatorError) -> SourceError:
    if isinstance(error, SourceError):
        return error
    return SourceError(channel.source.name, SourceFailure.NONSENSE, str(error))
