"""Ctrl-C and SIGTERM: what was begun is cleaned up and told, and nobody is left behind."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable

import pytest

from pipeline.testing import poll_until
from tests.e2e.command import Running, Said, Stage

pytestmark = pytest.mark.process
End = Callable[[Running, signal.Signals], Said]
_WAYS = [(signal.SIGINT, Running.end), (signal.SIGTERM, Running.end_by_thread)]
_NONE = {"jobs": 0, "documents": 0, "vectors": 0}


@pytest.mark.req("V-02")
@pytest.mark.parametrize(("number", "end"), _WAYS)
def test_a_check_that_is_interrupted_cleans_up_and_says_so(
    stage: Stage, number: signal.Signals, end: End
) -> None:
    """The job is removed from the pipeline; the report says interrupted; the code is 3."""
    name = f"{end.__name__}-{number.name}"
    args = ("check", "a-slow.yaml", "pipeline.yaml", "-o", f"{name}.json")
    before = _begun(stage)
    with stage.running(name, *args) as check:
        check.wait_for("submitted")
        poll_until(lambda: _begun(stage) > before, "a job at work")
        said = end(check, number)
        assert said.code == 3
        assert not check.left_behind()
    run, other = json.loads((stage.folder / f"{name}.json").read_text())["runs"]
    told = [(one["suite"], one["interrupted"], one["evidence"]["logs"]) for one in (run, other)]
    assert told[0][:2] == ("slow", True), (told, said.out)
    assert told[1] == ("pipeline", True, 0), told  # not begun: no log line is its own
    assert stage.rows(run["id"]) == _NONE
    assert "interrupted" in said.out


def _begun(stage: Stage) -> int:
    """Return how many jobs the worker has begun to work on."""
    lines = stage.pipeline.lines("scraper-worker")
    return sum(line["event"] == "scrape_started" for line in lines)


@pytest.mark.parametrize(("number", "end"), _WAYS)
def test_a_collector_ends_in_order(stage: Stage, number: signal.Signals, end: End) -> None:
    """The collector alone ends by either signal with code 0, on a free port of its own."""
    with stage.running("alone", "collector", "--http-port", "0", "--grpc-port", "0") as collector:
        collector.wait_for("OTLP/gRPC")
        said = end(collector, number)
    assert said.code == 0
    assert said.err == ""
