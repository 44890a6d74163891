"""Rules of judging, where only an index that is half a minute behind names the job's traces."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.run.world import EVERY, World, but, in_trace, verdict
from tests.traces import OTHER, pipeline
from validator.model import Span, Status
from validator.ports import Probed, Question
from validator.sources.http import Bounds, Http, make_session
from validator.sources.otlp_spans import Decoded
from validator.sources.trace_store import Hits, Lags, TraceStore
from validator.testing import FakeClock

LATER = "ee" * 16
INDEX = 30.0


class Indexed(TraceStore):
    """Traces that are there by id from the start, and in the index at a time of each."""

    kind = "tempo"
    product = "Tempo"

    def __init__(self, clock: FakeClock, spans: list[Span], found: dict[str, float]) -> None:
        """Hold `spans`; a search finds a trace from its time on, in seconds after the start."""
        http = Http("indexed", make_session(), clock, Bounds(timeout=5))
        super().__init__("indexed", "http://127.0.0.1:1", http, Lags(2.0, INDEX))
        self._spans = spans
        self._found = found
        self._began = clock.now()

    def probe(self) -> Probed:
        """Say nothing."""
        return Probed("", 0.0, None)

    def _fetch(self, trace_id: str, until: float) -> Decoded:
        del until
        return Decoded(tuple(span for span in self._spans if span.trace_id == trace_id))

    def _find(self, question: Question, until: float) -> Hits:
        del question, until
        elapsed = self._http.clock.now() - self._began
        return Hits(tuple(one for one, since in self._found.items() if elapsed >= since))

    def _find_control(self, question: Question, until: float) -> Hits:
        del question, until
        return Hits()


@pytest.mark.req("V-13")
@pytest.mark.parametrize("later", [20.0, 26.0, 30.5])
def test_a_trace_that_the_index_has_later_is_waited_for(later: float) -> None:
    """What the index named first is not taken for all: it may have the rest later."""
    world = World(trace_context="new", checks=[EVERY])
    first = [replace(span) for span in but(pipeline(), "scraper")]
    rest = [span for span in pipeline() if span.service == "scraper"]
    spans = in_trace(first, OTHER, "POST /jobs") + [
        replace(span, trace_id=LATER, parent_id="") for span in rest
    ]
    world.source = Indexed(world.clock, spans, {OTHER: 18.0, LATER: later})  # type: ignore[assignment]
    run = world.run()
    assert verdict(run, "span_attributes").status is Status.PASS
    assert {ref.trace_id for ref in run.evidence.job.traces} >= {OTHER, LATER}


@pytest.mark.req("V-13")
def test_what_the_index_never_has_is_missing_after_its_time() -> None:
    """A service whose spans no search finds fails, and not before the index has had its time."""
    world = World(trace_context="new", checks=[EVERY])
    spans = in_trace(but(pipeline(), "scraper"), OTHER, "POST /jobs")
    world.source = Indexed(world.clock, spans, {OTHER: 18.0})  # type: ignore[assignment]
    run = world.run()
    assert verdict(run, "span_attributes").status is Status.FAIL
    assert world.decided("span_attributes") >= 1.0 + INDEX
