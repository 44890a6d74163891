"""The circuit breaker: opens after failures in a row, tries once, and closes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.breaker import Breaker, Limits, OpenError, State
from tests.pipeline.clock import Clock

pytestmark = pytest.mark.req("P-04", "P-08")

Changes = list[tuple[State, State]]


class UnwellError(Exception):
    """What the dependency raises."""


@pytest.fixture
def clock() -> Clock:
    """Return the time of the breaker."""
    return Clock()


@pytest.fixture
def changes() -> Changes:
    """Return what the breaker tells of its changes."""
    return []


@pytest.fixture
def breaker(clock: Clock, changes: Changes) -> Breaker:
    """Return a breaker that opens after five failures, for thirty seconds."""

    def note(before: State, after: State) -> None:
        changes.append((before, after))

    return Breaker("membership", Limits(5, 30), clock=clock, changed=note)


def state(breaker: Breaker) -> str:
    """Return its state; as a text, for a call changes what a type checker takes for constant."""
    return breaker.state.value


def fail(breaker: Breaker, error: type[Exception] = UnwellError) -> None:
    """Make a call that fails."""
    with pytest.raises(error), breaker.call(UnwellError):
        raise error


def test_five_failures_in_a_row_open_it(breaker: Breaker, changes: Changes) -> None:
    """Four leave it closed; the fifth opens it, and the next call is not made."""
    for _ in range(4):
        fail(breaker)
    assert state(breaker) == "closed"
    fail(breaker)
    assert changes == [(State.CLOSED, State.OPEN)]
    with pytest.raises(OpenError, match="membership") as refused, breaker.call(UnwellError):
        pytest.fail("the call was made")
    assert refused.value.seconds == 30


def test_a_success_between_failures_begins_the_count_anew(breaker: Breaker) -> None:
    """Failures count in a row only."""
    for _ in range(3):
        for _ in range(4):
            fail(breaker)
        with breaker.call(UnwellError):
            pass
    assert state(breaker) == "closed"


def test_an_answer_is_no_failure(breaker: Breaker) -> None:
    """An exception that is not of the named kind shows that the dependency is well."""
    for _ in range(4):
        fail(breaker)
    fail(breaker, KeyError)
    fail(breaker)
    assert state(breaker) == "closed"


def test_after_its_time_one_call_tries(breaker: Breaker, clock: Clock, changes: Changes) -> None:
    """Half open it lets one call through, and refuses others until that one has ended."""
    for _ in range(5):
        fail(breaker)
    clock.now += 29.9
    with pytest.raises(OpenError), breaker.call(UnwellError):
        pytest.fail("the call was made")
    clock.now += 0.1
    with breaker.call(UnwellError):
        assert state(breaker) == "half_open"
        with pytest.raises(OpenError), breaker.call(UnwellError):
            pytest.fail("a second call was made")
    assert state(breaker) == "closed"
    opened = [(State.CLOSED, State.OPEN), (State.OPEN, State.HALF_OPEN)]
    assert changes == [*opened, (State.HALF_OPEN, State.CLOSED)]


def test_a_try_that_fails_opens_it_for_its_whole_time(breaker: Breaker, clock: Clock) -> None:
    """One failure is enough when half open."""
    for _ in range(5):
        fail(breaker)
    clock.now += 30
    fail(breaker)
    clock.now += 29
    with pytest.raises(OpenError), breaker.call(UnwellError):
        pytest.fail("the call was made")


def test_an_interrupted_try_does_not_block_the_others(breaker: Breaker, clock: Clock) -> None:
    """A try that never came to its end is no success, and the next one is made in time."""
    for _ in range(5):
        fail(breaker)
    clock.now += 30
    with pytest.raises(KeyboardInterrupt), breaker.call(UnwellError):
        raise KeyboardInterrupt
    assert state(breaker) == "open"
    clock.now += 30
    with breaker.call(UnwellError):
        pass
    assert state(breaker) == "closed"


@pytest.mark.parametrize("ends", ["well", "badly"])
def test_calls_from_before_a_change_say_nothing(breaker: Breaker, clock: Clock, ends: str) -> None:
    """What began while it was closed neither closes it when open nor opens it once more."""
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        with breaker.call(UnwellError):
            begun.set()
            assert go_on.wait(10)
            if ends == "badly":
                raise UnwellError

    with ThreadPoolExecutor(1) as threads:
        late = threads.submit(slow)
        assert begun.wait(10)
        for _ in range(5):
            fail(breaker)
        clock.now += 20
        go_on.set()
        assert isinstance(late.exception(10), UnwellError) is (ends == "badly")
    assert state(breaker) == "open"
    clock.now += 10
    with breaker.call(UnwellError):
        assert state(breaker) == "half_open"


def test_calls_run_side_by_side(breaker: Breaker) -> None:
    """The breaker is not held during a call: two calls meet within it."""
    meet = threading.Barrier(2, timeout=10)

    def call() -> None:
        with breaker.call(UnwellError):
            meet.wait()

    both: list[Callable[[], None]] = [call, call]
    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(one) for one in both]:
            done.result(10)
