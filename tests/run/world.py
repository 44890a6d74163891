"""A run to be made on a clock that only tests move, and what stands around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from checks import CHECKS
from tests.traces import EDGES, EPOCH, JOB, SERVICES, TRACE, pipeline, sid
from validator.habit import Habit
from validator.judge import Judge
from validator.lag import LagHistogram
from validator.mark import new_mark
from validator.model import Job, JobState, Phase, Run, Sample, Span, Verdict
from validator.plan import HabitKey, Parts, Plan, Target
from validator.ports import Source
from validator.run import SuiteRun
from validator.suite import CheckSpec, Suite
from validator.testing import (
    FakeClock,
    FakeExecutor,
    FakeMetrics,
    FakeObserver,
    FakeSource,
    FakeSubmitter,
)
from validator.traces import parent_id_for

CONNECTED: Mapping[str, Any] = {"services": SERVICES, "edges": EDGES}
DONE = [(0.0, "pending", JobState.RUNNING), (1.0, "done", JobState.PASSED)]


ANY = ("span_attributes", {"spans": {"service": "orchestrator"}, "require": ["job.id"],
                           "on": "any"})  # fmt: skip
EVERY = ("span_attributes", {"spans": {"service": "scraper", "name": "scrape_task"},
                             "require": ["job.id"]})  # fmt: skip


@dataclass
class World:
    """A run to be made, and what stands around it; a test changes what it is about."""

    clock: FakeClock = field(default_factory=lambda: FakeClock(float(EPOCH)))
    checks: list[tuple[str, Mapping[str, Any]]] = field(
        default_factory=lambda: [("connected_trace", CONNECTED)]
    )
    trace_context: str = "adopt"
    sampling: str = "all"
    sources: list[Source] = field(default_factory=list)
    existing: Job | None = None
    metrics: frozenset[str] = frozenset()
    deadline: float = 30.0
    lags: dict[str, LagHistogram] = field(default_factory=dict)
    habits: dict[HabitKey, Habit] = field(default_factory=dict)
    settle: float = 2.0

    def __post_init__(self) -> None:
        """Make what hangs on the clock."""
        self.source: FakeSource = FakeSource(self.clock)
        self.target = FakeSubmitter(self.clock, list(DONE), job_id=JOB)
        self.executor = FakeExecutor(self.clock)
        self.observer = FakeObserver(self.clock)

    def run(self) -> Run:
        """Make the run."""
        return self.suite_run().make()

    def suite_run(self) -> SuiteRun:
        """Return the run that is to be made."""
        specs = tuple(
            CheckSpec(
                kind, f"{kind}-{number}" if number else kind, params, "a test", "required", "x"
            )
            for number, (kind, params) in enumerate(self.checks)
        )
        suite = Suite("s", 1, "t", {}, self.deadline, self.settle, 0.05, False, specs, "s.yaml")  # noqa: FBT003
        mark = new_mark({}, traceparent=self.trace_context != "none")
        mark = replace(mark, trace_id=mark.trace_id and TRACE, parent_id=parent_id_for(TRACE))
        plan = Plan(
            suite=suite,
            target=Target("t", self.target, self.trace_context, ("job.id",), self.sampling),
            sources=(self.source, *self.sources),
            judge=Judge(CHECKS, specs),
            mark=mark,
            metrics=self.metrics,
            patience=5.0,
            existing=self.existing,
            lags=self.lags,
            habits=self.habits,
        )
        return SuiteRun(plan, Parts(self.clock, self.executor, self.observer))

    def decided(self, name: str = "connected_trace") -> float:
        """Return when the verdict was decided, in seconds after the start."""
        times = [
            time
            for time, event, detail in self.observer.events
            if event == "verdict" and detail.endswith(f" {name}")
        ]
        return times[-1] - EPOCH


def verdict(run: Run, name: str = "connected_trace") -> Verdict:
    """Return one verdict of a run."""
    return next(one for one in run.verdicts if one.name == name)


def but(spans: list[Span], *services: str) -> list[Span]:
    """Return the spans less those of these services."""
    return [one for one in spans if one.service not in services]


def in_trace(spans: list[Span], trace: str, root: str) -> list[Span]:
    """Return the spans in another trace, with `root` without a parent."""
    return [
        replace(one, trace_id=trace, parent_id="" if one.span_id == sid(root) else one.parent_id)
        for one in spans
    ]


def sample(
    operation: str, value: float, traffic: str = "synthetic", instance: str = "e-1"
) -> Sample:
    """Return a count of embedding requests."""
    return Sample(
        metric="embedding_request_duration_seconds",
        name="embedding_request_duration_seconds_count",
        type="histogram",
        labels={"operation": operation, "traffic": traffic},
        value=value,
        time=None,
        exemplar=None,
        service="embedding-api",
        instance=instance,
        phase=Phase.AFTER,
        source="pages",
        seen=0.0,
    )


LABELS = ("metric_labels", {"metric": "embedding_request_duration_seconds", "label": "operation",
                            "values": ["read", "write"]})  # fmt: skip


def metrics_world(after: list[Sample], before: list[Sample] | None = None) -> World:
    """Return a world whose metrics change during the job."""
    world = World(checks=[LABELS], metrics=frozenset({"embedding_request_duration_seconds"}))
    pages = FakeMetrics(world.clock)
    old = before if before is not None else [sample("read", 5), sample("write", 5)]
    pages.sample(-1.0, *old).sample(0.9, *after)
    world.sources = [pages]
    world.source.span(0.1, *pipeline())
    return world
