"""When evidence is complete, line by line: a pure function of times."""

from __future__ import annotations

from dataclasses import replace

import pytest

from validator.coverage import Asked, Moment, cover, next_moment
from validator.model import CoverageState, Signal

ENDED = 100.0
SOURCE = Asked(
    name="tempo",
    lag_budget=5.0,
    full=None,
    error="",
    hopeless=False,
    partial="",
    shown_by="traces of this run",
    baseline="",
)
MOMENT = Moment(now=103.0, ended=ENDED, last_new=99.0, settle=2.0, missing=False, patience=4.0)


def state(source: Asked, moment: Moment) -> CoverageState:
    """Return how complete the traces are."""
    return cover(Signal.TRACES, [source], moment).state


def test_without_a_source_the_signal_is_absent() -> None:
    """Nobody can be asked, and the reason says so."""
    covered = cover(Signal.LOGS, [], MOMENT)
    assert (covered.state, covered.sources) == (CoverageState.ABSENT, ())
    assert "no source of logs" in covered.reason


def test_while_the_job_runs_everything_is_open() -> None:
    """However long nothing new came, and whatever was answered."""
    moment = replace(MOMENT, ended=None, now=1000.0)
    assert state(replace(SOURCE, full=999.0), moment) is CoverageState.OPEN


@pytest.mark.parametrize(
    ("full", "last_new", "expected"),
    [
        (101.9, 99.0, CoverageState.OPEN),  # the settle time runs from the job's end
        (102.0, 99.0, CoverageState.SETTLED),
        (102.0, 101.0, CoverageState.OPEN),  # and from the last thing seen
        (103.0, 101.0, CoverageState.SETTLED),
        (None, 99.0, CoverageState.OPEN),  # an answer is needed, not only time
    ],
)
def test_settled_is_an_answer_after_quiet(
    full: float | None, last_new: float, expected: CoverageState
) -> None:
    """A full answer whose question was asked when nothing new had come for the settle time."""
    moment = replace(MOMENT, last_new=last_new, now=103.0)
    assert state(replace(SOURCE, full=full), moment) is expected


@pytest.mark.parametrize(
    ("full", "expected"), [(104.9, CoverageState.OPEN), (105.0, CoverageState.EXHAUSTED)]
)
def test_what_is_missing_is_missing_after_the_lag_budget(
    full: float, expected: CoverageState
) -> None:
    """Quiet is not enough then: the answer must be of the end plus the budget."""
    assert state(replace(SOURCE, full=full), replace(MOMENT, missing=True, now=105)) is expected


def test_what_never_gets_quiet_is_not_waited_for_for_ever() -> None:
    """Others keep a series moving: half of the patience after the budget it is enough."""
    moving = replace(MOMENT, last_new=106.9, now=107.0)
    assert state(replace(SOURCE, full=106.9), moving) is CoverageState.OPEN
    assert state(replace(SOURCE, full=107.0), moving) is CoverageState.EXHAUSTED


@pytest.mark.req("V-13")
@pytest.mark.parametrize(
    ("source", "expected", "reason"),
    [
        (replace(SOURCE, shown_by="", full=106.0), CoverageState.UNPROVEN, "no control record"),
        (replace(SOURCE, error="tempo: 500"), CoverageState.UNREACHABLE, "tempo: 500"),
        (replace(SOURCE, partial="page 2 failed"), CoverageState.UNPROVEN, "page 2 failed"),
        (SOURCE, CoverageState.UNREACHABLE, "gave no answer"),
    ],
    ids=["unshown", "failing", "partial", "silent"],
)
def test_a_source_is_given_up_when_patience_is_over(
    source: Asked, expected: CoverageState, reason: str
) -> None:
    """Not a moment before budget and patience have passed; then never as complete."""
    assert state(source, replace(MOMENT, now=108.9, missing=True)) is CoverageState.OPEN
    covered = cover(Signal.TRACES, [source], replace(MOMENT, now=109.0, missing=True))
    assert covered.state is expected
    assert reason in covered.reason
    assert not covered.state.complete


def test_a_source_that_refuses_is_given_up_at_once() -> None:
    """Asking again would not help."""
    source = replace(SOURCE, error="tempo: refused: 403", hopeless=True)
    assert state(source, replace(MOMENT, now=ENDED)) is CoverageState.UNREACHABLE


def test_an_old_good_answer_does_not_outweigh_a_failure() -> None:
    """The last answer was an error: what had been answered before it is not fresh."""
    source = replace(SOURCE, full=106.0, error="tempo: 500")
    assert state(source, replace(MOMENT, now=107.0)) is CoverageState.OPEN


def test_a_broken_baseline_is_unproven() -> None:
    """Without a reading before the job an increase cannot be known, whatever comes after."""
    source = replace(SOURCE, full=103.0, baseline="could not be read before the job")
    covered = cover(Signal.METRICS, [source], MOMENT)
    assert covered.state is CoverageState.UNPROVEN
    assert "before the job" in covered.reason


def test_a_signal_is_as_complete_as_its_weakest_source() -> None:
    """One that settled does not speak for one that cannot be asked; all are named."""
    good, bad = replace(SOURCE, full=103.0), replace(SOURCE, name="b", error="x", hopeless=True)
    covered = cover(Signal.TRACES, [good, bad], MOMENT)
    assert (covered.state, covered.sources) == (CoverageState.UNREACHABLE, ("tempo", "b"))
    waiting = replace(SOURCE, name="c")
    assert cover(Signal.TRACES, [bad, waiting], MOMENT).state is CoverageState.OPEN


def test_time_alone_decides_only_at_these_moments() -> None:
    """Quiet, the budget, half of the patience, all of it; what has passed is no moment."""
    assert next_moment([SOURCE], MOMENT) == [105.0, 107.0, 109.0]
    assert next_moment([SOURCE], replace(MOMENT, now=100.0)) == [102.0, 105.0, 107.0, 109.0]
    assert next_moment([SOURCE], replace(MOMENT, ended=None)) == []
