"""Rules of judging: an index of traces is waited for by its own lag, and holds up nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.run.world import CONNECTED, World, verdict
from tests.traces import JOB, OTHER, TRACE, pipeline, span
from validator.errors import SourceFailure
from validator.model import Signal, SpanKind, Status
from validator.testing import FakeIndex

pytestmark = pytest.mark.req("V-12")
SEARCH: tuple[str, Mapping[str, Any]] = ("trace_search", {})


def index_world(*, at: float | None) -> tuple[World, FakeIndex]:
    """Return a world whose trace can be read at once, and found by search from `at` on."""
    world = World(checks=[("connected_trace", CONNECTED), SEARCH])
    index = FakeIndex(world.clock, control=False)
    world.source = index
    index.span(0.5, *pipeline())
    if at is not None:
        index.findable(at, TRACE)
    return world, index


def test_a_trace_is_found_when_the_index_has_it() -> None:
    """The index is half a minute behind: the trace is judged long before, and the search waits."""
    world, index = index_world(at=21.0)
    run = world.run()
    assert verdict(run).status is Status.PASS
    assert world.decided() < 5
    found = verdict(run, "trace_search-1")
    assert found.status is Status.PASS
    assert 21.0 <= world.decided("trace_search-1") < 27.0
    assert len(index.searched) <= 16
    (hit,) = run.evidence.hits
    assert hit.trace_id == TRACE


@pytest.mark.req("V-13", "X-03")
def test_what_the_index_never_finds_has_failed_after_its_own_lag_budget() -> None:
    """The storage shows that source, tenant and window are right: so it is the index."""
    world, _index = index_world(at=None)
    run = world.run()
    assert verdict(run, "trace_search-1").status is Status.FAIL
    assert world.decided("trace_search-1") >= 1.0 + 30.0
    shown = {one.signals: one.shown_by for one in run.evidence.sources}
    assert "by its id" in shown[Signal.SEARCH,]


@pytest.mark.req("V-13")
def test_an_index_of_which_nothing_is_known_is_inconclusive() -> None:
    """Neither stored nor found: it may be the wrong tenant."""
    world = World(checks=[SEARCH])
    world.source = FakeIndex(world.clock, control=False)
    assert verdict(world.run(), "trace_search").status is Status.INCONCLUSIVE


@pytest.mark.req("V-13")
def test_an_index_that_fails_is_inconclusive() -> None:
    """Whoever cannot be asked has found nothing, and lost nothing."""
    world, index = index_world(at=0.6)
    index.fails(0.7, 100.0, SourceFailure.SERVER_ERROR)
    assert verdict(world.run(), "trace_search-1").status is Status.INCONCLUSIVE


def test_an_index_is_left_alone_where_no_check_wants_it() -> None:
    """Searching costs a backend more than reading."""
    world, index = index_world(at=1.0)
    world.checks = world.checks[:1]
    world.run()
    assert not index.searched


@pytest.mark.req("V-03")
def test_a_lost_part_that_only_the_index_knows_is_in_the_report() -> None:
    """No verdict waits for it: when the second trace is found, it is judged with the rest."""
    lost = span("scraper", "run", trace=OTHER, kind=SpanKind.CONSUMER, at=5, job=JOB)
    world, index = index_world(at=21.0)
    index.findable(21.0, OTHER)
    index.span(21.0, lost)
    run = world.run()
    assert {hit.trace_id for hit in run.evidence.hits} == {TRACE, OTHER}
    assert OTHER in {ref.trace_id for ref in run.evidence.job.traces}
    assert OTHER in {one.trace_id for one in run.evidence.spans}
    assert (verdict(run).status, verdict(run).code) == (Status.FAIL, "second_root")
