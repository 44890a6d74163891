"""A failed span that comes after the rest of the trace: a false green, unless somebody waits.

What comes within the declared settle time has to fail rightly at first; what comes later has to be
revised by the second look.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench import lag_truth
from bench.backends import Counted, trace_stores
from bench.figures import Figure
from bench.lag_run import Made, Making
from bench.stack_runs import known, lanes, make, place
from validator.model import Run, Status
from validator.ports import Source
from validator.suite import CheckSpec

RUNS = 12
LANES = 12
SETTLE = 2.0
SECOND_LOOK = 5.0
LATE = (0.5, 1.5, 3.0)
_CHECK = "no_failures"


def measure() -> Iterator[Figure]:
    """Measure with each trace store that this machine can run."""
    for store in trace_stores():
        with place(store) as where:
            for late in LATE:

                def sources(counted: Counted) -> tuple[Source, ...]:
                    return (counted.traces(where.backends[store]),)  # noqa: B023 - used at once

                making = Making(
                    where.address,
                    (),
                    known(),
                    checks(),
                    settle=SETTLE,
                    late=late,
                    scenario=lambda _number: lag_truth.GOOD,
                    second_look=SECOND_LOOK,
                )
                made, *_ = make(RUNS, lanes(LANES, making, sources))
                yield from figures(store, late, made)


def checks() -> tuple[CheckSpec, ...]:
    """Return the one check: no span of the worker failed."""
    params = {"spans": {"service": "worker"}, "status": "not_error"}
    return (CheckSpec("span_outcome", _CHECK, params, "a failed task", "required", "(bench)"),)


def figures(store: str, late: float, made: tuple[Made, ...]) -> list[Figure]:
    """Return one row of the table: what was said at first, and after the second look."""
    first = [said(one.run) for one in made]
    after = [said(one.again or one.run) for one in made]
    within = late < SETTLE
    name = f"failed span {late:g} s late, {store}"
    told = (
        f"{len(made)} runs, settle time {SETTLE:g} s; at first {_counted(first)}; after a second "
        f"look {SECOND_LOOK:g} s later {_counted(after)}"
    )
    passed = sum(one is Status.PASS for one in first)
    return [
        Figure(f"{name}: green at first", passed, "", told, bound=0 if within else None),
        Figure(
            f"{name}: false greens after all",
            sum(one is not Status.FAIL for one in after) + RUNS - len(made),
            "",
            "" if within else "the second look has to find it",
            bound=0,
        ),
    ]


def said(run: Run) -> Status:
    """Return what a run says of the job's failures."""
    return next(one.status for one in run.verdicts if one.name == _CHECK)


def _counted(said: list[Status]) -> str:
    kinds = dict.fromkeys(said)
    return ", ".join(f"{said.count(kind)} {kind.value}" for kind in kinds)
