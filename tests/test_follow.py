"""What becomes of the job: the ways in which a target answers, on a clock that tests move."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.traces import EPOCH, JOB, TRACE, job
from validator.errors import SubmitError
from validator.executor import Done
from validator.follow import Follower, Step
from validator.mark import new_mark
from validator.model import JobState
from validator.ports import Progress
from validator.testing import FakeClock, FakeExecutor, FakeSubmitter


@dataclass
class Told:
    """A follower, and what it told."""

    events: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the follower of a new job."""
        self.clock = FakeClock(float(EPOCH))
        self.executor = FakeExecutor(self.clock)
        self.submitter = FakeSubmitter(self.clock)
        self.follower = self.of(state=JobState.NOT_SUBMITTED, id="", status="", ended=None)

    def of(self, **changes: object) -> Follower:
        """Return a follower of such a job."""
        tell: Callable[[str, str], None] = lambda event, detail: self.events.append((event, detail))  # noqa: E731
        started = job(submitted=None, **{"ended": None, **changes})
        return Follower(self.submitter, new_mark({}), 10.0, self.executor, tell, started)

    def step(self) -> None:
        """Do what is due, and take what comes."""
        self.follower.tick(self.clock.now())
        for done in self.executor.wait(0.05):
            self.follower.take(done, self.clock.now())


def progress(status: str, state: JobState, trace: str = "", **fields: Any) -> Progress:
    """Return what a target says."""
    return Progress(JOB, status, state, "", fields, trace)


def test_nothing_is_due_before_it_begins() -> None:
    """Neither submitted nor running, and without a deadline."""
    follower = Told().follower
    assert not follower.submitted
    assert not follower.running
    assert follower.expires is None
    assert follower.step is Step.WAITING


def test_a_job_goes_its_way_and_each_word_is_told_once() -> None:
    """Submitted, a status, a status, finished once, ended."""
    told = Told()
    told.submitter.script = [
        (0.0, "new", JobState.RUNNING),
        (0.2, "busy", JobState.RUNNING),
        (0.4, "done", JobState.PASSED),
    ]
    told.follower.begin(told.clock.now())
    while told.follower.step is not Step.ENDED:
        told.step()
    assert [detail for event, detail in told.events if event == "status"] == ["new", "busy", "done"]
    assert told.submitter.finished == 1
    assert told.follower.job.state is JobState.PASSED
    assert told.follower.job.ended == pytest.approx(told.clock.now())


def test_a_trace_in_a_header_is_one_of_the_jobs() -> None:
    """And what fields it answered is kept over later answers that do not repeat them."""
    told = Told()
    told.follower.begin(0.0)
    first = progress("new", JobState.RUNNING, TRACE[::-1], depth=2)
    told.follower.take(Done("submit", 1.0, first, None), 1.0)
    told.follower.take(Done("follow", 2.0, progress("busy", JobState.RUNNING, page=3), None), 2.0)
    refs = [(ref.trace_id, ref.via) for ref in told.follower.job.traces]
    assert (TRACE[::-1], "header") in refs
    assert told.follower.job.fields == {"depth": 2, "page": 3}


def test_a_target_that_could_not_say_is_asked_again_after_a_moment() -> None:
    """A failed question is no end; what was wrong is in the words of the time-out."""
    told = Told()
    told.follower.begin(0.0)
    told.follower.take(Done("submit", 0.0, progress("new", JobState.RUNNING), None), 0.0)
    told.follower.take(Done("follow", 1.0, None, SubmitError("500")), 1.0)
    assert told.follower.step is Step.FOLLOWING
    assert told.follower.due == pytest.approx(1.25)
    told.follower.tick(10.0)
    assert told.follower.job.state is JobState.TIMED_OUT
    assert "not ended 10 s" in told.follower.job.detail
    assert "`new`" in told.follower.job.detail
    assert "500" in told.follower.job.detail


def test_an_answer_after_the_deadline_changes_nothing() -> None:
    """The job was given up: what comes then is too late."""
    told = Told()
    told.follower.begin(0.0)
    told.follower.take(Done("submit", 0.0, progress("new", JobState.RUNNING), None), 0.0)
    told.follower.tick(10.0)
    for token in ("follow", "finish"):
        told.follower.take(Done(token, 10.0, progress("done", JobState.PASSED), None), 10.1)
    assert told.follower.job.state is JobState.TIMED_OUT


@pytest.mark.req("X-10")
def test_an_existing_job_that_the_target_does_not_tell_of_is_judged_all_the_same() -> None:
    """Its outcome is unknown, at once and not at the deadline; nothing is submitted."""
    told = Told()
    told.follower = told.of(existing=True, state=JobState.UNKNOWN, status="")
    told.follower.begin(5.0)
    told.follower.take(Done("follow", 5.0, None, SubmitError("404 Not Found")), 5.1)
    assert told.follower.step is Step.ENDED
    assert (told.follower.job.state, told.follower.job.ended) == (JobState.UNKNOWN, 5.1)
    assert told.follower.job.detail == "404 Not Found"
    assert not told.follower.tried


def test_an_existing_job_that_was_seen_at_work_is_asked_again() -> None:
    """One failed question does not end what is known to be running; its end is not finished."""
    told = Told()
    told.follower = told.of(existing=True, state=JobState.UNKNOWN, status="")
    told.follower.begin(0.0)
    told.follower.take(Done("follow", 0.0, progress("busy", JobState.RUNNING), None), 0.1)
    told.follower.take(Done("follow", 0.2, None, SubmitError("500")), 0.3)
    assert told.follower.step is Step.FOLLOWING
    told.follower.take(Done("follow", 0.6, progress("done", JobState.PASSED), None), 0.7)
    assert told.follower.job.state is JobState.PASSED
    assert told.submitter.finished == 0
