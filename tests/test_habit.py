"""When to look, as it is learned from earlier runs."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from validator.habit import Arrival, Habit, spread

TIMES = st.lists(st.floats(0.0, 60.0), max_size=60)


def seen(time: float) -> Arrival:
    """Return a piece that was looked for at the moment at which it came."""
    return Arrival(time, time, time)


def habit_of(*last: float, decisive: float | None = None) -> Habit:
    """Return the habit of jobs of one second, whose last pieces came at these times."""
    habit = Habit()
    decided = [] if decisive is None else [seen(decisive)]
    for time in last:
        habit.learn([*decided, seen(time)], decided, 0.0, 1.0)
    return habit


@given(TIMES, TIMES, st.integers(2, 9))
def test_every_arrival_has_a_look_after_it(
    running: list[float], after: list[float], most: int
) -> None:
    """There are never more looks than allowed; each is soon after what it is for."""
    found = spread([running, after], most)
    assert sum(map(len, found)) <= most
    for times, looks in zip((running, after), found, strict=True):
        assert bool(looks) == bool(times)
        assert list(looks) == sorted(looks)
        if times:
            assert max(times) < looks[-1] <= max(times) * 2 - min(times) + 0.011


@given(TIMES, TIMES, st.integers(2, 9))
def test_the_longest_wait_is_as_short_as_it_can_be(
    running: list[float], after: list[float], most: int
) -> None:
    """No wait is longer than if the looks were evenly apart, over both parts and what is beyond."""
    found = spread([running, after], most)
    total = 0.0
    longest = 0.0
    for times, looks in zip((running, after), found, strict=True):
        if times:
            apart = (max(times) - min(times)) / max(1, len(times) - 1)
            total += max(times) - min(times) + 2 * apart
            waits = [next(look for look in looks if look >= time) - time for time in times]
            longest = max(longest, *waits)
    assert longest <= max(0.02, total / max(1, most - 1)) + 0.012


def test_looks_go_to_where_things_come() -> None:
    """Three groups of arrivals get a look each, after their last; nothing between them does."""
    (found,) = spread([[0.10, 0.11, 0.12, 0.50, 0.51, 2.00, 2.01]], 5)
    for first, last in ((0.12, 0.15), (0.51, 0.54), (2.01, 2.04)):
        assert any(first < look < last for look in found)
    assert not [look for look in found if 0.6 < look < 1.6]
    assert spread([[], []], 3) == [(), ()]


@pytest.mark.req("X-08")
def test_a_habit_takes_three_runs_and_forgets_after_forty() -> None:
    """Two runs may be chance, and what was a month ago may be no more."""
    habit = habit_of(1.5, 1.5, decisive=0.2)
    habit.learn([], [], 0.0, 1.0)  # nothing was seen: that is no habit
    assert (habit.known, habit.running(8), habit.after_end(8)) == (False, (), ())
    habit.learn([seen(0.2), seen(1.5)], [seen(0.2)], 0.0, 1.0)
    assert habit.running(8) == pytest.approx((0.21,), abs=0.001)
    assert habit.after_end(8) == pytest.approx((0.51,), abs=0.001)
    for _ in range(40):
        habit.learn([seen(0.2), seen(0.8)], [], 0.0, 1.0)
    assert habit.running(8) == ()
    assert habit.after_end(8) == pytest.approx((0.01,), abs=0.001)


def test_the_looks_are_shared_so_that_the_longest_wait_is_the_same() -> None:
    """Where what decides comes anywhere within a second, and the last piece always alike."""
    habit = Habit()
    for number in range(11):
        decisive = seen(number / 10)
        habit.learn([decisive, seen(3.0)], [decisive], 0.0, 2.5)
    assert len(habit.running(8)) == 7
    assert len(habit.after_end(8)) == 1


def test_what_has_decided_needs_no_more_looks() -> None:
    """As many pieces as ever decided a verdict of one run while its job ran."""
    habit = habit_of(1.5, 1.5, 1.5, decisive=0.2)
    assert habit.decides(0)
    assert not habit.decides(1)


def test_fewer_pieces_than_usual_are_told_from_broken_runs() -> None:
    """One run that lost half of its pieces does not make that usual."""
    habit = Habit()
    for count in (5, 5, 2, 5, 5):
        habit.learn([seen(0.5)] * count, [], 0.0, 1.0)
    assert habit.misses(4)
    assert not habit.misses(5)


def test_looks_are_for_what_is_still_to_come() -> None:
    """After a look that was early, the rest of the looks go to what came later than that."""
    habit = habit_of(1.1, 1.2, 1.3, 1.4)
    assert habit.after_end(2) == pytest.approx((0.21, 0.51), abs=0.03)
    assert habit.after_end(2, since=0.25) == pytest.approx((0.31, 0.51), abs=0.06)
    assert habit.after_end(2, since=0.5) == ()


def test_a_source_of_steady_lag_is_learned_exactly() -> None:
    """Where pieces always take 10 ms, wide gaps between the looks hide nothing.

    Nor did they in the runs before that was known.
    """
    tight = [Arrival(time, time, time + 0.02) for time in (0.1, 0.2, 0.3, 0.4, 0.5)]
    wide = Arrival(1.5, 1.5, 2.5)
    habit = Habit()
    for _ in range(4):
        habit.learn([wide], [wide], 0.0, 1.0)
    assert len(habit.after_end(4)) > 1
    for _ in range(2):
        habit.learn([*tight, wide], [], 0.0, 1.0)
    assert habit.after_end(4) == pytest.approx((0.52,))
    assert habit.running(4) == pytest.approx((1.52,))


def test_what_the_looks_do_not_tell_is_spread_between_them() -> None:
    """Taking the middle each time would look there again and again, and miss what is later."""
    habit = Habit()
    for _ in range(20):
        habit.learn([Arrival(0.5, 1.2, 1.4)], [], 0.0, 1.0)
    found = (0.2, *habit.after_end(5))
    assert found[-1] == pytest.approx(0.42, abs=0.02)
    assert max(b - a for a, b in pairwise(found)) < 0.07


def test_one_piece_that_came_unobserved_draws_no_looks_far_away() -> None:
    """Between the last usual look and the next, a second later, it came early rather than late."""
    habit = habit_of(1.1, 1.2, 1.3)
    habit.learn([Arrival(0.5, 1.31, 2.4)], [], 0.0, 1.0)
    assert habit.after_end(8)[-1] <= 0.7
