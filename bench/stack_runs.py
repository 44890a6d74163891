"""Series of runs with real backends: a trace store and a Loki, or a Prometheus."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import psutil

from bench.backends import Backend, Counted, running
from bench.lag_run import Child, Known, Made, Making, child, in_lanes
from bench.lag_runs import Series
from bench.stack_observer import Observed, observed
from validator.lag import LagHistogram
from validator.ports import Source


@dataclass(frozen=True, slots=True)
class Place:
    """Where runs are made: the backends by name, the target's address, who observes."""

    backends: dict[str, Backend]
    address: str
    observer: Child

    def seen(self) -> Observed:
        """End the observer, and return what it saw."""
        return observed(self.observer.end())


@contextmanager
def place(store: str) -> Iterator[Place]:
    """Have a trace store and a Loki, a target that exports to both, and an observer of both."""
    with running(store, "loki") as backends, ExitStack() as stack:
        otlp = (backends[store].otlp, backends["loki"].otlp)
        address = stack.enter_context(child("bench.lag_target", *otlp)).line()
        watched = [f"{name}={one.url}" for name, one in backends.items()]
        observer = stack.enter_context(child("bench.stack_observer", address, *watched))
        observer.line()
        yield Place(backends, address, observer)


def known() -> Known:
    """Return what a series has learned before its first run: nothing."""
    return Known({name: LagHistogram() for name in ("traces", "logs", "metrics")})


@dataclass(slots=True)
class Lane:
    """Makes runs one after the other, with sources of its own, whose requests it counts."""

    making: Making
    counted: Counted

    def run(self, number: int) -> Made:
        """Make one run and count what it asks."""
        before = Counter(self.counted.counts)
        made = self.making.run(number)
        asked = {name: count - before[name] for name, count in self.counted.counts.items()}
        return replace(made, requests=asked)

    def close(self) -> None:
        """Let go of the sources."""
        for source in self.making.sources:
            source.close()


def lanes(count: int, making: Making, sources: Callable[[Counted], Sequence[Source]]) -> list[Lane]:
    """Return lanes that make such runs, each with `sources` of its own."""
    found = []
    for _ in range(count):
        counted = Counted()
        found.append(Lane(replace(making, sources=tuple(sources(counted))), counted))
    return found


def make(count: int, workers: Sequence[Lane]) -> tuple[tuple[Made, ...], float, float, float]:
    """Make runs; return them, the seconds they took, and how busy machine and process were."""
    psutil.cpu_percent()
    began, own = time.monotonic(), time.process_time()
    made = in_lanes(count, [lane.run for lane in workers])
    seconds = time.monotonic() - began
    own = (time.process_time() - own) / seconds
    for lane in workers:
        lane.close()
    return made, seconds, psutil.cpu_percent(), own * 100


def series_of(made: Sequence[Made], seen: Observed, busy: tuple[float, float, float]) -> Series:
    """Return runs with what was seen of them."""
    return Series(tuple(made), seen.jobs, *busy)
