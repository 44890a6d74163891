"""`demo`: whole, interrupted at any moment, and when a break is not caught."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from checks import CHECKS
from pipeline.testing import poll_until
from tests.e2e.command import Running, running
from validator import demo
from validator.clock import SystemClock
from validator.demo import BREAKS
from validator.loader import load_suites
from validator.sources.collector.limits import Limits
from validator.sources.collector.server import Collector, Listen

pytestmark = pytest.mark.process
_MOMENTS = {
    "while the pipeline starts": "starting the pipeline",
    "in a run": "everything as it should be",
    "between two runs": "broken on purpose",
}


def _worker_log(played: Running) -> str:
    """Return what the scraper's worker has logged, in the folder that the command line names."""
    for pid in played.family():
        words = psutil.Process(pid).cmdline()
        if "--state-dir" in words:
            state = Path(words[words.index("--state-dir") + 1])
            return (state / "logs" / "scraper-worker.log").read_text()
    return ""


@pytest.mark.req("V-03", "V-04", "V-05", "V-06", "P-10", "R-02")
def test_the_demonstration_holds_what_it_promises(tmp_path: Path) -> None:
    """The good run passes, every break is caught, the code is 0, and nobody is left behind."""
    with running(tmp_path, "demo", {}, "demo", "-o", "report.html") as played:
        played.wait_for("healthy after")
        family = played.family()
        said = played.ended(110)
        assert said.code == 0, said
        assert len(family) > 10
        assert not played.left_behind()
    assert f"{len(BREAKS)} of {len(BREAKS)} breaks caught by the right check" in said.out
    assert said.out.count("as it should be") >= len(BREAKS) + 1
    assert "NOT AS IT SHOULD" not in said.out
    html = (tmp_path / "report.html").read_text()
    for broken in BREAKS:
        assert f"[{broken.switches[0]}]" in html
    assert "orchestrator" in html
    assert "waterfall" in html


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", list(_MOMENTS))
def test_an_interrupt_at_any_moment_ends_it_all(
    tmp_path: Path, moment: str, number: signal.Signals
) -> None:
    """It ends at once with code 3, and every process that it has started is gone."""
    with running(tmp_path, "demo", {}, "demo", "-o", "report.html") as played:
        played.wait_for(_MOMENTS[moment])
        if moment == "while the pipeline starts":
            poll_until(lambda: len(played.family()) > 2, "the first of its processes", 30)
        elif moment == "in a run":
            poll_until(lambda: "scrape_started" in _worker_log(played), "a job at work", 30)
        said = played.end(number, 40)
        poll_until(lambda: not played.left_behind(), "the end of all processes", 5)
    assert said.code == 3, said
    assert "obs-validator: interrupted" in said.err
    assert "breaks caught by the right check and no other, in" not in said.out
    if moment == "in a run":
        assert "interrupted" in (tmp_path / "report.html").read_text()


def test_a_break_that_nothing_sees_is_told() -> None:
    """Without the check that catches it, the part is not as it should be."""
    clock = SystemClock()
    collector = Collector(clock, Listen("127.0.0.1", 0, None), Limits(), ("job.id", "job_id"))
    collector.start()
    (label,) = (one for one in BREAKS if one.switches == ("operation-label-missing",))
    try:
        with demo.stage(collector, clock) as (pipeline, variables):
            with demo.app_for(collector, variables) as app:
                suites = [
                    replace(one, checks=tuple(c for c in one.checks if c.kind != "metric_labels"))
                    for one in load_suites(app.settings, CHECKS)
                ]
                (shown,) = demo.show(app, pipeline, suites, lambda _: None, (label,))
            assert pipeline.switches() == tuple(x for one in BREAKS for x in one.switches)
    finally:
        collector.stop()
    assert shown.wrong == ("pipeline/metric_labels did not see it",)
