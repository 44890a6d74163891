"""`demo`, interrupted at any moment."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
import pytest

from pipeline.testing import poll_until
from tests.e2e.command import Running, running

pytestmark = [pytest.mark.process, pytest.mark.untraced]
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


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(
    "moment",
    [
        "while the pipeline starts",
        "in a run",
        pytest.param("between two runs", marks=pytest.mark.slow),
    ],
)
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
