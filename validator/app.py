"""The one place where clocks, sessions, sources and targets are made and joined."""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

from checks import CHECKS
from validator.clock import SystemClock
from validator.config import Settings
from validator.config_sources import (
    CollectorSettings,
    SourceSettings,
)
from validator.config_targets import TargetSettings
from validator.errors import SubmitError
from validator.executor import ThreadExecutor
from validator.habit import Habit
from validator.judge import Judge
from validator.lag import LagHistogram
from validator.mark import new_mark
from validator.model import Job, JobState, Run, TraceRef
from validator.plan import HabitKey, Parts, Plan, Target
from validator.ports import Clock, Observer, Source
from validator.submit.existing import ExistingJob
from validator.submit.http import HttpSubmitter
from validator.submit.sender import Means
from validator.submit.session import make_session
from validator.submit.sweep import sweep
from validator.suite import Suite
from validator.templates import settled
from validator.traces import parent_id_for
from validator.turns import Turn, Turns, not_submitted
from validator.waiting import until_done

PATIENCE = 5.0
"""Seconds beyond its lag budget that a source may take to answer, or to show that it works: long
enough for one time-out of a source (5 s by default), short enough for somebody who waits."""


@dataclass(frozen=True, slots=True)
class Existing:
    """A job that is there already; one of the two may be empty."""

    job_id: str
    trace_id: str


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM when all was judged: `runs` are the runs."""

    def __init__(self, runs: tuple[Run, ...]) -> None:
        """Keep what was done: whoever reports must not lose it."""
        super().__init__()
        self.runs = runs


@dataclass(slots=True)
class App:
    """What one command works with; a context manager that starts and stops the sources.

    `collectors` are built-in collectors that run already, by the name of their source; they are
    read, and left running.
    """

    settings: Settings
    clock: Clock = field(default_factory=SystemClock)
    collectors: Mapping[str, Any] = field(default_factory=dict)
    sources: tuple[Source, ...] = ()
    lags: Mapping[str, LagHistogram] = field(default_factory=dict)
    habits: dict[HabitKey, Habit] = field(default_factory=dict)
    turns: Turns = field(init=False)
    _closing: list[Callable[[], None]] = field(default_factory=list)
    _executors: set[ThreadExecutor] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Know the targets, under a name that no other process has."""
        holder = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self.turns = Turns(self.clock, holder)
        for name, target in self.settings.targets.items():
            self.turns.before(name, target, self._means())
        self._closing.append(self.turns.close)

    def __enter__(self) -> Self:
        """Make the sources; what runs inside this process is started."""
        try:
            made = [self._source(name, one) for name, one in self.settings.sources.items()]
        except BaseException:
            self.close()
            raise
        self.sources = tuple(made)
        self.lags = {source.name: LagHistogram() for source in made}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop what was started."""
        self.close()

    def close(self) -> None:
        """Stop what was started, the last first."""
        while self._closing:
            self._closing.pop()()

    def _source(self, name: str, settings: SourceSettings) -> Source:
        from validator.sources.build import Builder  # noqa: PLC0415 - only if asked for

        if isinstance(settings, CollectorSettings):
            source: Source = self._collector(name, settings)
        else:
            source = Builder(self.clock, self.settings.directory).build(name, settings)
        self._closing.append(source.close)
        return source

    def _collector(self, name: str, settings: CollectorSettings) -> Source:
        from validator.sources import http as sources_http  # noqa: PLC0415
        from validator.sources.collector.limits import Limits  # noqa: PLC0415
        from validator.sources.collector.server import Collector, Listen  # noqa: PLC0415
        from validator.sources.collector.source import CollectorSource  # noqa: PLC0415

        bounds = sources_http.Bounds(timeout=settings.timeout)
        http = sources_http.Http(name, sources_http.make_session(), self.clock, bounds)
        if name in self.collectors:
            return CollectorSource(name, self.collectors[name], http, settings.lag_budget)
        keys = {key for target in self.settings.targets.values() for key in target.job_id_keys}
        host, port = _host_port(settings.http or "127.0.0.1:0")
        grpc = _host_port(settings.grpc)[1] if settings.grpc else None
        collector = Collector(self.clock, Listen(host, port, grpc), Limits(), sorted(keys))
        collector.start()
        self._closing.append(collector.stop)
        return CollectorSource(name, collector, http, settings.lag_budget)

    # -- running ----------------------------------------------------------------------------

    def check(
        self,
        suites: Sequence[Suite],
        observer: Observer,
        existing: Existing | None = None,
        second_look: float | None = None,
    ) -> tuple[Run, ...]:
        """Run the suites and return their runs in order.

        With `second_look` each run is looked at once more, so many seconds after its verdicts.

        Suites run one after the other, since what one job does to the metrics must not be taken
        for another's; those that declare `concurrent` run beside them. `KeyboardInterrupt` ends
        every run early; each still cleans up and is recorded, and so is what it kept from being
        made. It is raised again, as `Interrupted`, when all was judged already.
        """
        lanes: list[list[Suite]] = [[suite for suite in suites if not suite.concurrent]]
        lanes += [[suite] for suite in suites if suite.concurrent]
        found: dict[str, Run] = {}
        stopped = threading.Event()

        def lane(members: list[Suite]) -> None:
            made: list[Turn] = []
            for suite in members:
                if stopped.is_set():
                    break
                turn = self._run(self.plan(suite, existing), observer, stopped)
                if turn is not None:
                    made.append(turn)
                    found[suite.name] = turn.run
            for turn in made if second_look is not None else ():
                again = self._look_again(turn, second_look or 0.0, observer, stopped)
                found[again.suite] = again

        with ThreadPoolExecutor(max_workers=len(lanes)) as pool:
            futures = [pool.submit(lane, members) for members in lanes if members]
            try:
                _first_failure(futures)
            except KeyboardInterrupt:
                self._stop(stopped)
                _first_failure(futures)
                missed = [suite for suite in suites if suite.name not in found]
                found |= {suite.name: self._not_made(suite, existing, observer) for suite in missed}
                if not any(run.interrupted for run in found.values()):
                    raise Interrupted(_in_order(found, suites)) from None
        return _in_order(found, suites)

    def _stop(self, stopped: threading.Event) -> None:
        """End what is under way, and begin nothing more."""
        stopped.set()
        with self._lock:
            for executor in self._executors:
                executor.interrupt()

    @contextmanager
    def _executor(self, stopped: threading.Event) -> Iterator[ThreadExecutor]:
        """Give an executor that an interrupt reaches."""
        executor = ThreadExecutor(self.clock.now)
        with self._lock:
            self._executors.add(executor)
        if stopped.is_set():  # since this was chosen: who stops may not have seen it
            executor.interrupt()
        try:
            yield executor
        finally:
            executor.close()
            with self._lock:
                self._executors.discard(executor)

    def _run(self, plan: Plan, observer: Observer, stopped: threading.Event) -> Turn | None:
        """Make a run in its turn; None if stopped before."""
        with self._executor(stopped) as executor:
            parts = Parts(self.clock, executor, observer)
            try:
                turn = self.turns.run(plan, parts, executor.interrupt, stopped)
            finally:
                plan.target.submitter.close()
        if turn is not None:
            observer.on_run(turn.run)
        return turn

    def _look_again(
        self, turn: Turn, after: float, observer: Observer, stopped: threading.Event
    ) -> Run:
        """Look at a run once more, `after` seconds after its verdicts.

        A run of which an interrupt kept that from being done is no whole run.
        """
        run, again = turn.run, None
        if turn.suite_run is None:
            return run
        if not stopped.wait(max(0.0, run.finished + after - self.clock.now())):
            with self._executor(stopped) as executor:
                again = turn.suite_run.look_again(run, executor)
        again = again or replace(run, interrupted=True)
        observer.on_run(again)
        return again

    def _not_made(self, suite: Suite, existing: Existing | None, observer: Observer) -> Run:
        """Record what an interrupt kept from being made: who reads a report takes it for all."""
        plan = self.plan(suite, existing)
        plan.target.submitter.close()
        run = not_submitted(plan, "it was interrupted before its turn", self.clock.now())
        run = replace(run, interrupted=True)
        observer.on_run(run)
        return run

    def plan(self, suite: Suite, existing: Existing | None = None) -> Plan:
        """Return the run of a suite that is to be made, under a mark of its own."""
        settings = self.settings.targets[suite.target]
        mark = new_mark(
            suite.job, traceparent=settings.trace_context != "none", baggage=settings.baggage
        )
        return Plan(
            suite=suite,
            target=self._target(suite.target, settings, existing),
            sources=self.sources,
            judge=Judge(CHECKS, suite.checks, suite.gate),
            mark=mark,
            metrics=wanted_metrics(suite),
            patience=PATIENCE,
            lags=self.lags,
            habits=self.habits,
            existing=existing_job(suite, existing, mark.run_id) if existing else None,
        )

    def _means(self) -> Means:
        return Means(make_session(), self.clock, self.settings.redact)

    def _target(self, name: str, settings: TargetSettings, existing: Existing | None) -> Target:
        http = None
        if settings.submit is not None or existing is None:
            http = HttpSubmitter(name, settings, self._means())
        if existing is not None:
            submitter: Any = ExistingJob(existing.job_id, existing.trace_id, http)
        else:
            submitter = http
        return Target(
            name=name,
            submitter=submitter,
            trace_context=settings.trace_context,
            job_id_keys=settings.job_id_keys,
            sampling=settings.sampling,
        )


def _in_order(found: Mapping[str, Run], suites: Sequence[Suite]) -> tuple[Run, ...]:
    return tuple(found[suite.name] for suite in suites)


def swept(settings: Settings, name: str) -> tuple[str, str]:
    """Make the target's `sweep`; return what it answered, and what went wrong."""
    session = make_session()
    means = Means(session, SystemClock(), settings.redact)
    try:
        return sweep(name, settings.targets[name], means, new_mark({})) or "swept", ""
    except SubmitError as error:
        return "", str(error)
    finally:
        session.close()


def wanted_metrics(suite: Suite) -> frozenset[str]:
    """Return the metric families that the suite's checks name."""
    names: set[str] = set()
    for spec in suite.checks:
        one, several = spec.params.get("metric"), spec.params.get("metrics", ())
        names |= {one} if isinstance(one, str) else set()
        names |= {name for name in several if isinstance(name, str)}
    return frozenset(names)


def existing_job(suite: Suite, existing: Existing, run_id: str) -> Job:
    """Return what is known of a job that the validator did not submit."""
    trace_id = existing.trace_id
    return Job(
        id=existing.job_id,
        run_id=run_id,
        target=suite.target,
        state=JobState.UNKNOWN,
        status="",
        detail="",
        fields=settled({f"job.{name}": value for name, value in suite.job.items()}),
        traces=(TraceRef(trace_id, "given"),) if trace_id else (),
        sent_parent=parent_id_for(trace_id) if trace_id else "",
        existing=True,
        submitted=None,
        ended=None,
    )


def with_overrides(
    suites: Iterable[Suite], *, target: str = "", deadline: float | None = None
) -> tuple[Suite, ...]:
    """Return the suites with another target or deadline, where one is given."""
    return tuple(
        replace(suite, target=target or suite.target, deadline=deadline or suite.deadline)
        for suite in suites
    )


def _host_port(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


def _first_failure(futures: Sequence[Future[None]]) -> None:
    """Wait for all; raise the first error of any."""
    until_done(futures)
    for future in futures:
        future.result()
