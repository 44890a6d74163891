"""The rules of judging, line by line (docs/judging.md), on a clock that only tests move."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from checks import CHECKS
from tests.traces import EDGES, EPOCH, JOB, OTHER, SERVICES, TRACE, line, pipeline, sid, span
from validator.errors import SourceFailure
from validator.judge import Judge
from validator.lag import LagHistogram
from validator.mark import new_mark
from validator.model import (
    CoverageState,
    Job,
    JobState,
    Phase,
    Run,
    Sample,
    Signal,
    Span,
    SpanKind,
    Status,
    Verdict,
)
from validator.ports import Source
from validator.report.summary import exit_code
from validator.run import Parts, Plan, Target, run_suite
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
    settle: float = 2.0

    def __post_init__(self) -> None:
        """Make what hangs on the clock."""
        self.source = FakeSource(self.clock)
        self.target = FakeSubmitter(self.clock, list(DONE), job_id=JOB)
        self.executor = FakeExecutor(self.clock)
        self.observer = FakeObserver(self.clock)

    def run(self) -> Run:
        """Make the run."""
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
        )
        return run_suite(plan, Parts(self.clock, self.executor, self.observer))

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


# -- When may a check decide early? -------------------------------------------------------------


ANY = ("span_attributes", {"spans": {"service": "orchestrator"}, "require": ["job.id"],
                           "on": "any"})  # fmt: skip
EVERY = ("span_attributes", {"spans": {"service": "scraper", "name": "scrape_task"},
                             "require": ["job.id"]})  # fmt: skip


@pytest.mark.req("V-13")
def test_only_at_least_one_passes_early() -> None:
    """`on: any` passes while the job still runs; `on: every` of the same spans waits."""
    world = World(checks=[ANY, EVERY])
    world.target.script = [(0.0, "x", JobState.RUNNING), (10.0, "done", JobState.PASSED)]
    world.source.span(0.5, *pipeline())
    run = world.run()
    assert verdict(run, "span_attributes").status is Status.PASS
    assert world.decided("span_attributes") < 10
    assert verdict(run, "span_attributes-1").status is Status.PASS
    assert world.decided("span_attributes-1") >= 12


def test_a_cycle_fails_while_the_job_runs() -> None:
    """Nothing that may still come mends a cycle."""
    world = World()
    world.target.script = [(0.0, "x", JobState.RUNNING), (20.0, "done", JobState.PASSED)]
    spans = [
        replace(one, parent_id=sid("call-chunk")) if one.span_id == sid("complete") else one
        for one in pipeline()
    ]
    world.source.span(0.5, *spans)
    run = world.run()
    assert verdict(run).status is Status.FAIL
    assert world.decided() < 20


def test_a_wrong_value_on_an_attempt_waits_for_a_retry() -> None:
    """The first attempt's wrong `job.id` is mended by the last: the verdict of record passes."""
    wrong = [
        replace(one, attributes={"job.id": "stale"}) if one.name == "scrape_task" else one
        for one in pipeline()
    ]
    second = [
        span("scraper", "run/scraper.scrape_task", id="run-2", parent="pub-scrape", at=100,
             kind=SpanKind.CONSUMER, task="t-1"),
        span("scraper", "scrape_task", id="again", parent="run-2", at=101, job=JOB),
    ]  # fmt: skip
    equals = {"spans": {"service": "scraper", "name": "scrape_task"}, "equals": {"job.id": JOB}}
    world = World(checks=[("span_attributes", equals)])
    world.source.span(0.2, *wrong).span(0.9, *second)
    run = world.run()
    assert verdict(run, "span_attributes").status is Status.PASS
    assert not any("fail" in detail for _, event, detail in world.observer.events)


# -- When is the evidence complete? -------------------------------------------------------------


@pytest.mark.req("V-03")
def test_a_whole_trace_passes_when_nothing_new_came_for_the_settle_time() -> None:
    """The last span at 1.2 s, the job's end at 1 s: the pass comes at 3.2 s and not before."""
    world = World()
    world.source.span(0.1, *pipeline()[:-1]).span(1.2, pipeline()[-1])
    run = world.run()
    assert verdict(run).status is Status.PASS
    assert run.evidence.coverage[Signal.TRACES].state is CoverageState.SETTLED
    assert 3.2 <= world.decided() <= 3.5


def test_the_settle_time_begins_again_with_each_new_span() -> None:
    """A straggler at 2.9 s makes the quiet time run anew."""
    world = World()
    world.source.span(0.1, *pipeline()).span(
        2.9, span("search", "late", parent="POST /jobs", at=50)
    )
    run = world.run()
    assert verdict(run).status is Status.PASS
    assert len(run.evidence.spans) == 12
    assert world.decided() >= 4.9


def test_what_the_jobs_end_itself_causes_is_waited_for() -> None:
    """A long quiet step before the end does not count: the settle time begins at the end."""
    world = World()
    world.target.script = [(0.0, "x", JobState.RUNNING), (9.0, "done", JobState.PASSED)]
    broken = replace(span("scraper", "last", parent="run-scrape", at=9000), trace_id=TRACE)
    world.source.span(0.1, *pipeline()).span(10.5, broken)
    assert len(world.run().evidence.spans) == 12


# -- When is "missing" a fail, and when inconclusive? -------------------------------------------


@pytest.mark.req("V-03")
def test_a_missing_service_is_known_at_the_lag_budget_not_at_the_deadline() -> None:
    """The job ends at 1 s, the budget is 2 s, the deadline 30 s: the fail comes at 3 s."""
    world = World()
    world.source.span(0.5, *but(pipeline(), "chunking"))
    run = world.run()
    assert verdict(run).status is Status.FAIL
    assert verdict(run).code == "service_missing"
    assert run.evidence.coverage[Signal.TRACES].state is CoverageState.EXHAUSTED
    assert 3.0 <= world.decided() <= 3.3


@pytest.mark.req("V-13")
def test_nothing_is_missing_in_a_source_that_is_not_shown_to_work() -> None:
    """No span, and no control record either: whether anything gets there is not known."""
    world = World()
    world.source.control = False
    run = world.run()
    assert verdict(run).status is Status.INCONCLUSIVE
    assert verdict(run).code == "source_unproven"
    assert "no control record" in verdict(run).summary
    assert exit_code([run]) == 3


@pytest.mark.req("V-13")
def test_a_visible_control_record_makes_nothing_a_fail() -> None:
    """The validator's own record is readable there, the job's spans are not: they are missing."""
    run = World().run()
    assert verdict(run).status is Status.FAIL
    assert verdict(run).code == "no_trace"


@pytest.mark.req("V-13")
@pytest.mark.parametrize("failure", list(SourceFailure))
def test_a_source_that_cannot_be_asked_is_inconclusive(failure: SourceFailure) -> None:
    """Whatever the failure, the verdict names it and the source, and is neither pass nor fail."""
    world = World()
    world.source.span(0.1, *pipeline()).fails(0.0, 1e9, failure)
    run = world.run()
    assert verdict(run).status is Status.INCONCLUSIVE
    assert verdict(run).code == "source_unreachable"
    assert str(failure) in verdict(run).summary
    assert "fake" in verdict(run).summary


@pytest.mark.req("V-13")
def test_an_answer_from_before_the_end_proves_nothing_missing() -> None:
    """A source that goes down with the job's end has given no fresh answer: inconclusive."""
    world = World()
    world.source.span(0.1, *but(pipeline(), "chunking"))
    world.source.fails(0.9, 1e9, SourceFailure.CONNECT)
    assert verdict(world.run()).status is Status.INCONCLUSIVE


def test_a_source_that_recovers_is_asked_again() -> None:
    """Down for two seconds after the job's end, then well: the verdict is as if nothing was."""
    world = World()
    world.source.span(0.1, *pipeline()).fails(0.9, 3.5, SourceFailure.SERVER_ERROR)
    assert verdict(world.run()).status is Status.PASS


@pytest.mark.req("V-13")
def test_a_partial_answer_never_makes_a_pass() -> None:
    """All that is seen is good, but the source says that there is more: inconclusive."""
    world = World()
    world.source.span(0.1, *pipeline()).partial(0.0, 1e9)
    run = world.run()
    assert verdict(run).status is Status.INCONCLUSIVE
    assert "the fake is partial" in verdict(run).summary


@pytest.mark.req("V-13")
def test_a_check_that_wants_nothing_needs_a_source_that_works() -> None:
    """`count: {equals: 0}` passes on an empty answer only from a source shown to work."""
    none = ("span_outcome", {"spans": {"service": "scraper", "name": "gone"},
                             "count": {"equals": 0}})  # fmt: skip
    shown = World(checks=[none])
    shown.source.span(0.1, *pipeline())
    assert verdict(shown.run(), "span_outcome").status is Status.PASS
    unshown = World(checks=[none])
    unshown.source.control = False
    assert verdict(unshown.run(), "span_outcome").status is Status.INCONCLUSIVE


# -- One cause, many checks ---------------------------------------------------------------------


@pytest.mark.req("V-13")
def test_what_hangs_on_missing_evidence_is_blocked() -> None:
    """No span of the scraper: one fail, and the check of its attributes is blocked by it."""
    world = World(checks=[("connected_trace", CONNECTED), EVERY])
    world.source.span(0.1, *but(pipeline(), "scraper"))
    run = world.run()
    assert verdict(run).status is Status.FAIL
    blocked = verdict(run, "span_attributes-1")
    assert (blocked.status, blocked.blocked_by) == (Status.BLOCKED, "connected_trace")


def test_an_independent_break_is_not_hidden_by_blocked() -> None:
    """A missing service and a dropped attribute of another: both fail."""
    world = World(checks=[("connected_trace", CONNECTED), EVERY])
    spans = [
        replace(one, attributes={}) if one.name == "scrape_task" else one
        for one in but(pipeline(), "chunking")
    ]
    world.source.span(0.1, *spans)
    run = world.run()
    assert [one.status for one in run.verdicts if one.check != "job_outcome"] == [
        Status.FAIL,
        Status.FAIL,
    ]


# -- Several answers ----------------------------------------------------------------------------


def test_evidence_is_the_union_and_less_is_a_finding() -> None:
    """A replica that has not all of it takes nothing away, and is told."""
    world = World()
    world.source.span(0.1, *pipeline()).forgets(1.5, sid("chunk"))
    run = world.run()
    assert verdict(run).status is Status.PASS
    assert any("replicas disagree" in one for src in run.evidence.sources for one in src.findings)


def test_two_sources_of_one_signal_are_one_evidence() -> None:
    """Half of the spans in each of two backends: together they are whole."""
    world = World()
    other = FakeSource(world.clock, name="other")
    world.sources = [other]
    world.source.span(0.1, *pipeline()[:6])
    other.span(0.1, *pipeline()[6:])
    assert verdict(world.run()).status is Status.PASS


# -- Which traces? ------------------------------------------------------------------------------


def in_trace(spans: list[Span], trace: str, root: str) -> list[Span]:
    """Return the spans in another trace, with `root` without a parent."""
    return [
        replace(one, trace_id=trace, parent_id="" if one.span_id == sid(root) else one.parent_id)
        for one in spans
    ]


@pytest.mark.parametrize("context", ["new", "none"])
def test_a_trace_of_the_targets_own_is_found_by_the_jobs_id(context: str) -> None:
    """A target that ignores our context, or is sent none: its trace is found, and whole."""
    world = World(trace_context=context)
    world.source.span(0.1, *in_trace(pipeline(), OTHER, "POST /jobs"))
    run = world.run()
    assert verdict(run).status is Status.PASS
    assert [(ref.trace_id, ref.via) for ref in run.evidence.job.traces if ref.via != "sent"] == [
        (OTHER, "job_id")
    ]


def test_adopted_is_not_new() -> None:
    """A target that is declared to adopt our context and does not fails, and is told how."""
    world = World(trace_context="adopt")
    world.source.span(0.1, *in_trace(pipeline(), OTHER, "POST /jobs"))
    assert verdict(world.run()).code == "context_not_adopted"


def test_a_target_that_links_to_us_is_reached_through_its_link() -> None:
    """Only the linking span and what is below it are evidence of that trace."""
    world = World(trace_context="link")
    linked = in_trace(pipeline(), OTHER, "POST /jobs")
    ours = span("x", "x", links=[(TRACE, "x")]).links[0]
    ours = replace(ours, span_id=parent_id_for(TRACE))
    linked[0] = replace(linked[0], links=(ours,))
    linked = [replace(one, attributes={**one.attributes, "job.id": "unseen"}) for one in linked]
    stranger = span("cron", "of another job", trace=OTHER, at=5, job="other")
    world.source.span(0.1, *linked, stranger)
    run = world.run()
    assert {one.name for one in run.evidence.spans} == {one.name for one in linked}
    assert verdict(run).status is Status.PASS


def test_logs_of_a_trace_found_late_are_asked_for_before_anything_is_decided() -> None:
    """Logs were answered in full before the second trace was known: that answer does not count."""
    lines = ("log_fields", {"logs": {"where": {"body": "failed"}}, "require": ["error_code"]})
    world = World(checks=[lines])
    spans = pipeline()
    cut = in_trace(spans[2:], OTHER, "run-scrape")
    world.source.span(0.1, *spans[:2]).span(2.99, *cut)
    world.source.log(0.1, line("scraper", "failed", trace=OTHER, error_code="x"))
    assert verdict(world.run(), "log_fields").status is Status.PASS


def test_a_chain_of_links_is_followed_to_its_end() -> None:
    """Each trace links to the one before: all three are evidence."""
    third = "3" * 32
    chain = [
        span("orchestrator", "POST /jobs", parent=parent_id_for(TRACE)),
        span("scraper", "second", trace=OTHER, links=[(TRACE, "POST /jobs")]),
        span("chunking", "third", trace=third, links=[(OTHER, "second")]),
    ]
    world = World(checks=[ANY])
    world.source.span(0.1, *chain)
    assert {one.trace_id for one in world.run().evidence.spans} == {TRACE, OTHER, third}


def test_the_trace_of_another_job_is_no_evidence() -> None:
    """In a trace found by the job's id, the part that names another job is left out."""
    world = World(trace_context="new")
    spans = in_trace(pipeline(), OTHER, "POST /jobs")
    foreign = span("scraper", "of another", parent="complete", trace=OTHER, at=50, job="another")
    below = span("cron", "below it", parent="of another", trace=OTHER, at=51)
    world.source.span(0.1, *spans, foreign, below)
    assert {"of another", "below it"}.isdisjoint(s.name for s in world.run().evidence.spans)


@pytest.mark.parametrize("first", ["link", "job_id"])
def test_how_a_trace_was_first_found_decides_nothing(first: str) -> None:
    """The same spans, seen by their link first or by the job's id first: the same evidence."""
    linking = span("scraper", "run", trace=OTHER, at=5, links=[(TRACE, "POST /jobs")])
    naming = span("scraper", "work", trace=OTHER, at=6, parent="loop", job=JOB)
    early, late = (linking, naming) if first == "link" else (naming, linking)
    world = World(checks=[EVERY])
    world.source.span(0.1, pipeline()[0]).span(0.2, early).span(1.5, late)
    assert {one.name for one in world.run().evidence.spans} == {"POST /jobs", "run", "work"}


def test_lines_of_another_job_in_a_shared_trace_are_no_evidence() -> None:
    """Logs are told apart by the job that they name, as spans are."""
    rule = ("log_fields", {"logs": {"where": {"body": "failed"}}, "require": ["error_code"]})
    world = World(checks=[rule], trace_context="new")
    world.source.span(0.1, *in_trace(pipeline(), OTHER, "POST /jobs"))
    mine: dict[str, Any] = {"trace": OTHER, "job.id": JOB, "error_code": "x"}
    theirs: dict[str, Any] = {"trace": OTHER, "job.id": "another"}
    world.source.log(0.1, line("scraper", "failed", **mine), line("scraper", "failed", **theirs))
    run = world.run()
    assert verdict(run, "log_fields").status is Status.PASS
    assert len(run.evidence.logs) == 1


@pytest.mark.parametrize("order", [1, -1])
def test_lines_that_differ_only_in_a_field_are_two(order: int) -> None:
    """Same time, same words: the one without `error_code` is not swallowed, whichever is first."""
    rule = ("log_fields", {"logs": {"where": {"body": "failed"}}, "require": ["error_code"]})
    world = World(checks=[rule])
    world.source.span(0.1, *pipeline())
    world.source.log(
        0.1, *[line("scraper", "failed", error_code="x"), line("scraper", "failed")][::order]
    )
    assert verdict(world.run(), "log_fields").status is Status.FAIL


# -- Sampling -----------------------------------------------------------------------------------


def test_sampled_out_is_told_and_is_no_pass() -> None:
    """A target that samples by ratio and left only logs with the flag off: inconclusive."""
    world = World(sampling="ratio", trace_context="none")
    world.source.log(0.1, line("orchestrator", "accepted", sampled=False, **{"job.id": JOB}))
    run = world.run()
    assert (verdict(run).status, verdict(run).code) == (Status.INCONCLUSIVE, "sampled_out")


def test_a_run_without_traceparent_sends_none() -> None:
    """`trace_context: none`: the target decides on sampling as it does for real traffic."""
    world = World(trace_context="none")
    world.source.span(0.1, *in_trace(pipeline(), OTHER, "POST /jobs"))
    world.run()
    assert world.target.marks[0].traceparent == ""
    assert World(trace_context="adopt").run().evidence.job.sent_parent


# -- Whose sample is it? ------------------------------------------------------------------------


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


@pytest.mark.req("V-05")
def test_a_sample_counts_by_its_increase() -> None:
    """Both operations grew in synthetic traffic: a pass, once nothing changes any more."""
    run = metrics_world([sample("read", 6), sample("write", 7)]).run()
    assert verdict(run, "metric_labels").status is Status.PASS


@pytest.mark.req("V-05")
@pytest.mark.parametrize(
    "after",
    [
        [sample("read", 6), sample("write", 5)],
        [sample("read", 6), sample("write", 9, traffic="user")],
    ],
    ids=["did not grow", "grew for users"],
)
def test_what_others_did_to_a_metric_is_not_ours(after: list[Sample]) -> None:
    """A series that stands still, or that grew only for users, is no evidence of the run."""
    run = metrics_world(after).run()
    assert verdict(run, "metric_labels").status is Status.FAIL


def test_a_declared_settle_time_is_kept_whatever_the_lag_budget() -> None:
    """`settle: 10s` with a budget of 2 s: a straggler at 9 s is still seen."""
    world = World()
    world.settle = 10.0
    world.source.span(0.1, *pipeline()).span(9.0, span("cron", "late", at=9000, job=JOB))
    assert verdict(world.run()).code == "second_root"


def test_a_value_that_is_no_number_comes_to_rest() -> None:
    """NaN is not unlike itself: the settle time ends."""
    nan = sample("read", float("nan"), instance="e-2")
    world = metrics_world([sample("read", 6), sample("write", 7), nan])
    world.run()
    assert world.decided("metric_labels") < 4


@pytest.mark.req("V-13")
def test_without_a_reading_before_the_job_nothing_passes() -> None:
    """The pages could not be read before: an increase cannot be known."""
    world = metrics_world([sample("read", 6), sample("write", 7)])
    pages = world.sources[0]
    assert isinstance(pages, FakeMetrics)
    pages.fails(-1.0, 0.05, SourceFailure.CONNECT)
    run = world.run()
    assert verdict(run, "metric_labels").status is Status.INCONCLUSIVE
    assert "before the job" in verdict(run, "metric_labels").summary


# -- How long a source takes ---------------------------------------------------------------------


def slow_world(lag: float, lags: dict[str, LagHistogram]) -> World:
    """Return a world whose source shows each span `lag` seconds after its end."""
    world = World(lags=lags)
    for one in pipeline():
        world.source.span(one.end / 1e9 - EPOCH + lag, one)
    return world


@pytest.mark.req("X-08")
def test_the_ingest_lag_is_measured() -> None:
    """Spans are readable 1.4 s after their end: that is what the run reports of the source."""
    run = slow_world(1.4, {}).run()
    (lag,) = (one.lag for one in run.evidence.sources if Signal.TRACES in one.signals)
    assert lag == pytest.approx(1.4, abs=0.5)


@pytest.mark.req("X-08")
def test_looks_follow_the_measured_lag() -> None:
    """Once a source is known, it is asked when there is something to see, and less often."""
    lags = {"fake": LagHistogram()}
    first = slow_world(1.4, lags)
    first.run()
    for _ in range(30):
        lags["fake"].note(1.4)
    second = slow_world(1.4, lags)
    assert verdict(second.run()).status is Status.PASS
    assert len(second.source.asked) < len(first.source.asked)


@pytest.mark.req("X-08")
def test_a_source_that_became_slower_is_waited_for_and_told_of() -> None:
    """Four seconds against a declared two: no false fail once that is known, but a finding."""
    lags = {"fake": LagHistogram()}
    assert verdict(slow_world(4.0, lags).run()).status is Status.FAIL
    for _ in range(30):
        lags["fake"].note(4.0)
    run = slow_world(4.0, lags).run()
    assert verdict(run).status is Status.PASS
    assert any(
        "slower than its lag budget" in one for s in run.evidence.sources for one in s.findings
    )


@pytest.mark.req("X-08")
def test_patience_does_not_grow_without_bound() -> None:
    """A source of a minute's lag is waited for three times its budget, and no longer."""
    lags = {"fake": LagHistogram()}
    for _ in range(30):
        lags["fake"].note(60.0)
    world = slow_world(60.0, lags)
    assert verdict(world.run()).status is Status.FAIL
    assert world.decided() < 1 + 3 * 2.0 + 0.5


# -- Exit code, and a target that refuses or hangs ----------------------------------------------


def test_a_refused_job_fails_its_outcome_and_blocks_the_rest() -> None:
    """One cause, one fail; nothing was gathered, and nothing else is said."""
    world = World(checks=[("connected_trace", CONNECTED), EVERY])
    world.target.refusal = "targets.t: 500 Internal Server Error"
    run = world.run()
    assert verdict(run, "job_outcome").status is Status.FAIL
    assert "500 Internal Server Error" in str(verdict(run, "job_outcome"))
    assert {one.status for one in run.verdicts if one.check != "job_outcome"} == {Status.BLOCKED}
    assert exit_code([run]) == 1


def test_a_job_that_never_ends_is_given_up_at_the_deadline() -> None:
    """A hanging job fails `job_outcome` at the deadline, not later, and is cleaned up."""
    world = World(deadline=12.0)
    world.target.script = []
    world.source.span(0.5, *pipeline()[:4])
    run = world.run()
    assert run.evidence.job.state is JobState.TIMED_OUT
    assert verdict(run, "job_outcome").status is Status.FAIL
    assert verdict(run).status is Status.BLOCKED
    assert 12 <= run.finished - run.started < 12.5
    assert world.target.cleaned == [run.id]


def test_a_fail_outranks_an_inconclusive() -> None:
    """One of each: exit code 1. Blocked changes nothing."""
    world = metrics_world([])
    pages = world.sources[0]
    assert isinstance(pages, FakeMetrics)
    pages.fails(-1.0, 1e9, SourceFailure.CONNECT)
    world.checks = [("connected_trace", CONNECTED), LABELS]
    world.source = FakeSource(world.clock).span(0.1, *but(pipeline(), "chunking"))
    run = world.run()
    assert {one.status for one in run.verdicts} == {Status.PASS, Status.FAIL, Status.INCONCLUSIVE}
    assert exit_code([run]) == 1


def test_a_follow_up_that_fails_fails_the_job() -> None:
    """What the target's configuration does with a finished job is part of the job."""
    world = World()
    world.target.broken_finish = "search answered 500"
    world.source.span(0.1, *pipeline())
    run = world.run()
    assert verdict(run, "job_outcome").status is Status.FAIL
    assert run.evidence.job.detail == "search answered 500"


# -- Several validators, trust, existing jobs ---------------------------------------------------


def test_every_run_has_marks_of_its_own_and_is_cleaned_up() -> None:
    """Two runs share neither run id, nonce nor corpus, and each is removed by its id."""
    marks, cleaned = [], []
    for _ in range(2):
        world = World()
        world.source.span(0.1, *pipeline())
        world.run()
        marks += world.target.marks
        cleaned += world.target.cleaned
    first, second = marks
    assert {first.run_id, first.nonce, first.corpus}.isdisjoint(
        {second.run_id, second.nonce, second.corpus}
    )
    assert cleaned == [first.run_id, second.run_id]
    assert f"obs_validator.run_id={first.run_id}" in first.baggage


@pytest.mark.req("X-10")
def test_an_existing_job_is_judged_and_left_alone() -> None:
    """Nothing is submitted and nothing is cleaned up; its trace is judged as it is."""
    from validator.app import Existing, existing_job  # noqa: PLC0415 - what `check` builds

    suite = Suite("s", 1, "t", {}, 1.0, 2.0, 0.05, False, (), "s.yaml")  # noqa: FBT003
    world = World(existing=existing_job(suite, Existing(JOB, ""), "r"))
    world.target.script = [(0.0, "done", JobState.UNKNOWN)]
    world.source.span(-5.0, *pipeline())
    run = world.run()
    assert verdict(run).status is Status.PASS
    assert not world.target.marks
    assert not world.target.cleaned
    assert [one.check for one in run.verdicts] == ["connected_trace"]


@pytest.mark.req("X-10")
def test_a_job_known_by_its_trace_gets_its_id_from_it() -> None:
    """`--trace-id` alone: checks that name `{{ job.id }}` are judged all the same."""
    from validator.app import Existing, existing_job  # noqa: PLC0415 - what `check` builds

    suite = Suite("s", 1, "t", {}, 1.0, 2.0, 0.05, False, (), "s.yaml")  # noqa: FBT003
    equals = {"spans": {"name": "scrape_task"}, "equals": {"job.id": "{{ job.id }}"}}
    world = World(
        checks=[("span_attributes", equals)],
        existing=existing_job(suite, Existing("", TRACE), "r"),
    )
    world.target.script = [(0.0, "", JobState.UNKNOWN)]
    world.source.span(-5.0, *pipeline())
    run = world.run()
    assert run.evidence.job.id == JOB
    assert verdict(run, "span_attributes").status is Status.PASS


@pytest.mark.req("X-10")
def test_an_existing_jobs_metrics_have_no_before() -> None:
    """Nobody read the pages before a job that is there already: inconclusive, and said so."""
    from validator.app import Existing, existing_job  # noqa: PLC0415

    suite = Suite("s", 1, "t", {}, 1.0, 2.0, 0.05, False, (), "s.yaml")  # noqa: FBT003
    world = metrics_world([sample("read", 6), sample("write", 7)])
    grew = {
        "expr": "samples.all(s, s.value > s.before)",
        "message": "all of it grew",
        "reads": ["metrics"],
        "metrics": ["embedding_request_duration_seconds"],
    }
    world.checks = [LABELS, ("expression", grew)]
    world.existing = existing_job(suite, Existing("", TRACE), "r")
    world.target.script = [(0.0, "done", JobState.UNKNOWN)]
    run = world.run()
    assert [one.status for one in run.verdicts] == [Status.INCONCLUSIVE, Status.INCONCLUSIVE]
    assert {one.code for one in run.verdicts} == {"no_before"}


# -- The loop itself ----------------------------------------------------------------------------


def test_an_interrupt_cleans_up_and_is_recorded() -> None:
    """Ctrl-C in mid-run: the job's traces are removed, and the run says that it was cut short."""
    world = World()
    world.target.script = []

    def press() -> None:
        raise KeyboardInterrupt

    world.executor.at(EPOCH + 3.0, press)
    run = world.run()
    assert run.interrupted
    assert verdict(run).status is Status.INCONCLUSIVE
    assert world.target.cleaned == [run.id]
    assert exit_code([run]) == 3


@pytest.mark.req("V-13")
def test_a_check_that_breaks_loses_nothing() -> None:
    """An error within a check is inconclusive, says so, and leaves the others' verdicts."""

    def broken(_params: object, _evidence: object) -> Verdict:
        raise ZeroDivisionError("oops")

    kinds = {**CHECKS, "broken": replace(CHECKS["connected_trace"], evaluate=broken)}
    spec = CheckSpec("broken", "broken", CONNECTED, "a test", "required", "x")
    good = replace(spec, kind="connected_trace", name="connected_trace")
    world = World()
    world.source.span(0.1, *pipeline())
    found = Judge(kinds, (spec, good)).verdicts(world.run().evidence)
    by_name: dict[str, Status] = {one.name: one.status for one in found}
    assert by_name["broken"] is Status.INCONCLUSIVE
    assert by_name["connected_trace"] is Status.PASS


def test_requests_to_a_quiet_source_are_few() -> None:
    """A run of one second asks a polled source at most ten times."""
    world = World()
    world.source.span(0.1, *pipeline())
    world.run()
    assert len(world.source.asked) <= 10


Script = Callable[[World], None]
