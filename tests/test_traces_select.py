"""Which spans are evidence of a job: links, cycles, traces that several jobs share."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.traces import JOB, OTHER, SENT, TRACE, job, pipeline, span
from validator.model import AttributeValue, Job, Span, TraceRef
from validator.traces import parent_id_for, select

THIRD = "3" * 32


def names(spans: Sequence[Span], of: Job) -> set[str]:
    """Return the names of the spans that are chosen, which the order of all does not change."""
    chosen = {one.name for one in select(spans, of, ("job.id",))}
    shuffled = list(spans)
    random.Random(7).shuffle(shuffled)
    assert {one.name for one in select(shuffled, of, ("job.id",))} == chosen
    return chosen


def found() -> Job:
    """Return a job whose trace was found by its id."""
    return job(traces=(TraceRef(OTHER, "job_id"),), sent_parent="")


def linked(*via: tuple[str, str]) -> Job:
    """Return a job of our trace, and of traces that link to it."""
    return job(traces=(TraceRef(TRACE, "sent"), *(TraceRef(a, b) for a, b in via)))


def test_an_id_that_is_a_number_is_the_jobs() -> None:
    """Of a trace that was found by it: what its type should be is for a check to say."""
    top = replace(span("a", "top", trace=OTHER), attributes={"job.id": 42})
    other = replace(span("a", "other", trace=OTHER), attributes={"job.id": 43})
    spans = [top, span("b", "below", parent="top", trace=OTHER), other]
    assert names(spans, replace(found(), id="42")) == {"top", "below"}


@pytest.mark.parametrize("value", [True, 42.0, None, (42,), {"id": 42}, b"42"])
def test_what_is_neither_text_nor_an_integer_is_no_id(value: AttributeValue) -> None:
    """It names no job: neither ours, nor another to whom a span below ours would belong."""
    top = replace(span("a", "top", trace=OTHER), attributes={"job.id": "True"})
    below = span("b", "below", parent="top", trace=OTHER)
    spans = [top, replace(below, attributes={"job.id": value})]
    assert names(spans, replace(found(), id="True")) == {"top", "below"}
    assert names(spans[1:], replace(found(), id=str(value))) == set()


def test_our_own_trace_is_taken_whole_and_no_other() -> None:
    """Also spans without the job's id; not those of a trace that is not of the job."""
    stray = span("cron", "stray", trace=OTHER)
    assert names([*pipeline(), stray], job()) == {one.name for one in pipeline()}


def test_a_chain_of_links_is_followed_to_its_end() -> None:
    """What links to what links to ours, in whatever order it came."""
    spans = [
        span("a", "first", parent=SENT),
        span("b", "second", trace=OTHER, links=[(TRACE, "first")]),
        span("b", "below", parent="second", trace=OTHER),
        span("c", "third", trace=THIRD, links=[(OTHER, "below")]),
        span("d", "beside", trace=OTHER),
    ]
    of = linked((OTHER, "link"), (THIRD, "link"))
    assert names(spans, of) == {"first", "second", "below", "third"}


def test_a_link_to_the_parent_that_was_sent_counts() -> None:
    """Nobody exports that span; a target that links instead of adopting links to it."""
    ours = span("b", "linking", trace=OTHER, links=[(TRACE, "x")])
    link = ours.links[0].__class__(TRACE, parent_id_for(TRACE))
    ours = Span(**{**{f: getattr(ours, f) for f in ours.__slots__}, "links": (link,)})
    assert names([ours], linked((OTHER, "link"))) == {"linking"}


def test_cycles_end() -> None:
    """Of parents, and of links: each member is taken once."""
    ring = [
        span("a", "one", parent="two", trace=OTHER, job=JOB),
        span("a", "two", parent="one", trace=OTHER),
    ]
    assert names(ring, found()) == {"one", "two"}
    links = [
        span("a", "root", parent=SENT, links=[(OTHER, "far")]),
        span("b", "far", trace=OTHER, links=[(TRACE, "root")]),
    ]
    assert names(links, linked((OTHER, "link"))) == {"root", "far"}


def test_of_a_shared_trace_only_the_trees_of_the_job_are_taken() -> None:
    """A batch that works on several jobs: the part of another is no evidence, nor what is below."""
    spans = [
        span("batch", "mine", trace=OTHER, job=JOB),
        span("batch", "step", parent="mine", trace=OTHER),
        span("batch", "another's", parent="mine", trace=OTHER, job="other"),
        span("batch", "below it", parent="another's", trace=OTHER),
        span("batch", "a tree beside", trace=OTHER, job="other"),
    ]
    assert names(spans, found()) == {"mine", "step"}


def test_a_job_below_anothers_root_keeps_its_own_span() -> None:
    """The tree is of another, but the span that names the job is the job's."""
    spans = [
        span("batch", "another's", trace=OTHER, job="other"),
        span("batch", "mine", parent="another's", trace=OTHER, job=JOB),
    ]
    assert names(spans, found()) == {"mine"}


def test_without_an_id_nothing_is_found_by_it() -> None:
    """An empty id names no job, also where an attribute is empty."""
    empty = span("a", "empty", trace=OTHER, attributes={"job.id": ""})
    assert names([empty], job(id="", traces=(TraceRef(OTHER, "job_id"),))) == set()


@pytest.mark.parametrize("via", ["sent", "given", "header"])
def test_a_trace_that_is_known_to_be_the_jobs_is_taken_whole(via: str) -> None:
    """Whoever said so; a trace found by the job's id later does not take that away."""
    refs = (TraceRef(TRACE, via), TraceRef(TRACE, "job_id"))
    assert names([span("a", "any")], job(traces=refs)) == {"any"}
