"""`demo`: whole, and when a break is not caught."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from checks import CHECKS
from tests.e2e.command import running
from validator import demo
from validator.clock import SystemClock
from validator.demo import BREAKS
from validator.loader import load_suites
from validator.sources.collector.limits import Limits
from validator.sources.collector.server import Collector, Listen

pytestmark = [pytest.mark.process, pytest.mark.untraced]


@pytest.mark.slow
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
