"""Series of runs with the built-in collector, in parallel lanes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import psutil

from bench import lag_truth
from bench.lag_observer import read_back
from bench.lag_run import Known, Made, Making, child, in_lanes
from bench.lag_truth import Witnessed
from validator.clock import SystemClock
from validator.config_sources import RemoteCollectorSettings
from validator.lag import LagHistogram
from validator.ports import Answer, Question
from validator.sources.collector.client import RemoteCollectorSource
from validator.sources.collector.limits import Limits
from validator.sources.collector.server import Collector, Listen
from validator.sources.collector.source import CollectorSource
from validator.sources.http import Bounds, Http, make_session

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
        target = stack.enter_context(child("bench.lag_target", endpoint))
        address = target.line()
        observer = stack.enter_context(child("bench.lag_observer", address, endpoint))
        observer.line()
        read: Readable | Slow = Slow(real, delay) if delay else real
        known = Known({"collector": LagHistogram()})
        making = Making(address, (read,), known, lag_truth.checks())
        psutil.cpu_percent()
        began, own = time.monotonic(), time.process_time()
        made = in_lanes(count, [making.run] * lanes)
        seconds = time.monotonic() - began
        own = (time.process_time() - own) / seconds
        machine = psutil.cpu_percent()
        return Series(made, read_back(observer.end()), seconds, machine, own * 100)


@contextmanager
def source(*, remote: bool) -> Iterator[tuple[Readable, str]]:
    """Have a collector and a source that reads it, and where telemetry is sent."""
    clock = SystemClock()
    rate = RemoteCollectorSettings.model_fields["rate_limit"].default
    http = Http("collector", make_session(), clock, Bounds(timeout=5.0, rate=rate))
    if remote:
        arguments = ("validator", "collector", "--http-port", "0", "--grpc-port", "-1")
        with child(*arguments, ends_with_input=False) as process:
            endpoint = process.line().rpartition(" ")[2]
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
