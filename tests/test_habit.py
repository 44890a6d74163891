"""When to look, as it is learned from earlier runs."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from validator.habit import Arrival, Habit, looks

TIMES = st.lists(st.floats(0.0, 60.0), min_size=1, max_size=60)


@given(TIMES, st.integers(1, 5))
def test_every_arrival_has_a_look_after_it(times: list[float], most: int) -> None:
    """There are never more looks than allowed, and none is later than it has to be."""
    found = looks(times, most)
    assert 1 <= len(found) <= most
    assert found[-1] > max(times)
    assert found[-1] <= max(times) + (max(times) - min(times)) / 2 + 0.006
    assert list(found) == sorted(found)


def test_the_longest_wait_is_as_short_as_it_can_be() -> None:
    """Three groups of arrivals get a look each, after their last.

    The wider a group is, and the fewer its arrivals, the later may the next one be.
    """
    found = looks([0.10, 0.12, 0.13, 0.50, 0.52, 2.00, 2.03], 3)
    assert found == pytest.approx((0.145, 0.535, 2.050), abs=0.002)
    many = [0.1 + 0.001 * number for number in range(30)]
    assert looks([*many, 0.135, 0.2], 2) == pytest.approx((0.1412, 0.205), abs=0.001)
    assert looks([], 3) == ()


@pytest.mark.req("X-08")
def test_a_habit_takes_three_runs_and_forgets_after_twenty() -> None:
    """Two runs may be chance, and what was a month ago may be no more."""
    habit = Habit()
    habit.note([0.2, 1.5], 1.0, [0.2])
    habit.note([], 1.0)  # nothing was seen: that is no habit
    habit.note([0.2, 1.5], 1.0, [0.2])
    assert (habit.known, habit.running(), habit.after_end()) == (False, (), ())
    habit.note([0.2, 1.5], 1.0, [0.2])
    assert habit.running() == pytest.approx((0.205,), abs=0.001)
    assert habit.after_end() == pytest.approx((0.505,), abs=0.001)
    for _ in range(20):
        habit.note([0.2, 0.8], 1.0)
    assert habit.running() == ()
    assert habit.after_end() == pytest.approx((0.005,), abs=0.001)


def test_looks_are_for_what_is_still_to_come() -> None:
    """After a look that was early, the rest of the looks go to what came later than that."""
    habit = Habit()
    for last in (1.1, 1.2, 1.3, 1.4):
        habit.note([last], 1.0)
    assert habit.after_end(2) == pytest.approx((0.23, 0.455), abs=0.03)
    assert habit.after_end(2, since=0.25) == pytest.approx((0.305, 0.405), abs=0.06)
    assert habit.after_end(2, since=0.5) == ()


def test_a_source_of_steady_lag_is_learned_exactly() -> None:
    """Where pieces always take 10 ms, wide gaps between the looks hide nothing."""
    habit = Habit()
    tight = [Arrival(time, time, time + 0.02) for time in (0.1, 0.2, 0.3, 0.4, 0.5)]
    wide = Arrival(1.5, 1.5, 2.5)
    for _ in range(4):
        habit.learn(tight, [], 0.0, 1.0)
    habit.learn([wide], [], 0.0, 1.0)
    assert habit.last[-1] == pytest.approx(0.51)


def test_what_the_looks_do_not_tell_is_spread_between_them() -> None:
    """Taking the middle each time would look there again and again, and miss what is later."""
    habit = Habit()
    for _ in range(20):
        habit.learn([Arrival(0.5, 1.2, 1.4)], [], 0.0, 1.0)
    times = sorted(habit.last)
    assert 0.2 <= times[0] < 0.22
    assert 0.38 < times[-1] <= 0.4
    assert max(b - a for a, b in pairwise(times)) < 0.03


def test_one_piece_that_came_unobserved_draws_no_looks_far_away() -> None:
    """Between the last usual look and the next, a second later, it came early rather than late."""
    habit = Habit()
    for last in (1.1, 1.2, 1.3):
        habit.note([last], 1.0)
    habit.learn([Arrival(0.5, 1.31, 2.4)], [], 0.0, 1.0)
    assert habit.last[-1] <= 0.51
