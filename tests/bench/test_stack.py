"""The instruments of the benchmarks with real backends: what they must not overlook."""

from __future__ import annotations

import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from bench import lateness
from bench.backends import Backend, Counted
from bench.stack_observer import Watch
from tests.sources.servers import Canned, serving
from validator.errors import SourceError
from validator.ports import Question


def test_the_observer_brackets_what_was_sent() -> None:
    """A piece cannot be read before it was sent, nor at the last look that did not find it."""
    watch = Watch()
    sent = time.monotonic()
    watch.jobs["j"] = {"id": "j", "spans": ["a", "b"], "sent": {"a": sent}}
    found: set[str] = set()
    asked: list[Mapping[str, Any]] = []

    def read(job: Mapping[str, Any]) -> set[str]:
        asked.append(job)
        return found

    watch.look_for(read, "spans")
    looked = watch.looked["j", "a"]
    assert not watch.seen
    found.update("ab")
    watch.look_for(read, "spans")
    assert set(watch.seen) == {("j", "a")}  # the other was not sent: nobody looked for it
    seen = watch.seen["j", "a"]
    assert sent < seen.after == looked < seen.by
    watch.look_for(read, "spans")
    assert len(asked) == 2  # nothing is on its way


@pytest.mark.parametrize("status", [404, 503])
def test_every_request_is_counted(status: int) -> None:
    """Planting, questions, those for the control record, and what is asked again after an error."""
    missing = b'{"error":{"httpCode":404,"message":"trace not found"}}'

    def script(handler: BaseHTTPRequestHandler) -> Canned:
        posted = handler.command == "POST"
        return Canned() if posted else Canned(status, missing, "text/plain; charset=utf-8")

    with serving(script) as served:
        counted = Counted()
        source = counted.traces(Backend("jaeger", served.url, served.url))
        source.plant("c" * 32)
        question = Question("j", ("job.id",), frozenset({"a" * 32}), 0.0, 1.0, "c" * 32)
        try:
            source.traces(question)
        except SourceError:
            assert status == 503
        source.close()
        assert counted.counts == {"jaeger": len(served.requests)}
        assert len(served.requests) >= 3


def test_a_green_that_nobody_revised_is_told() -> None:
    """A run that was not made counts as one, too: it has shown nothing."""
    figures = lateness.figures("jaeger", 3.0, ())
    assert [figure.holds for figure in figures if figure.bounded] == [False]
