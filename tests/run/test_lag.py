"""Rules of judging: how long a source takes."""

from __future__ import annotations

import pytest

from tests.run.world import (
    World,
    verdict,
)
from tests.traces import EPOCH, pipeline
from validator.lag import LagHistogram
from validator.model import (
    Signal,
    Status,
)


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
