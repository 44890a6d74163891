"""Rules of judging: when a check may decide early."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.run.world import (
    ANY,
    EVERY,
    World,
    verdict,
)
from tests.traces import JOB, pipeline, sid, span
from validator.model import (
    JobState,
    SpanKind,
    Status,
)


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
