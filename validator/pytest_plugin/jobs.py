"""The jobs of one pytest session: sent one after the other, found again, cleaned up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from validator.app import App, Existing
from validator.config_templates import wanted_of_job
from validator.errors import ConfigError
from validator.executor import ThreadExecutor
from validator.model import JobState, Run
from validator.plan import Parts
from validator.pytest_plugin.errors import Inconclusive
from validator.pytest_plugin.hints import Hints, Wanted
from validator.pytest_plugin.observed import Observed
from validator.submit.lease import NotOurTurnError, Waiting
from validator.suite import Suite

SKEW = 0.05
"""The default of a suite (`validator/loader.py`), in seconds."""

_NO_JOB = (JobState.REFUSED, JobState.NOT_SUBMITTED, JobState.TIMED_OUT)


class Silent:
    """Implements `validator.ports.Observer`: pytest reports, nobody else does."""

    def on_event(self, run_id: str, suite: str, event: str, detail: str) -> None:
        """Take no note."""

    def on_run(self, run: Run) -> None:
        """Take no note."""


@dataclass(eq=False, repr=False)
class Jobs:
    """Sends jobs to one target. Any thread of a test may; one job is sent at a time.

    `on_sent` is told of each job that was sent, so that it is cleaned up when its time has come.
    `touched` are the jobs that the test that is running has asked about.
    """

    app: App
    target: str
    wanted: Wanted
    hints: Hints
    on_sent: Callable[[Observed], None]
    sent: list[Observed] = field(default_factory=list)
    others: dict[tuple[str, str], Observed] = field(default_factory=dict)
    touched: list[Observed] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)
    sending: threading.RLock = field(default_factory=threading.RLock)

    @property
    def families(self) -> frozenset[str]:
        """Return the metric families that are read before and after each job."""
        return self.wanted.metrics | self.hints.metrics

    def close(self, *, interrupted: bool) -> None:
        """Clean up after every job that is left."""
        self.stopped.set()
        for one in (*self.sent, *self.others.values()):
            one.end(interrupted=interrupted)

    def _touch(self, job: Observed) -> Observed:
        """Note that the test which is running speaks of a job."""
        if all(job is not one for one in self.touched):
            self.touched.append(job)
        return job

    def newest(self) -> Observed:
        """Return the newest job that there is; where there is none, one is sent."""
        for one in reversed(self.sent):
            if one.job.state not in _NO_JOB:
                return self._touch(one)
        return self.another(self.wanted.job)

    def another(self, job: Mapping[str, Any]) -> Observed:
        """Send a job and wait for its end, which has to be a good one as far as that is known."""
        __tracebackhide__ = True
        made = self.send(job)
        if made.completed().state is JobState.FAILED:
            made.completed("passed")
        return made

    def send(self, job: Mapping[str, Any]) -> Observed:
        """Send a job with these values, when it is our turn and earlier ones have settled."""
        __tracebackhide__ = True
        self._fits(job)
        with self.sending:
            disturbed = self.quiet()
            plan = self.app.plan(self._suite(job))
            plan = replace(plan, metrics=self.families)
            executor = ThreadExecutor(self.app.clock.now)
            made = Observed(plan, Parts(self.app.clock, executor, Silent()))
            made.disturbed = disturbed
            waiting = Waiting(self.stopped.wait, lambda _what: None)
            try:
                made.entered = self.app.turns.enter(
                    plan, waiting, lambda: executor.wake(("wake", "lease"))
                )
            except NotOurTurnError as error:
                raise Inconclusive(f"the job was not sent: {error}") from error
            made.findings |= dict.fromkeys(made.entered.findings)
            self.sent.append(self._touch(made))
            self.on_sent(made)
            made.begin()
        return made

    def quiet(self) -> str:
        """Wait until earlier jobs have settled; return why samples will not be this job's alone."""
        settings = self.app.settings.targets[self.target]
        why = ""
        if self.wanted.workers > 1 and settings.lease is None:
            why = (
                f"{self.wanted.workers} processes of pytest-xdist send jobs to `{self.target}`, "
                "which declares no `lease` by which they would take turns"
            )
        for one in self.sent:
            if not one.keep_samples() and one.open:
                one.disturbed = one.disturbed or "another job was sent before they had been read"
            if one.under_way():
                why = why or f"{one.name()} was under way at the same time"
            elif one.job.ended is not None:
                left = one.job.ended + self.hints.settle - self.app.clock.now()
                self.stopped.wait(max(0.0, left))
        return why

    def _suite(self, job: Mapping[str, Any]) -> Suite:
        return Suite(
            name="pytest",
            ring=2,
            target=self.target,
            job=job,
            deadline=self.hints.deadline,
            settle=self.hints.settle,
            skew=SKEW,
            concurrent=False,
            checks=(),
            path="",
        )

    def _fits(self, job: Mapping[str, Any]) -> None:
        """Refuse values that the target does not use, and a job that lacks some: both mislead."""
        settings = self.app.settings.targets[self.target]
        used = {name.split(".")[1] for name in wanted_of_job(settings)}
        missing, unused = sorted(used - set(job)), sorted(set(job) - used)
        known = (
            f"the requests of the target `{self.target}` use {', '.join(sorted(used)) or 'none'}"
        )
        if missing:
            raise ConfigError(
                f"the job needs {', '.join(missing)}: give it to submit_job, or set "
                f"obs_validator_job in pytest's ini file ({known})"
            )
        if unused:
            raise ConfigError(
                f"nothing would become of {', '.join(unused)}: {known}; write "
                f"{{{{ job.{unused[0]} }}}} where it belongs"
            )

    def find(self, job_id: str, trace_id: str) -> Observed:
        """Return the job of an id; one that we did not send is looked at as it is."""
        for one in self.sent:
            traces = {ref.trace_id for ref in one.job.traces}
            if (job_id and one.job_id == job_id) or (trace_id and trace_id in traces):
                return self._touch(one)
        if not job_id and not trace_id:
            raise ConfigError("a job is known by its id or its trace's; both are empty")
        with self.sending:
            key = (job_id, trace_id)
            if key not in self.others or not self.others[key].open:
                plan = self.app.plan(self._suite({}), Existing(job_id, trace_id))
                plan = replace(plan, metrics=self.families)
                parts = Parts(self.app.clock, ThreadExecutor(self.app.clock.now), Silent())
                made = self.others[key] = Observed(plan, parts)
                self.on_sent(made)
                made.begin()
        return self._touch(self.others[key])
