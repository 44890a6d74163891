"""When to look, as it is learned from earlier runs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from validator.habit import Habit, looks

TIMES = st.lists(st.floats(0.0, 60.0), min_size=1, max_size=60)


@given(TIMES, st.integers(1, 5))
def test_every_arrival_but_the_outliers_has_a_look_after_it(times: list[float], most: int) -> None:
    """There are never more looks than allowed, and none is later than it has to be."""
    found = looks(times, most)
    assert 1 <= len(found) <= most
    assert sum(time > found[-1] for time in times) <= 0.05 * len(times)
    assert found[-1] <= max(times) + 0.006
    assert list(found) == sorted(found)


def test_the_longest_wait_is_as_short_as_it_can_be() -> None:
    """Three groups of arrivals get a look each, right after their last."""
    found = looks([0.10, 0.12, 0.13, 0.50, 0.52, 2.00, 2.03], 3)
    assert found == pytest.approx((0.135, 0.525, 2.035), abs=0.002)
    assert looks([], 3) == ()


@pytest.mark.req("X-08")
def test_a_habit_takes_three_runs_and_forgets_after_twenty() -> None:
    """Two runs may be chance, and what was a month ago may be no more."""
    habit = Habit()
    habit.note([0.2, 1.5], 1.0)
    habit.note([], 1.0)  # nothing was seen: that is no habit
    habit.note([0.2, 1.5], 1.0)
    assert (habit.running(), habit.after_end()) == ((), ())
    habit.note([0.2, 1.5], 1.0)
    assert habit.running() == pytest.approx((0.205,), abs=0.001)
    assert habit.after_end() == pytest.approx((0.505,), abs=0.001)
    for _ in range(20):
        habit.note([0.2, 0.8], 1.0)
    assert habit.after_end() == pytest.approx((0.005,), abs=0.001)
