"""What is done again and again."""

from __future__ import annotations

import threading

import pytest
from structlog.testing import capture_logs

from pipeline.periodic import Periodic

pytestmark = pytest.mark.req("P-12")


def test_what_fails_is_told_and_done_again() -> None:
    """A failure is a line of the log; the next time may be better."""
    done: list[int] = []
    often = threading.Event()

    def what() -> None:
        done.append(len(done))
        if len(done) == 1:
            raise LookupError("not there")
        if len(done) > 2:
            often.set()

    with capture_logs() as lines:
        periodic = Periodic("search", 0.01, what)
        assert often.wait(30)
        periodic.stop()
    (line,) = [one for one in lines if one["event"] == "periodic_failed"]
    assert "not there" in line["error_message"]
    assert not periodic._thread.is_alive()


def test_it_ends_when_it_is_told() -> None:
    """No call begins after `stop`, also where the first one was never due."""
    called = threading.Event()
    periodic = Periodic("search", 3600, called.set)
    periodic.stop()
    assert not called.is_set()
    assert not periodic._thread.is_alive()
