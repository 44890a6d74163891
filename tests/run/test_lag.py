"""Rules of judging: how long a source takes."""

from __future__ import annotations

import random
import statistics

import pytest

from tests.run.world import (
    ANY,
    World,
    but,
    verdict,
)
from tests.traces import EPOCH, pipeline
from validator.habit import Habit
from validator.lag import LagHistogram
from validator.model import (
    JobState,
    Signal,
    Status,
)
from validator.plan import HabitKey


def slow_world(lag: float, lags: dict[str, LagHistogram]) -> World:
    """Return a world whose source shows each span `lag` seconds after its end."""
    world = World(lags=lags)
    for one in pipeline():
        world.source.span(one.end / 1e9 - EPOCH + lag, one)
    return world


@pytest.mark.req("X-08")
def test_the_ingest_lag_is_measured() -> None:
    """Spans are readable 1.4 s after their end: that is what the run reports of the source."""
    run = slow_world(1.4, {}).run()
    (lag,) = (one.lag for one in run.evidence.sources if Signal.TRACES in one.signals)
    assert lag == pytest.approx(1.4, abs=0.5)


@pytest.mark.req("X-08")
def test_looks_follow_the_measured_lag() -> None:
    """Once a source is known, it is asked when there is something to see, and less often."""
    lags = {"fake": LagHistogram()}
    first = slow_world(1.4, lags)
    first.run()
    for _ in range(30):
        lags["fake"].note(1.4)
    second = slow_world(1.4, lags)
    assert verdict(second.run()).status is Status.PASS
    assert len(second.source.asked) < len(first.source.asked)


@pytest.mark.req("X-08")
def test_a_source_that_became_slower_is_waited_for_and_told_of() -> None:
    """Four seconds against a declared two: no false fail once that is known, but a finding."""
    lags = {"fake": LagHistogram()}
    assert verdict(slow_world(4.0, lags).run()).status is Status.FAIL
    for _ in range(30):
        lags["fake"].note(4.0)
    run = slow_world(4.0, lags).run()
    assert verdict(run).status is Status.PASS
    assert any(
        "slower than its lag budget" in one for s in run.evidence.sources for one in s.findings
    )


@pytest.mark.req("X-08")
def test_patience_does_not_grow_without_bound() -> None:
    """A source of a minute's lag is waited for three times its budget, and no longer."""
    lags = {"fake": LagHistogram()}
    for _ in range(30):
        lags["fake"].note(60.0)
    world = slow_world(60.0, lags)
    assert verdict(world.run()).status is Status.FAIL
    assert world.decided() < 1 + 3 * 2.0 + 0.5


@pytest.mark.untraced
@pytest.mark.req("X-08")
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_verdicts_follow_the_evidence_with_few_requests(seed: int) -> None:
    """After some runs of a suite a source is asked when there is something to see.

    A job of 2.5 s whose last span comes 100 to 300 ms after its end: the verdict that waits for
    the settle time is at most 100 ms late in 95 of 100 runs, at no more than ten requests each.
    """
    rng = random.Random(seed)
    habits: dict[HabitKey, Habit] = {}
    late, asked = [], []
    for number in range(40):
        world = World(habits=habits)
        world.target.script = [(0.0, "x", JobState.RUNNING), (2.5, "done", JobState.PASSED)]
        world.source.latency = 0.005
        *some, last = pipeline()
        for one in some:
            world.source.span(rng.uniform(0.2, 2.4), one)
        came = 2.5 + rng.uniform(0.1, 0.3)
        world.source.span(came, last)
        assert verdict(world.run()).status is Status.PASS
        if number >= 10:
            late.append(world.decided() - (came + world.settle))
            asked.append(len(world.source.asked))
    assert sorted(late)[int(len(late) * 0.95)] <= 0.1
    assert max(asked) <= 12  # traces and logs together


@pytest.mark.untraced
@pytest.mark.req("X-08")
def test_while_the_job_runs_looks_are_for_what_decides() -> None:
    """What passes with the first span is asked for when that comes, and nothing else then.

    The first runs look every second; they show which piece decided, and later ones look for it.
    """
    rng = random.Random(1)
    habits: dict[HabitKey, Habit] = {}
    late, running = [], []
    for number in range(40):
        world = World(habits=habits, checks=[ANY])
        world.target.script = [(0.0, "x", JobState.RUNNING), (5.0, "done", JobState.PASSED)]
        world.source.latency = 0.005
        first, *rest = pipeline()
        assert first.service == "orchestrator"
        came = rng.uniform(0.1, 0.2)
        world.source.span(came, first)
        for one in rest:
            world.source.span(rng.uniform(1.0, 4.5), one)
        assert verdict(world.run(), "span_attributes").status is Status.PASS
        if number >= 25:
            late.append(world.decided("span_attributes") - came)
            running.append(sum(time < EPOCH + 5 for time in world.source.asked))
    assert statistics.median(late) <= 0.1
    assert max(late) <= 0.2
    assert statistics.median(running) <= 3
    assert max(running) <= 5


@pytest.mark.req("X-08")
def test_what_is_missing_is_not_asked_for_when_only_time_decides() -> None:
    """Nothing new for the settle time decides nothing while a span is missing: that look is saved.

    Once the span is there, it decides again.
    """
    for came, last in ((None, 3.0), (1.4, 3.4)):
        world = World()
        *some, store = pipeline()
        world.source.span(0.5, *but(some, store.service))
        if came is not None:
            world.source.span(came, *(one for one in pipeline() if one.service == store.service))
        status = verdict(world.run()).status
        assert status is (Status.FAIL if came is None else Status.PASS)
        assert world.decided() == pytest.approx(last, abs=0.4)
