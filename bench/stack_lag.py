"""Verdict lag with real backends: Loki, and Jaeger or Tempo."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bench import lag_truth
from bench.backends import Counted, trace_stores
from bench.figures import Figure, percentile
from bench.lag import how, kinds, told
from bench.lag_run import Making
from bench.lag_runs import Series
from bench.lag_steps import LONG
from bench.stack_runs import known, lanes, make, place, series_of
from validator.ports import Source

RUNS = 100
LEARNING = 12
"""So many runs come first, from which it is learned when to look; they are told apart."""
LANES = 1
"""One run after the other: on two cores the backends need what a second one would use."""
MOST_REQUESTS = 10
_MS = 1000.0


def measure() -> Iterator[Figure]:
    """Measure with each trace store that this machine can run."""
    for store in trace_stores():
        yield from figures(store, series(store, LEARNING + RUNS))


def series(store: str, count: int) -> Series:
    """Make runs of the long job, evidence of which is in `store` and in Loki."""
    with place(store) as where:
        backends = where.backends

        def sources(counted: Counted) -> tuple[Source, ...]:
            return counted.traces(backends[store]), counted.logs(backends["loki"])

        making = Making(where.address, (), known(), lag_truth.checks(), shape=LONG)
        made, *busy = make(count, lanes(LANES, making, sources))
        return series_of(made, where.seen(), (busy[0], busy[1], busy[2]))


def figures(store: str, done: Series) -> list[Figure]:
    """Return what a series comes to."""
    first = told(replace(done, made=tuple(one for one in done.made if one.number < LEARNING)))
    rest = replace(done, made=tuple(one for one in done.made if one.number >= LEARNING))
    plain = told(rest)
    name = f"verdict lag, {store} and loki"
    false = (*first.false, *plain.false)
    asked = (
        "HTTP requests of the run that made the most, control records written and read included, "
        "also of the first runs"
    )
    most = {one: max(first.most.get(one, 0), plain.most.get(one, 0)) for one in (store, "loki")}
    return [
        Figure(
            f"{name}: p95",
            percentile(plain.slowest, 0.95) * _MS,
            "ms",
            how(rest, plain, LANES),
            bound=100.0,
        ),
        Figure(
            f"{name}: p95 of the first {LEARNING} runs",
            percentile(first.slowest, 0.95) * _MS,
            "ms",
            "before it is known when to look; not in the figure above",
        ),
        Figure(f"{name}: false verdicts", len(false), "", kinds(false), bound=0),
        *(
            Figure(f"{name}: requests to {one}", count, "", asked, bound=MOST_REQUESTS)
            for one, count in most.items()
        ),
        Figure(f"{name}: settle time", lag_truth.SETTLE, "s", "as declared; not part of the lag"),
        Figure(
            f"{name}: runs void",
            first.void + plain.void,
            "",
            f"of {len(done.made)}: their evidence came later than declared, so they show nothing",
            bound=len(done.made) / 20,
        ),
    ]
