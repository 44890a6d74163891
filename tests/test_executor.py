"""Calls beside the loop: what finishes comes first, wake-ups fold, bugs of ours are raised."""

from __future__ import annotations

import threading

import pytest

from validator.clock import SystemClock
from validator.errors import SubmitError
from validator.executor import Done, ThreadExecutor


@pytest.fixture
def executor() -> ThreadExecutor:
    """Return an executor on the machine's clock."""
    return ThreadExecutor(SystemClock().now)


def test_a_call_that_hangs_holds_up_no_other(executor: ThreadExecutor) -> None:
    """The second call's value is there while the first still runs."""
    let_go = threading.Event()
    executor.start("slow", lambda: let_go.wait(30))
    executor.start("fast", lambda: 7)
    (done,) = executor.wait(10)
    assert (done.token, done.value, done.error) == ("fast", 7, None)
    let_go.set()
    (late,) = executor.wait(10)
    assert (late.token, late.value) == ("slow", True)
    assert late.asked <= done.asked


def test_our_own_errors_are_results_and_others_are_raised(executor: ThreadExecutor) -> None:
    """A `ValidatorError` is what became of a call; anything else is a bug."""

    def refused() -> None:
        raise SubmitError("no")

    def broken() -> None:
        raise ZeroDivisionError

    executor.start("refused", refused)
    (done,) = executor.wait(10)
    assert isinstance(done.error, SubmitError)
    executor.start("broken", broken)
    with pytest.raises(ZeroDivisionError):
        executor.wait(10)


def test_wake_ups_of_one_token_are_folded_until_they_are_taken(executor: ThreadExecutor) -> None:
    """A thousand changes of a source are one reason to look; the next is a new one."""
    for _ in range(1000):
        executor.wake("a")
    executor.wake("b")
    assert [done.token for done in executor.wait(10)] == ["a", "b"]
    executor.wake("a")
    assert [done.token for done in executor.wait(10)] == ["a"]


def test_waiting_for_nothing_ends(executor: ThreadExecutor) -> None:
    """After the time given, or at once if there is none to give."""
    assert executor.wait(0) == []
    assert executor.wait(0.01) == []


def test_an_interrupt_reaches_who_waits(executor: ThreadExecutor) -> None:
    """Whichever thread presses Ctrl-C for it."""
    pressed = threading.Thread(target=executor.interrupt)
    pressed.start()
    with pytest.raises(KeyboardInterrupt):
        executor.wait(10)
    pressed.join()


def test_a_closed_executor_starts_nothing(executor: ThreadExecutor) -> None:
    """What is asked of it afterwards is not run."""
    ran: list[Done] = []
    executor.close()
    executor.start("x", lambda: ran.append(Done("x", 0.0, None, None)))
    assert executor.wait(0) == []
    assert ran == []
