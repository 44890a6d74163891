"""What becomes of the job itself: submitted, followed, finished, ended, or given up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto

from validator.executor import Done, Executor
from validator.model import Job, JobState, TraceRef
from validator.ports import Mark, Progress, Submitter
from validator.traces import with_traces

_ENDED = (JobState.PASSED, JobState.FAILED, JobState.UNKNOWN)
_RETRY_FOLLOW = 0.25
"""Seconds before a target that could not say what became of its job is asked again."""


class Step(Enum):
    """What is being done about the job."""

    WAITING = auto()
    SUBMITTING = auto()
    FOLLOWING = auto()
    FINISHING = auto()
    ENDED = auto()


@dataclass(slots=True)
class Follower:
    """The job's way, from its submission to its end.

    `deadline` is in seconds from the submission. `tell` is told each event and its detail. Calls
    to the target are started in `executor` under the tokens `submit`, `follow` and `finish`.
    """

    submitter: Submitter
    mark: Mark
    deadline: float
    executor: Executor
    tell: Callable[[str, str], None]
    job: Job
    step: Step = Step.WAITING
    due: float | None = None
    began: float = 0.0
    tried: bool = False

    def begin(self, now: float) -> None:
        """Submit the job, or ask at once what became of one that is there already."""
        self.began = now
        if self.job.existing:
            self.step, self.due = Step.FOLLOWING, now
        else:
            self.tried = True
            self.step = Step.SUBMITTING
            self.tell("submitting", self.job.target)
            self.executor.start("submit", lambda: self.submitter.submit(self.mark))

    @property
    def submitted(self) -> bool:
        """Whether the target has the job, as far as we know."""
        return self.step not in (Step.WAITING, Step.SUBMITTING)

    @property
    def running(self) -> bool:
        """Whether the job's end is still waited for."""
        return self.step in (Step.SUBMITTING, Step.FOLLOWING, Step.FINISHING)

    @property
    def expires(self) -> float | None:
        """Return when the deadline passes, None if nothing is waited for."""
        started = self.job.submitted if self.job.submitted is not None else self.began
        return started + self.deadline if self.running else None

    def tick(self, now: float) -> None:
        """Ask the target if that is due; give the job up if its deadline has passed."""
        if self.expires is not None and now >= self.expires:
            self._time_out()
        elif self.step is Step.FOLLOWING and self.due is not None and now >= self.due:
            self.due = None
            job_id = self.job.id
            self.executor.start("follow", lambda: self.submitter.follow(self.mark, job_id))

    def take(self, done: Done, now: float) -> None:
        """Take what the target answered."""
        if done.token == "submit" and self.step is Step.SUBMITTING:  # noqa: S105 - a token of the executor
            self._take_submission(done, now)
        elif done.token == "follow" and self.step is Step.FOLLOWING:  # noqa: S105
            self._take_progress(done, now)
        elif done.token == "finish" and self.step is Step.FINISHING:  # noqa: S105
            if done.error is not None:
                self.job = replace(self.job, state=JobState.FAILED, detail=str(done.error))
            self._end(now)

    def _take_submission(self, done: Done, now: float) -> None:
        if done.error is not None:
            self.step = Step.ENDED
            self.job = replace(self.job, state=JobState.REFUSED, detail=str(done.error))
            self.tell("refused", str(done.error))
            return
        self.step = Step.FOLLOWING
        running = JobState.RUNNING
        self.job = replace(self.job, id=done.value.job_id, submitted=done.asked, state=running)
        self.tell("submitted", f"job {done.value.job_id}")
        self._progress(done.value, now)

    def _take_progress(self, done: Done, now: float) -> None:
        if done.error is not None:
            self.job = replace(self.job, detail=str(done.error))
            if self.job.existing and not self.job.status:
                # The telemetry of somebody else's job can be judged though we may not ask for it.
                self.job = replace(self.job, state=JobState.UNKNOWN)
                self._end(now)
                return
            self.due = now + max(self.submitter.poll_interval, _RETRY_FOLLOW)
        else:
            self._progress(done.value, now)

    def _progress(self, progress: Progress, now: float) -> None:
        if progress.status != self.job.status:
            self.tell("status", progress.status)
        fields = {**self.job.fields, **progress.fields}
        self.job = replace(self.job, status=progress.status, detail=progress.detail, fields=fields)
        if progress.trace_id:
            self.job = with_traces(self.job, [TraceRef(progress.trace_id, "header")])
        if progress.state not in _ENDED:
            self.due = now + self.submitter.poll_interval
            return
        self.job = replace(self.job, state=progress.state)
        if progress.state is not JobState.FAILED and not self.job.existing:
            self.step = Step.FINISHING
            self.executor.start("finish", lambda: self.submitter.finish(self.mark, progress))
        else:
            self._end(now)

    def _end(self, now: float) -> None:
        self.step = Step.ENDED
        self.job = replace(self.job, ended=now)
        self.tell("ended", self.job.status or self.job.state)

    def _time_out(self) -> None:
        last = f"; last seen as `{self.job.status}`" if self.job.status else ""
        detail = f" ({self.job.detail})" if self.job.detail else ""
        waited = f"not ended {self.deadline:g} s after its submission"
        self.job = replace(self.job, state=JobState.TIMED_OUT, detail=waited + last + detail)
        self.step = Step.ENDED
        self.tell("timed out", self.job.detail)
