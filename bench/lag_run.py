"""One real run of the real loop against the benchmark's target, and processes of our own."""

from __future__ import annotations

import queue
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench import lag_truth
from bench.lag_steps import QUICK
from bench.lag_truth import Given
from checks import CHECKS
from validator.clock import SystemClock
from validator.config_targets import TargetSettings
from validator.executor import ThreadExecutor
from validator.habit import Habit
from validator.judge import Judge
from validator.lag import LagHistogram
from validator.mark import new_mark
from validator.model import Run
from validator.plan import HabitKey, Parts, Plan, Target
from validator.ports import Source
from validator.run import SuiteRun
from validator.submit.http import HttpSubmitter
from validator.submit.sender import Means
from validator.submit.session import make_session
from validator.suite import CheckSpec, Suite

POLL = "50ms"
"""How often the target is asked: as in the suite of the reference pipeline."""

_JOB = ("number", "scenario", "shape", "late", "metric")
"""What the target is told of a job."""


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
    """One run that was made; `again` is its second look, if there was one.

    `requests` says how often each backend was asked over HTTP, where that was counted.
    """

    number: int
    run: Run
    given: tuple[Given, ...]
    again: Run | None = None
    requests: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Known:
    """What outlives the runs of a series, as it does in a daemon."""

    lags: Mapping[str, LagHistogram] = field(default_factory=dict)
    habits: MutableMapping[HabitKey, Habit] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Making:
    """How the runs of a series are made: at which target, with which sources and checks.

    `second_look` is how many seconds after its verdicts a run is looked at again, None for never;
    `late` how long after everything else a failed span comes, 0 for never.
    """

    address: str
    sources: tuple[Source, ...]
    known: Known
    checks: tuple[CheckSpec, ...]
    shape: str = QUICK
    settle: float = lag_truth.SETTLE
    patience: float = 5.0
    scenario: Callable[[int], str] = lag_truth.scenario
    metric: str = ""
    late: float = 0.0
    second_look: float | None = None

    def run(self, number: int) -> Made:
        """Make one run."""
        clock = SystemClock()
        suite = Suite(
            name="lag",
            ring=0,
            target="target",
            job={
                "number": number,
                "scenario": self.scenario(number),
                "shape": self.shape,
                "late": str(self.late),
                "metric": self.metric,
            },
            deadline=30.0,
            settle=self.settle,
            skew=0.05,
            concurrent=True,
            checks=self.checks,
            path="(bench)",
        )
        means = Means(make_session(), clock, lambda text: text)
        submitter = HttpSubmitter("target", _settings(self.address), means)
        plan = Plan(
            suite=suite,
            target=Target("target", submitter, "adopt", ("job.id",), "all"),
            sources=self.sources,
            judge=Judge(CHECKS, suite.checks),
            mark=new_mark(suite.job),
            metrics=frozenset({self.metric} if self.metric else ()),
            patience=self.patience,
            lags=self.known.lags,
            habits=self.known.habits,
        )
        heard = Heard()
        executor = ThreadExecutor(clock.now)
        try:
            making = SuiteRun(plan, Parts(clock, executor, heard))
            run = making.make()
            given = tuple(heard.given)
            again = None
            if self.second_look is not None:
                clock.sleep(self.second_look)
                again = making.look_again(run, executor)
        finally:
            executor.close()
            submitter.close()
        return Made(number, run, given, again)


def in_lanes(count: int, lanes: Sequence[Callable[[int], Made]]) -> tuple[Made, ...]:
    """Make the runs 0 to `count` - 1, as many at once as there are lanes, each by one of them."""
    numbers: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(count):
        numbers.put(number)
    made: list[Made] = []

    def lane(make: Callable[[int], Made]) -> None:
        while True:
            try:
                number = numbers.get_nowait()
            except queue.Empty:
                return
            made.append(make(number))

    with ThreadPoolExecutor(len(lanes)) as pool:
        for done in [pool.submit(lane, make) for make in lanes]:
            done.result()
    return tuple(made)


def _settings(address: str) -> TargetSettings:
    http = {
        "url": f"{address}/jobs",
        "body": {name: f"{{{{ job.{name} }}}}" for name in _JOB},
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
def child(module: str, *arguments: str, ends_with_input: bool = True) -> Iterator[Child]:
    """Run a module of ours until the block ends."""
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
