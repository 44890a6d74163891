"""Rules of judging: when evidence is complete, what is missing then, and what else it explains."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.run.world import (
    CONNECTED,
    EVERY,
    World,
    but,
    verdict,
)
from tests.traces import JOB, OTHER, SENT, TRACE, line, pipeline, sid, span
from validator.errors import SourceFailure
from validator.model import (
    CoverageState,
    JobState,
    Signal,
    SpanKind,
    Status,
)
from validator.report.summary import exit_code
from validator.testing import (
    FakeSource,
)

# -- When is the evidence complete? ----------------------------------------------------------------


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


# -- When is "missing" a fail, and when inconclusive? ----------------------------------------------


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


@pytest.mark.parametrize(("at", "code"), [(4.0, "ok"), (30.0, "second_root")])
def test_the_span_that_a_root_links_to_is_waited_for(at: float, code: str) -> None:
    """The producer's exporter takes longer than the settle time: no fail before the lag budget."""
    world = World(checks=[("connected_trace", {"services": ["api", "worker"], "hops": "link"})])
    world.source.lag_budget = 7.0
    request = span("api", "POST /jobs", parent=SENT, kind=SpanKind.SERVER, job=JOB)
    queued = span("api", "apply/x", parent="POST /jobs", kind=SpanKind.PRODUCER, at=2)
    taken = span(
        "worker", "run/x", kind=SpanKind.CONSUMER, trace=OTHER, links=[(TRACE, "apply/x")], job=JOB
    )
    world.source.span(0.2, request, taken).span(at, queued)
    assert verdict(world.run()).code == code
    assert world.decided() >= (at if code == "ok" else 8.0)


@pytest.mark.parametrize(("at", "status"), [(4.0, Status.PASS), (30.0, Status.FAIL)])
def test_the_spans_that_tell_attempts_apart_are_waited_for(at: float, status: Status) -> None:
    """Lines come long before spans: the wrong one of an attempt that was replaced is no fail."""
    world = World(checks=[("log_fields", {"require": ["error_code"]})])
    world.source.lag_budget = 7.0
    request = span("api", "POST /jobs", parent=SENT, kind=SpanKind.SERVER, job=JOB)
    first, last = (
        span("worker", "run/x", id=f"try-{n}", parent="POST /jobs", kind=SpanKind.CONSUMER,
             task="t-1", at=n * 100)
        for n in (1, 2)
    )  # fmt: skip
    lines = [
        replace(line("worker", "failed"), span_id=first.span_id),
        replace(line("worker", "failed", error_code="x"), span_id=last.span_id),
    ]
    world.source.span(0.2, request).log(0.3, *lines).span(at, first, last)
    assert verdict(world.run(), "log_fields").status is status
    assert world.decided("log_fields") >= (at if status is Status.PASS else 8.0)


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


def test_a_control_record_is_written_only_where_nothing_of_the_job_was_seen() -> None:
    """At the job's end: it is younger than what it is to show, and costs nothing elsewhere."""
    shown, empty = World(), World()
    for world in (shown, empty):
        world.target.script = [(0.0, "x", JobState.RUNNING), (3.0, "done", JobState.PASSED)]
    shown.source.span(0.1, *pipeline()).log(0.1, line("scraper", "scraped", **{"job.id": JOB}))
    shown.run()
    empty.run()
    assert shown.source.planted == {}
    (written,) = empty.source.planted.values()
    assert 3.0 <= written < 3.2


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


# -- One cause, many checks ------------------------------------------------------------------------


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


# -- Several answers -------------------------------------------------------------------------------


def test_evidence_is_the_union_and_less_is_a_finding() -> None:
    """A replica that has not all of it takes nothing away, and is told."""
    world = World()
    world.source.span(0.1, *pipeline()).forgets(1.5, sid("chunk"))
    run = world.run()
    assert verdict(run).status is Status.PASS
    assert any("replicas disagree" in one for src in run.evidence.sources for one in src.findings)


def test_an_answer_that_has_less_is_no_proof_that_something_is_missing() -> None:
    """The replica that lost one span may be the one that never had the other."""
    world = World()
    world.source.span(0.1, *but(pipeline(), "chunking")).forgets(1.5, sid("scrape_task"))
    found = verdict(world.run())
    assert (found.status, found.code) == (Status.INCONCLUSIVE, "source_unproven")
    assert "an answer lacked 1 traces items that an earlier one had" in found.summary


def test_after_an_answer_that_has_less_it_is_asked_again_soon() -> None:
    """A store that moves a trace shows nothing of it for a moment, and that may be the deadline.

    The verdict waits for a whole answer, but no longer than that.
    """
    world = World()
    spans = but(pipeline(), "chunking")
    world.source.span(0.1, *spans)
    for one in spans:
        world.source.forgets(2.9, one.span_id, until=3.1)
    found = verdict(world.run())
    assert (found.status, found.code) == (Status.FAIL, "service_missing")
    assert 3.1 <= world.decided() <= 3.5


def test_who_shows_nothing_any_more_proves_nothing() -> None:
    """An empty answer after one that was not may be that of another tenant."""
    world = World()
    spans = but(pipeline(), "chunking")
    world.source.span(0.1, *spans).control = False
    for one in spans:
        world.source.forgets(1.5, one.span_id)
    found = verdict(world.run())
    assert (found.status, found.code) == (Status.INCONCLUSIVE, "source_unproven")
    assert "shows nothing of this run any more, which an earlier one had" in found.summary


def test_two_sources_of_one_signal_are_one_evidence() -> None:
    """Half of the spans in each of two backends: together they are whole."""
    world = World()
    other = FakeSource(world.clock, name="other")
    world.sources = [other]
    world.source.span(0.1, *pipeline()[:6])
    other.span(0.1, *pipeline()[6:])
    assert verdict(world.run()).status is Status.PASS
