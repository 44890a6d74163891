"""Rules of judging: which traces are evidence, and sampling."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.run.world import (
    ANY,
    EVERY,
    World,
    in_trace,
    verdict,
)
from tests.traces import JOB, OTHER, TRACE, line, pipeline, span
from validator.model import (
    Status,
)
from validator.traces import parent_id_for

# -- Which traces? ---------------------------------------------------------------------------------


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


@pytest.mark.parametrize("key", ["job.id", "job_id"])
def test_lines_of_another_job_in_a_shared_trace_are_no_evidence(key: str) -> None:
    """Logs are told apart by the job that they name, in whichever spelling, as spans are."""
    rule = ("log_fields", {"logs": {"where": {"body": "failed"}}, "require": ["error_code"]})
    world = World(checks=[rule], trace_context="new")
    world.source.span(0.1, *in_trace(pipeline(), OTHER, "POST /jobs"))
    mine: dict[str, Any] = {"trace": OTHER, "job.id": JOB, "error_code": "x"}
    theirs: dict[str, Any] = {"trace": OTHER, key: "another"}
    stranger = replace(line("scraper", "failed", **theirs), flattened=(key,))
    world.source.log(0.1, line("scraper", "failed", **mine), stranger)
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


# -- Sampling --------------------------------------------------------------------------------------


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
