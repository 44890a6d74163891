"""When the supervisor starts a process again, and what it hears of the end of one."""

from __future__ import annotations

import select
import signal
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import backoff
from pipeline.host import wakeup
from pipeline.host.restarts import MOST_SECONDS, STEADY_SECONDS, Restarts
from pipeline.host.wakeup import Wakeup

pytestmark = pytest.mark.req("P-12")


def test_it_waits_longer_each_time() -> None:
    """0.1 s, doubled at each end in a row, up to 5 s."""
    known, now, waits = Restarts(0.0), 0.0, []
    for _ in range(8):
        waits.append(known.ended(now))
        now += waits[-1]
        known.begun(now, again=True)
    assert waits == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5])
    assert known.count == 8


def test_who_was_well_is_started_at_once_again() -> None:
    """After some time without an end the next one is the first."""
    known = Restarts(0.0)
    for _ in range(5):
        known.ended(1.0)
        known.begun(1.0, again=True)
    assert known.ended(1.0 + STEADY_SECONDS) == pytest.approx(0.1)


def test_who_is_held_down_is_not_started() -> None:
    """Not even if it was about to be; started by hand it is as good as new."""
    known = Restarts(0.0)
    known.ended(1.0)
    known.hold()
    assert (known.left(100.0), known.held) == (None, True)
    known.begun(200.0, again=False)
    assert (known.left(200.0), known.held, known.count) == (None, False, 0)
    assert known.ended(200.0) == pytest.approx(0.1)


@given(ends=st.lists(st.floats(0, 60), max_size=40))
def test_it_is_due_within_the_longest_wait_and_never_early(ends: list[float]) -> None:
    """Whenever it ends, it is started again after its wait and at most five seconds."""
    known, now = Restarts(0.0), 0.0
    for ran in ends:
        now += ran
        wait = known.ended(now)
        assert 0 < wait <= MOST_SECONDS
        left = known.left(now + wait / 2)
        assert left is not None
        assert 0 < left < wait
        now += wait
        assert known.left(now) == pytest.approx(0, abs=1e-6)
        known.begun(now, again=True)
        assert known.left(now) is None


@given(times=st.integers(0, 10**9))
def test_a_wait_is_always_a_number(times: int) -> None:
    """However long an outage is."""
    assert 0 < backoff.doubled(times, 0.1, 5) <= 5
    assert backoff.doubled(times, 0.1, 5) / 2 <= backoff.jittered(times, 0.1, 5) <= 5


@pytest.mark.process
def test_the_end_of_a_child_wakes() -> None:
    """Also when nobody waits at that moment; several are told as one."""
    before = signal.getsignal(signal.SIGCHLD)
    waking = Wakeup()
    try:
        assert select.select([waking.fileno()], [], [], 0)[0] == []
        children = [subprocess.Popen([sys.executable, "-S", "-c", ""]) for _ in range(3)]
        assert select.select([waking.fileno()], [], [], 30)[0] == [waking.fileno()]
        assert [child.wait() for child in children] == [0] * 3
        waking.clear()
        waking.clear()
        assert select.select([waking.fileno()], [], [], 0)[0] == []
        wakeup.no_more()
        assert signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL
    finally:
        waking.close()
        signal.signal(signal.SIGCHLD, before)
