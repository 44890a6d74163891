"""Real runs of the real loop against the benchmark's target, in parallel lanes."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import psutil

from bench import lag_truth
from bench.lag_observer import read_back
from bench.lag_truth import Given, Witnessed
from checks import CHECKS
from validator.clock import SystemClock
from validator.config_targets import TargetSettings
from validator.executor import ThreadExecutor
from validator.judge import Judge
from validator.lag import LagHistogram
from validator.mark import new_mark
from validator.model import Run
from validator.plan import Parts, Plan, Target
from validator.ports import Answer, Question
from validator.run import SuiteRun
from validator.sources.collector.client import RemoteCollectorSource
from validator.sources.collector.limits import Limits
from validator.sources.collector.server import Collector, Listen
from validator.sources.collector.source import CollectorSource
from validator.sources.http import Bounds, Http, make_session
from validator.submit.http import HttpSubmitter
from validator.submit.sender import Means
from validator.submit.session import make_session as make_submit_session
from validator.suite import Suite

POLL = "50ms"
"""How often the target is asked: as in the suite of the reference pipeline."""

Readable = CollectorSource | RemoteCollectorSource


class Slow:
    """A source whose every answer takes `delay` seconds longer."""

    def __init__(self, source: Readable, delay: float) -> None:
        """Ask `source`, later."""
        self._source = source
        self._delay = delay
        self._clock = SystemClock()
        self.name, self.kind, self.lag_budget = source.name, source.kind, source.lag_budget
        self.plant, self.on_change, self.close = source.plant, source.on_change, source.close

    def traces(self, question: Question) -> Answer:
        """Return the spans of the job, later."""
        self._clock.sleep(self._delay)
        return self._source.traces(question)

    def logs(self, question: Question) -> Answer:
        """Return the log lines of the job, later."""
        self._clock.sleep(self._delay)
        return self._source.logs(question)


@dataclass(slots=True)
class Heard:
    """Listens to one run: when each verdict was given, on the machine's monotonic clock."""

    given: list[Given] = field(default_factory=list)

    def on_event(self, run_id: str, suite: str, event: str, detail: str) -> None:
        """Note a verdict."""
        del run_id, suite
        if event == "verdict":
            status, _, check = detail.partition(" ")
            self.given.append(Given(time.monotonic(), check, status))

    def on_run(self, run: Run) -> None:
        """Leave the finished run to who made it."""


@dataclass(frozen=True, slots=True)
class Made:
    """One run that was made."""

    number: int
    run: Run
    given: tuple[Given, ...]


@dataclass(frozen=True, slots=True)
class Series:
    """Many runs, what the observer saw of their jobs, and how busy the machine was."""

    made: tuple[Made, ...]
    seen: Mapping[str, Witnessed]
    seconds: float
    machine: float
    own: float


def series(count: int, *, lanes: int, remote: bool, delay: float = 0.0) -> Series:
    """Make `count` runs in `lanes` at once; `delay` seconds of latency are put into the source."""
    with source(remote=remote) as (real, endpoint), ExitStack() as stack:
        target = stack.enter_context(_child("bench.lag_target", endpoint))
        address = target.line()
        observer = stack.enter_context(_child("bench.lag_observer", address, endpoint))
        observer.line()
        read: Readable | Slow = Slow(real, delay) if delay else real
        lags = {"collector": LagHistogram()}
        psutil.cpu_percent()
        began, own = time.monotonic(), time.process_time()
        made = _in_lanes(count, lanes, lambda number: _run(number, read, address, lags))
        seconds = time.monotonic() - began
        own = (time.process_time() - own) / seconds
        machine = psutil.cpu_percent()
        return Series(made, read_back(observer.end()), seconds, machine, own * 100)


def _in_lanes(count: int, lanes: int, make: Callable[[int], Made]) -> tuple[Made, ...]:
    numbers: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(count):
        numbers.put(number)
    made: list[Made] = []

    def lane() -> None:
        while True:
            try:
                number = numbers.get_nowait()
            except queue.Empty:
                return
            made.append(make(number))

    threads = [threading.Thread(target=lane) for _ in range(lanes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return tuple(made)


def _run(
    number: int, source: Readable | Slow, address: str, lags: Mapping[str, LagHistogram]
) -> Made:
    clock = SystemClock()
    suite = Suite(
        name="lag",
        ring=0,
        target="target",
        job={"number": number, "scenario": lag_truth.scenario(number)},
        deadline=30.0,
        settle=lag_truth.SETTLE,
        skew=0.05,
        concurrent=True,
        checks=lag_truth.checks(),
        path="(bench)",
    )
    submitter = HttpSubmitter(
        "target", _settings(address), Means(make_submit_session(), clock, lambda text: text)
    )
    plan = Plan(
        suite=suite,
        target=Target("target", submitter, "adopt", ("job.id",), "all"),
        sources=(source,),
        judge=Judge(CHECKS, suite.checks),
        mark=new_mark(suite.job),
        metrics=frozenset(),
        patience=5.0,
        lags=lags,
    )
    heard = Heard()
    executor = ThreadExecutor(clock.now)
    try:
        run = SuiteRun(plan, Parts(clock, executor, heard)).make()
    finally:
        executor.close()
        submitter.close()
    return Made(number, run, tuple(heard.given))


def _settings(address: str) -> TargetSettings:
    http = {
        "url": f"{address}/jobs",
        "body": {"number": "{{ job.number }}", "scenario": "{{ job.scenario }}"},
        "job_id": "job_id",
        "follow": {
            "url": f"{address}/jobs/{{{{ job.id }}}}",
            "status": "status",
            "running": ["running"],
            "done": ["done"],
            "every": POLL,
        },
    }
    return TargetSettings.model_validate({"submit": {"http": http}})


@contextmanager
def source(*, remote: bool) -> Iterator[tuple[Readable, str]]:
    """Have a collector and a source that reads it, and where telemetry is sent."""
    clock = SystemClock()
    http = Http("collector", make_session(), clock, Bounds(timeout=5.0))
    if remote:
        arguments = ("validator", "collector", "--http-port", "0", "--grpc-port", "-1")
        with _child(*arguments, ends_with_input=False) as child:
            endpoint = child.line().rpartition(" ")[2]
            far = RemoteCollectorSource("collector", endpoint, http, lag_truth.LAG_BUDGET)
            yield far, endpoint
            far.close()
        return
    collector = Collector(clock, Listen("127.0.0.1", 0, None), Limits(), ("job.id",))
    collector.start()
    near = CollectorSource("collector", collector, http, lag_truth.LAG_BUDGET)
    try:
        yield near, collector.endpoint
    finally:
        near.close()
        collector.stop()


@dataclass(slots=True)
class Child:
    """A process of ours that speaks lines."""

    process: subprocess.Popen[str]

    def line(self) -> str:
        """Return the next line that it prints."""
        assert self.process.stdout is not None  # noqa: S101 - it is a pipe
        return self.process.stdout.readline().strip()

    def end(self) -> str:
        """Let it end, and return what it still has to say."""
        return self.process.communicate("", timeout=30)[0]


@contextmanager
def _child(module: str, *arguments: str, ends_with_input: bool = True) -> Iterator[Child]:
    command = [sys.executable, "-m", module, *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield Child(process)
        finally:
            if process.poll() is None:
                if ends_with_input and process.stdin is not None:
                    process.stdin.close()
                else:
                    process.terminate()
                process.wait(timeout=30)
