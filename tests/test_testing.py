"""The fakes keep the promises of what they stand for."""

from __future__ import annotations

import pytest

from tests.traces import EPOCH, JOB, TRACE, line, pipeline
from validator.errors import SourceError, SourceFailure, SubmitError
from validator.mark import new_mark
from validator.model import JobState
from validator.ports import LogSource, MetricSource, Question, Submitter, TraceSource
from validator.testing import FakeClock, FakeExecutor, FakeMetrics, FakeSource, FakeSubmitter

ASKED = Question(JOB, ("job.id",), frozenset({TRACE}), 0.0, 1e12, "")


def test_the_clock_moves_only_when_somebody_waits() -> None:
    """Both of its times are one."""
    clock = FakeClock(5.0)
    assert (clock.now(), clock.monotonic()) == (5.0, 5.0)
    clock.sleep(2)
    assert (clock.now(), clock.monotonic()) == (7.0, 7.0)


def test_the_executor_waits_no_longer_than_it_is_told() -> None:
    """Something scheduled comes at its time, even if the wait is longer; a call at once."""
    clock = FakeClock(0.0)
    executor = FakeExecutor(clock)
    executor.at(3.0, lambda: executor.wake("w"))
    assert executor.wait(2.0) == []
    assert clock.now() == 2.0
    assert [done.token for done in executor.wait(2.0)] == ["w"]
    assert clock.now() == 3.0
    executor.start("x", lambda: 1)
    assert [(done.token, done.value) for done in executor.wait(9.0)] == [("x", 1)]
    assert clock.now() == 3.0
    executor.start("never", lambda: 1)
    executor.close()
    assert executor.wait(0.5) == []


def test_a_source_shows_what_its_script_has_made_readable() -> None:
    """Spans and lines from their time on, failures and gaps while they last, latency always."""
    clock = FakeClock(float(EPOCH))
    source = FakeSource(clock, latency=0.5).span(1.0, *pipeline()).log(1.0, line("a", "said"))
    assert isinstance(source, TraceSource)
    assert isinstance(source, LogSource)
    assert source.traces(ASKED).spans == ()
    clock.sleep(0.5)
    assert len(source.traces(ASKED).spans) == len(pipeline())
    assert len(source.logs(ASKED).logs) == 1
    assert clock.now() == EPOCH + 2.0
    source.fails(2.0, 3.0, SourceFailure.THROTTLED).partial(3.0, 4.0)
    with pytest.raises(SourceError) as failed:
        source.traces(ASKED)
    assert failed.value.failure is SourceFailure.THROTTLED
    clock.sleep(0.5)
    assert not source.traces(ASKED).full
    source.close()


def test_metrics_have_their_latest_value() -> None:
    """And fail while they are told to."""
    clock = FakeClock(0.0)
    pages = FakeMetrics(clock).fails(1.0, 2.0, SourceFailure.CONNECT)
    assert isinstance(pages, MetricSource)
    assert pages.samples(frozenset({"x"})).samples == ()
    clock.sleep(1.0)
    with pytest.raises(SourceError):
        pages.samples(frozenset({"x"}))
    pages.close()


def test_a_target_goes_through_its_script_or_hangs() -> None:
    """What it is told to refuse it refuses; what it was asked to clean up it remembers."""
    clock = FakeClock(0.0)
    target: Submitter = FakeSubmitter(clock, [(1.0, "done", JobState.PASSED)])
    mark = new_mark({})
    assert target.submit(mark).state is JobState.RUNNING
    clock.sleep(1.0)
    assert target.follow(mark, "job-1").state is JobState.PASSED
    target.close()
    fake = FakeSubmitter(clock, refusal="full", broken_finish="search failed")
    with pytest.raises(SubmitError, match="full"):
        fake.submit(mark)
    with pytest.raises(SubmitError, match="search failed"):
        fake.finish(mark, fake.follow(mark, "job-1"))
    fake.clean_up(mark, "job-1")
    assert (fake.cleaned, fake.finished) == ([mark.run_id], 1)
