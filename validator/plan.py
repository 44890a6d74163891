"""What a run is made from: the suite, the target, the sources, and what it works with."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field

from validator.executor import Executor
from validator.habit import Habit
from validator.judge import Judge
from validator.lag import LagHistogram
from validator.model import Job, JobState, Signal, TraceRef
from validator.ports import Clock, Mark, Observer, Source, Submitter
from validator.suite import Suite

HabitKey = tuple[str, str, Signal]
"""Whose habit it is: a suite's name, a source's name, and the signal."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a run needs of a target: how it takes jobs, and how it treats trace context."""

    name: str
    submitter: Submitter
    trace_context: str
    job_id_keys: tuple[str, ...]
    sampling: str


@dataclass(frozen=True, slots=True)
class Plan:
    """One run to be made. `mark` is its own; `existing` is a job that is there already.

    `metrics` are the families to read; `lags` hold each source's measured lag, over runs, by its
    name, `habits` what was learned of when to look, by suite, source and signal; `patience` is how
    many seconds beyond its lag budget a source may take to answer or to show that it works.
    """

    suite: Suite
    target: Target
    sources: tuple[Source, ...]
    judge: Judge
    mark: Mark
    metrics: frozenset[str]
    patience: float
    existing: Job | None = None
    lags: Mapping[str, LagHistogram] = field(default_factory=dict)
    habits: MutableMapping[HabitKey, Habit] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a run works with."""

    clock: Clock
    executor: Executor
    observer: Observer


def new_job(plan: Plan) -> Job:
    """Return the job that the plan is to submit, of which nothing is known yet."""
    sent = (TraceRef(plan.mark.trace_id, "sent"),) if plan.mark.trace_id else ()
    return Job(
        id="",
        run_id=plan.mark.run_id,
        target=plan.target.name,
        state=JobState.NOT_SUBMITTED,
        status="",
        detail="",
        fields=plan.mark.context,
        traces=() if plan.target.trace_context == "new" else sent,
        sent_parent=plan.mark.parent_id,
        existing=False,
        submitted=None,
        ended=None,
        sampling=plan.target.sampling,
    )
