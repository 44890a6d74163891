"""Verdict lag of `metric_labels`, whose samples are scraped every second.

A verdict on samples waits for a scrape: that every value is there and settled is known from the
first scrape as late as the settle time wants; that one is missing also takes the lag budget. The
lag is counted from when that scrape could first be read. Which one it is follows from the times of
all scrapes, which an observer asks Prometheus for, and from the job's end as the run saw it: that
the end itself is seen late by up to the interval of following is part of the lag with traces.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from bench import lag_truth
from bench.backends import running
from bench.figures import Figure, percentile
from bench.lag_run import Made, Making, child
from bench.lag_target import NOWHERE
from bench.lag_truth import GOOD, SERVICE
from bench.stack_observer import Scrape, observed
from bench.stack_runs import known, lanes, make
from validator.model import Status
from validator.suite import CheckSpec

RUNS = 30
LEARNING = 2
LANES = 2
LAG_BUDGET = 3.0
"""The declared lag budget, seconds: three scrapes."""
MOST_REQUESTS = 10
_CHECK = "counted"
_MS = 1000.0


@dataclass(frozen=True, slots=True)
class Told:
    """What a run comes to: how late the verdict was, in seconds, or why it is false."""

    lag: float | None
    false: str


def measure() -> Iterator[Figure]:
    """Measure with a Prometheus that scrapes the target's page every second."""
    with child("bench.lag_target", NOWHERE) as target:
        address = target.line()
        with running("prometheus", scraped=[urlsplit(address).netloc]) as backends:
            prometheus = backends["prometheus"]
            watched = f"prometheus={prometheus.url}"
            with child("bench.stack_observer", address, watched) as observer:
                observer.line()
                workers = [
                    lanes(
                        1,
                        Making(
                            address,
                            (),
                            known(),
                            checks(metric(lane)),
                            scenario=scenario,
                            metric=metric(lane),
                        ),
                        lambda counted: (counted.metrics(prometheus, LAG_BUDGET),),
                    )[0]
                    for lane in range(LANES)
                ]
                made, *_ = make(LANES * LEARNING + RUNS, workers)
                scrapes = observed(observer.end()).scrapes
    yield from figures(made, scrapes)


def metric(lane: int) -> str:
    """Return the metric of a lane: jobs that run at once must not be taken for one another."""
    return f"bench_lane{lane}_requests"


def scenario(number: int) -> str:
    """Return the scenario of a run: of every third the writes are not counted."""
    return SERVICE if number % 3 == 2 else GOOD


def checks(name: str) -> tuple[CheckSpec, ...]:
    """Return the one check: reads and writes are told apart, and counted."""
    params = {"metric": name, "label": "operation", "values": ["read", "write"]}
    return (CheckSpec("metric_labels", _CHECK, params, "no label", "required", "(bench)"),)


def figures(made: Sequence[Made], scrapes: Sequence[Scrape]) -> list[Figure]:
    """Return what a series comes to."""
    counted = [one for one in made if one.number >= LANES * LEARNING]
    tolds = [told(one, scrapes) for one in counted]
    lags = [one.lag for one in tolds if one.lag is not None]
    false = [one.false for one in tolds if one.false]
    blur = percentile([one.seen.by - one.seen.after for one in scrapes], 0.5)
    how = (
        f"{len(lags)} runs in {LANES} lanes, each with a metric of its own; from when the scrape "
        f"that settles it could be read; median {percentile(lags, 0.5) * _MS:.0f} ms; observer's "
        f"blur {blur * _MS:.0f} ms"
    )
    most = max((one.requests.get("prometheus", 0) for one in counted), default=0)
    first = max(one.requests.get("prometheus", 0) for one in made)
    name = "verdict lag, prometheus"
    return [
        Figure(f"{name}: p95", percentile(lags, 0.95) * _MS, "ms", how, bound=100.0),
        Figure(f"{name}: false verdicts", len(false), "", "; ".join(false[:2]), bound=0),
        Figure(
            f"{name}: requests",
            most,
            "",
            "HTTP requests of the run that made the most, the reading before the job included; in "
            f"the first runs, of metrics that never were before, up to {first}",
            bound=MOST_REQUESTS,
        ),
    ]


def told(made: Made, scrapes: Sequence[Scrape]) -> Told:
    """Hold a run's verdict against the scrapes."""
    wanted = Status.FAIL if scenario(made.number) == SERVICE else Status.PASS
    given = [one for one in made.given if one.check == _CHECK]
    if [one.status for one in given] != [wanted.value]:
        return Told(None, f"run {made.number}: {[one.status for one in given]}, not {wanted.value}")
    could = settled(made, scrapes)
    if could is None:
        return Told(None, f"run {made.number}: no scrape could have settled it")
    lag = given[0].at - could
    if lag < 0:
        return Told(None, f"run {made.number}: {-lag * _MS:.0f} ms before it could be known")
    return Told(lag, "")


def settled(made: Made, scrapes: Sequence[Scrape]) -> float | None:
    """Return when the verdict could be given, on the monotonic clock; None if it never could."""
    job = made.run.evidence.job
    names = {one.name for one in made.run.evidence.samples if one.name.startswith("bench_")}
    if job.ended is None or job.submitted is None:
        return None
    changed, before = job.ended, None
    for scrape in scrapes:
        values = {k: v for k, v in scrape.values.items() if k.split(" ")[0] in names}
        if scrape.at >= job.submitted and values != before:
            changed = max(changed, scrape.at)
            break
        before = values
    # What is missing needs a scrape that is as late; whatever is there may go on changing.
    missing = scenario(made.number) == SERVICE
    wanted = (job.ended if missing else max(changed, job.ended)) + lag_truth.SETTLE
    after = next((one for one in scrapes if one.at >= wanted), None)
    if after is None:
        return None
    if not missing:
        return after.seen.after
    # By the rules it has to be asked for after the lag budget; on the clock that processes share.
    ended = job.ended - (time.time() - time.monotonic())
    return max(after.seen.after, ended + LAG_BUDGET)
