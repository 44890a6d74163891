"""How many jobs in a time: never more, and no longer a wait than it takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from validator.config_values import PerTime, parse_rate
from validator.submit.rate import RateLimit
from validator.testing import FakeClock

pytestmark = pytest.mark.req("V-11")


@given(count=st.integers(1, 5), pauses=st.lists(st.floats(0, 40), max_size=30))
def test_in_no_window_are_there_more_than_so_many(count: int, pauses: list[float]) -> None:
    """Whoever waits as told sends as soon as may be, and never too many."""
    clock = FakeClock(0.0)
    limit = RateLimit(PerTime(count, 60.0), clock)
    sent: list[float] = []
    for pause in pauses:
        clock.sleep(pause)
        came = clock.time
        while left := limit.take():
            clock.sleep(left)
        earliest = sent[-count] + 60.0 if len(sent) >= count else came
        assert clock.time == pytest.approx(max(came, earliest))
        sent.append(clock.time)
    for first, over in zip(sent, sent[count:], strict=False):
        assert over - first >= 60.0 - 1e-6


def test_asking_counts_nothing() -> None:
    """Only what is taken is counted."""
    limit = RateLimit(PerTime(1, 60.0), FakeClock())
    assert [limit.wait(), limit.wait(), limit.take(), limit.wait()] == [0.0, 0.0, 0.0, 60.0]


@pytest.mark.parametrize(("text", "count", "seconds"), [("1/s", 1, 1), ("30/m", 30, 60)])
def test_it_is_written_as_so_many_in_a_time(text: str, count: int, seconds: float) -> None:
    """And shown as it is written."""
    assert parse_rate(text) == PerTime(count, seconds)
    assert str(parse_rate(text)) == text


@pytest.mark.parametrize("text", ["0/m", "30", "30/d", "-1/s", "1.5/m", 30, None])
def test_anything_else_is_refused(text: object) -> None:
    """A number without its time above all."""
    with pytest.raises(ValueError, match="expected so many"):
        parse_rate(text)
