"""The demonstration: a good run on a real pipeline, then each broken instrumentation caught.

The pipeline is a process of its own, driven through its own command line: the validator knows of
it what it knows of anybody's pipeline, an address and a key.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from validator.app import App
from validator.config import environment, load_settings
from validator.errors import ValidatorError
from validator.model import Run, Status
from validator.ports import Clock
from validator.resources import folder
from validator.sources.collector.server import Collector
from validator.suite import Suite

_UP_SECONDS = 60.0
_PIPELINE = (sys.executable, "-m", "pipeline")

Caught = frozenset[tuple[str, str]]
"""Failing verdicts, each as suite and name."""


@dataclass(frozen=True, slots=True)
class Break:
    """A switch of the pipeline, what it does, and exactly the checks that have to fail."""

    switches: tuple[str, ...]
    title: str
    caught_by: Caught


def _break(switch: str, title: str, *caught_by: str) -> Break:
    pairs = (name.partition("/") for name in caught_by)
    return Break((switch,), title, frozenset((suite, name) for suite, _, name in pairs))


BREAKS: tuple[Break, ...] = (
    _break(
        "context-lost-in-queue",
        "trace context is lost when a task is queued",
        "pipeline/connected_trace",
        "pipeline-failure/connected_retry",
    ),
    _break(
        "worker-exporter-not-set-up",
        "the worker's exporter is never set up after the fork",
        "pipeline/connected_trace",
        "pipeline-failure/connected_retry",
    ),
    _break("attribute-dropped", "a span attribute is dropped", "pipeline/span_attributes"),
    _break("attribute-wrong-type", "a span attribute changes type", "pipeline/span_attributes"),
    _break(
        "operation-label-missing",
        "the label `operation` is missing on writes",
        "pipeline/metric_labels",
    ),
    _break(
        "failure-logs-without-trace",
        "failure logs lose their trace id",
        "pipeline-failure/log_fields",
    ),
    _break(
        "wrong-job-id-on-retry",
        "a retry works under the wrong job.id",
        "pipeline-failure/job_id_on_retry",
    ),
    _break(
        "service-samples-nothing",
        "a service samples none of its spans",
        "pipeline/connected_trace",
    ),
)
"""Every switch of the pipeline, in the order of the demonstration."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One part of the demonstration: what was broken, the runs, and whether it went as it should.

    `wrong` says in words what did not.
    """

    title: str
    runs: tuple[Run, ...]
    wrong: tuple[str, ...]
    seconds: float


class DemoError(ValidatorError):
    """The demonstration itself could not go on."""


class Pipeline:
    """The reference pipeline in a process of its own, ended with `close` or with this process."""

    def __init__(self, state: Path, otlp: str, clock: Clock) -> None:
        """Start it; its exporters send to `otlp`."""
        self._state = state
        self._clock = clock
        self._log = state / "up.log"
        env = {**environment(), "OTEL_EXPORTER_OTLP_ENDPOINT": otlp}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*_PIPELINE, "up", "--end-with-parent", "--state-dir", str(state)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=env,
                start_new_session=True,  # Ctrl-C is for us; we end it
            )

    def wait(self) -> Mapping[str, str]:
        """Return its addresses and keys once all of it is healthy."""
        deadline = self._clock.monotonic() + _UP_SECONDS
        while not (self._state / "pipeline.json").is_file():
            if self._process.poll() is not None or self._clock.monotonic() > deadline:
                tail = self._log.read_text(errors="replace")[-2000:]
                raise DemoError(f"the pipeline did not come up:\n{tail}")
            self._clock.sleep(0.02)
        lines = (self._state / "pipeline.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def switches(self) -> tuple[str, ...]:
        """Return the names of all switches, as the pipeline lists them."""
        listed = self._call("switches").splitlines()
        return tuple(line for line in listed if line and not line.startswith(" "))

    def break_(self, switches: Sequence[str]) -> None:
        """Have exactly these switches on; returns when what was deployed anew is healthy."""
        if switches:
            self._call("break", *switches, "--state-dir", str(self._state))
        else:
            self._call("mend", "--state-dir", str(self._state))

    def _call(self, *arguments: str) -> str:
        done = subprocess.run(
            [*_PIPELINE, *arguments],
            capture_output=True,
            text=True,
            timeout=_UP_SECONDS,
            check=False,
        )
        if done.returncode:
            raise DemoError(f"pipeline {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def close(self) -> None:
        """End it and everything that it started."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


@contextmanager
def stage(collector: Collector, clock: Clock) -> Iterator[tuple[Pipeline, Mapping[str, str]]]:
    """Have a pipeline that exports to `collector`, in a folder of its own that goes with it."""
    with tempfile.TemporaryDirectory(prefix="obs-validator-demo-") as folder:
        os.chmod(folder, 0o755)  # noqa: S103, PTH101 - the database's own user has to enter it
        pipeline = Pipeline(Path(folder), collector.endpoint, clock)
        try:
            yield pipeline, pipeline.wait()
        finally:
            pipeline.close()


def app_for(collector: Collector, variables: Mapping[str, str]) -> App:
    """Return the app of the shipped configuration, reading the collector that runs already."""
    settings = load_settings(
        folder("suites") / "obs-validator.yaml", {**environment(), **variables}
    )
    return App(settings, clock=collector.clock, collectors={"collector": collector})


def judge_break(broken: Break, runs: Sequence[Run]) -> tuple[str, ...]:
    """Say what did not go as it should: checks that did not see the break, or that cried wolf."""
    failed = {(run.suite, v.name) for run in runs for v in run.verdicts if v.status is Status.FAIL}
    open_ = {
        (run.suite, v.name, v.summary)
        for run in runs
        for v in run.verdicts
        if v.status in (Status.INCONCLUSIVE, Status.PENDING)
    }
    wrong = [f"{suite}/{name} did not see it" for suite, name in broken.caught_by - failed]
    wrong += [f"{suite}/{name} failed without reason" for suite, name in failed - broken.caught_by]
    wrong += [f"{suite}/{name} is inconclusive: {why}" for suite, name, why in open_]
    return tuple(sorted(wrong))


GOOD = Break((), "everything as it should be", frozenset())


def show(
    app: App,
    pipeline: Pipeline,
    suites: Sequence[Suite],
    told: Callable[[Break], object],
    breaks: Sequence[Break] = (GOOD, *BREAKS),
) -> Iterator[Shown]:
    """Go through the breaks one by one; the first is no break at all."""
    from validator.report.progress import ConsoleObserver  # noqa: PLC0415 - its own display

    for broken in breaks:
        told(broken)
        began = app.clock.monotonic()
        if broken is not GOOD:
            pipeline.break_(broken.switches)
        with ConsoleObserver(sys.stderr, reports=False, log=False) as observer:
            runs = app.check(suites, observer)
        title = " and ".join(broken.switches) or "good"
        yield Shown(title, runs, judge_break(broken, runs), app.clock.monotonic() - began)
