"""Verdict lag: from when a verdict could be given until it was given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench import lag_truth
from bench.figures import Figure, percentile
from bench.lag_run import POLL
from bench.lag_runs import Series, series
from bench.lag_truth import Due, Outcome, examine, scenario

RUNS = 200
LANES = 2
SLOW_RUNS = 40
DELAY = 0.2
_MS = 1000.0


@dataclass(frozen=True, slots=True)
class Told:
    """What a series comes to; lags in seconds, of each run that of its slowest verdict.

    `void` are runs whose evidence did not keep to the declared times, or that the observer did
    not see whole. `requests` is the mean over all sources, `most` the most that a run asked each
    backend over HTTP, where that was counted.
    """

    slowest: tuple[float, ...]
    by_due: dict[str, list[float]]
    false: tuple[str, ...]
    void: int
    requests: float
    blur: float
    most: Mapping[str, int]


def told(done: Series) -> Told:
    """Examine every run of a series."""
    outcomes: list[tuple[int, Outcome]] = []
    void, requests, blur = 0, 0, []
    most: Counter[str] = Counter()
    for made in done.made:
        most |= Counter(made.requests)
        seen = done.seen.get(made.run.evidence.job.id)
        if seen is None or not seen.in_time():
            void += 1
            continue
        record = {verdict.name: verdict.status.value for verdict in made.run.verdicts}
        expected = lag_truth.EXPECTED[scenario(made.number)]
        outcomes.append((made.number, examine(expected, seen, made.given, record)))
        requests += sum(source.requests for source in made.run.evidence.sources)
        blur += [one.by - one.after for one in (seen.end, *seen.spans, *seen.lines)]
    by_due: dict[str, list[float]] = {}
    slowest = []
    for number, outcome in outcomes:
        expected = lag_truth.EXPECTED[scenario(number)]
        for check, lag in outcome.lags.items():
            by_due.setdefault(expected[check][1].name, []).append(lag)
        if outcome.lags:
            slowest.append(max(outcome.lags.values()))
    false = [f"run {n} ({scenario(n)}): {one}" for n, out in outcomes for one in out.false]
    mean = requests / len(outcomes) if outcomes else 0.0
    return Told(tuple(slowest), by_due, tuple(false), void, mean, percentile(blur, 0.5), most)


def measure() -> list[Figure]:
    """Measure with the collector in process, then as a process of its own."""
    figures = []
    for remote in (False, True):
        done = series(RUNS, lanes=LANES, remote=remote)
        slow = series(SLOW_RUNS, lanes=LANES, remote=remote, delay=DELAY)
        figures += _figures("remote" if remote else "in process", done, slow)
    return figures


def _figures(where: str, done: Series, slow: Series) -> list[Figure]:
    plain, late = told(done), told(slow)
    name = f"verdict lag, collector {where}"
    p95 = percentile(plain.slowest, 0.95)
    return [
        Figure(f"{name}: p95", p95 * _MS, "ms", how(done, plain, LANES), bound=100.0),
        Figure(f"{name}: false verdicts", len(plain.false), "", kinds(plain.false), bound=0),
        Figure(
            f"{name}: requests per run",
            plain.requests,
            "",
            "questions to the source, traces and logs together; every lane's evidence wakes all "
            f"{LANES}",
        ),
        Figure(f"{name}: settle time", lag_truth.SETTLE, "s", "as declared; not part of the lag"),
        Figure(
            f"{name}: runs void",
            plain.void,
            "",
            f"of {len(done.made)}: their evidence came later than declared, so they show nothing",
            bound=len(done.made) / 20,
        ),
        *_late(name, plain, late),
    ]


def _late(name: str, plain: Told, late: Told) -> list[Figure]:
    """Return what the latency does to the figure: what the instrument must not overlook."""
    delay = DELAY * _MS

    def rise(due: Due) -> float:
        medians = [percentile(one.by_due.get(due.name, ()), 0.5) for one in (late, plain)]
        return (medians[0] - medians[1]) * _MS

    name = f"{name}, {delay:.0f} ms put into the source"
    once = "the median's rise; it waits for one answer that is asked for when the time has come"
    twice = (
        "likewise; for two answers, that which has the last span (from it the settle time runs) "
        "and that which has nothing new"
    )
    return [
        Figure(
            f"{name}: p95",
            percentile(late.slowest, 0.95) * _MS,
            "ms",
            f"{len(late.slowest)} runs",
        ),
        Figure(f"{name}: false verdicts", len(late.false), "", kinds(late.false), bound=0),
        Figure(
            f"{name}: rise of what waits for the lag budget",
            rise(Due.BUDGET),
            "ms",
            once,
            bound=delay * 2,
            least=delay * 0.9,
        ),
        Figure(
            f"{name}: rise of what waits to settle",
            rise(Due.SPANS_SETTLED),
            "ms",
            twice,
            bound=delay * 3,
            least=delay * 0.9,
        ),
    ]


def how(done: Series, plain: Told, lanes: int) -> str:
    """Return how a series was measured, and what its verdicts waited for."""
    parts = ", ".join(
        f"{name.lower()} {percentile(lags, 0.5) * _MS:.0f}/{percentile(lags, 0.95) * _MS:.0f}"
        for name, lags in sorted(plain.by_due.items())
    )
    return (
        f"{len(plain.slowest)} real runs in {lanes} lanes, {done.seconds:.0f} s, the slowest "
        f"verdict of each; job polled every {POLL}; p50/p95 in ms by what a verdict waits for: "
        f"{parts}; observer's blur {plain.blur * _MS:.0f} ms; CPU of the machine "
        f"{done.machine:.0f} %, of the loop's process {done.own:.0f} % of one core"
    )


def kinds(false: Sequence[str]) -> str:
    """Return which verdicts were false, the first of them in full."""
    if not false:
        return ""
    kinds = Counter(one.partition(": ")[2].split(":")[0] for one in false)
    counted = ", ".join(f"{check} {count}" for check, count in kinds.most_common())
    return f" ({counted}; first: {false[0]})"
