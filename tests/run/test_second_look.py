"""Rules of judging: a pass is looked at twice."""

from __future__ import annotations

import pytest

from tests.run.world import EVERY, LABELS, World, metrics_world, sample, verdict
from tests.traces import EPOCH, JOB, pipeline, span
from validator.errors import SourceFailure
from validator.evidence_io import run_from_json, run_to_json
from validator.model import JobState, Run, SpanStatus, Status
from validator.report.lines import again_lines, joined
from validator.run import SuiteRun
from validator.testing import FakeExecutor, FakeMetrics

NONE_FAILED = ("span_outcome", {"spans": {"service": "scraper"}, "status": "not_error"})


def late_world(seconds: float) -> World:
    """Return a world in which a failed span comes so long after the rest of the trace."""
    world = World(checks=[NONE_FAILED])
    world.source.span(0.9, *pipeline())
    failed = span(
        "scraper", "store", parent="scrape_task", at=900, job=JOB, status=SpanStatus.ERROR
    )
    world.source.span(0.9 + seconds, failed)
    return world


def looked_at(world: World, after: float = 30.0) -> tuple[Run, Run]:
    """Return a run and what it is after a second look."""
    one = world.suite_run()
    first = one.make()
    world.clock.sleep(max(0.0, first.finished + after - world.clock.now()))
    return first, again(one, first, world)


def again(one: SuiteRun, first: Run, world: World) -> Run:
    """Look again at a run, which nobody interrupts."""
    found = one.look_again(first, FakeExecutor(world.clock))
    assert found is not None
    return found


@pytest.mark.req("V-13")
@pytest.mark.parametrize("seconds", [0.5, 1.5])
def test_what_comes_within_the_settle_time_is_judged(seconds: float) -> None:
    """A failed span half a second, or one and a half, after the rest: no false green."""
    run = late_world(seconds).run()
    assert verdict(run, "span_outcome").status is Status.FAIL


@pytest.mark.req("X-11")
def test_what_comes_later_revises_the_verdict() -> None:
    """Three seconds after the rest: a pass at first, then a fail that says what it was."""
    first, then = looked_at(late_world(3.0))
    assert verdict(first, "span_outcome").status is Status.PASS
    found = verdict(then, "span_outcome")
    assert found.status is Status.FAIL
    assert then.second_look is not None
    assert then.second_look.spans == 1
    (revision,) = then.second_look.revisions
    assert (revision.name, revision.was, revision.now) == ("span_outcome", Status.PASS, Status.FAIL)
    assert (then.id, then.finished) == (first.id, first.finished)
    text = joined(again_lines(then))
    assert "was pass (ok) at first" in text
    assert "1 spans and 0 log lines had come late; revised: span_outcome" in text
    assert run_from_json(run_to_json(then)) == then


@pytest.mark.req("X-11")
def test_nothing_new_changes_nothing() -> None:
    """The verdicts stand, and the report says that somebody looked."""
    world = World(checks=[NONE_FAILED, EVERY])
    world.source.span(0.1, *pipeline())
    first, then = looked_at(world)
    assert then.verdicts == first.verdicts
    assert then.second_look is not None
    assert not then.second_look.revisions
    assert "nothing new" in joined(again_lines(then))


@pytest.mark.req("X-11", "V-13")
def test_a_source_that_fails_then_takes_no_verdict_back() -> None:
    """The evidence that the verdict stands on is there still; that nobody could look is told."""
    world = World(checks=[NONE_FAILED])
    world.source.span(0.1, *pipeline()).fails(20.0, 60.0, SourceFailure.SERVER_ERROR)
    first, then = looked_at(world)
    assert then.verdicts == first.verdicts
    assert any("second look could not ask" in text for text in then.findings)


def test_what_is_new_has_to_settle_too() -> None:
    """Spans that still come during the second look are waited for."""
    world = World(checks=[NONE_FAILED])
    world.source.span(0.9, *pipeline())
    world.source.span(31.4, span("scraper", "store", parent="scrape_task", at=900, job=JOB))
    world.source.span(32.4, span("scraper", "last", parent="store", at=901, job=JOB))
    _first, then = looked_at(world, after=29.0)
    assert {"store", "last"} <= {one.name for one in then.evidence.spans}


def test_metrics_are_not_read_again() -> None:
    """Other jobs have moved them since."""
    world = metrics_world([sample("read", 6), sample("write", 7)])
    (pages,) = world.sources
    assert isinstance(pages, FakeMetrics)
    one = world.suite_run()
    first = one.make()
    pages.sample(20.0, sample("other", 5))
    asked = len(pages.asked)
    world.clock.sleep(30.0)
    then = again(one, first, world)
    assert len(pages.asked) == asked
    assert then.evidence.samples == first.evidence.samples
    assert LABELS[0] == "metric_labels"
    assert verdict(then, "metric_labels").status is Status.PASS


def test_a_job_that_hung_can_be_looked_at_again() -> None:
    """Its verdicts are those of a job without an end, then as before."""
    world = World(checks=[NONE_FAILED], deadline=3.0)
    world.target.script = [(0.0, "x", JobState.RUNNING)]
    world.source.span(0.1, *pipeline())
    first, then = looked_at(world)
    assert then.verdicts == first.verdicts
    assert then.evidence.job.state is JobState.TIMED_OUT
    assert first.finished - EPOCH < 10
