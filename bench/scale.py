"""Time over size: `connected_trace`, the choice of a job's spans, and gathering them."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

from bench.figures import Figure
from bench.shapes import SERVICES, SHAPES, evidence_of, job_of
from checks import CHECKS
from validator.judge import Judge
from validator.model import Span
from validator.suite import CheckSpec
from validator.traces import select

SIZES = (1_000, 10_000, 100_000)
MOST_GROWTH = 25.0
"""Ten times as many spans may take so many times as long: linear is 10, and caches that no
longer hold it all make 15 to 20 of it; quadratic is 100."""
_MOST_SECONDS = 1.5
_HOPELESS = 10.0
"""Seconds after which a larger size is not tried: what is quadratic must not take the day."""
_BEST_OF = 3
_FLOOR = 0.002
"""Seconds below which a growth says nothing."""


def measure_connected() -> Iterator[Figure]:
    """Measure `connected_trace` on every shape."""
    edges = ("orchestrator ->> scraper", "scraper -> chunking", "chunking ->> embedding-api")
    params: dict[str, object] = {"services": SERVICES, "edges": edges, "hops": "either"}
    for name in SHAPES:
        yield from _measure(
            f"connected_trace, {name}", name, lambda spans: _judge(params, spans), _MOST_SECONDS
        )


def _judge(params: dict[str, object], spans: tuple[Span, ...]) -> Callable[[], object]:
    """Judge as a run does: the check beside the outcome of the job."""
    evidence = evidence_of(spans)
    spec = CheckSpec("connected_trace", "connected_trace", params, "a lost context", "required", "")
    judge = Judge(CHECKS, (spec,))
    return lambda: judge.verdicts(evidence)


def measure_select() -> Iterator[Figure]:
    """Measure the choice of the spans that are evidence of a job."""
    for name in SHAPES:
        yield from _measure(f"select, {name}", name, _select, None)


def _select(spans: tuple[Span, ...]) -> Callable[[], object]:
    job = job_of(spans)
    return lambda: select(spans, job, ("job.id",))


def _measure(
    title: str,
    shape: str,
    prepared: Callable[[tuple[Span, ...]], Callable[[], object]],
    bound: float | None,
) -> Iterator[Figure]:
    took = []
    for size in SIZES:
        work = prepared(tuple(SHAPES[shape](size)))
        took.append(best(work, collecting=False))
        if took[-1] > _HOPELESS:
            break
    size = SIZES[len(took) - 1]
    seconds = best(work) if took[-1] <= _HOPELESS else took[-1]
    times = zip(SIZES, took, strict=False)
    shown = ", ".join(f"{size:,}: {seconds * 1000:.3g} ms" for size, seconds in times)
    how = (
        f"CPU, best of {_BEST_OF}" if size == SIZES[-1] else "CPU, once; larger ones were not tried"
    )
    yield Figure(f"{title}: {size:,} spans", seconds, "s", how, bound)
    how = f"the most per tenfold size, without Python's garbage collection: {shown}"
    yield Figure(f"{title}: growth", growth(took), "x", how, MOST_GROWTH)


def growth(took: list[float]) -> float:
    """Return the largest factor between two sizes, of those long enough to tell."""
    return max(
        (after / max(before, _FLOOR) for before, after in pairwise(took)), default=float("nan")
    )


def best(work: Callable[[], object], *, collecting: bool = True) -> float:
    """Return the CPU seconds of the fastest of a few runs: what noise adds is not the code's.

    It is one thread that only computes: on a quiet machine the wall clock says the same.

    Without `collecting` the garbage collector rests: it walks all that is held, again and again,
    and so hides how the code itself grows.
    """
    seconds: list[float] = []
    for _ in range(_BEST_OF):
        gc.collect()
        if not collecting:
            gc.disable()
        try:
            began = time.process_time()
            work()
            seconds.append(time.process_time() - began)
        finally:
            gc.enable()
        if seconds[-1] > _HOPELESS:
            break
    return min(seconds)
