"""`check` in the image, beside a pipeline on this host: its verdicts, its end, its mistakes."""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from pipeline.testing import poll_until
from tests.container.engine import Engine, Told
from tests.e2e.command import Stage

LONGEST_END = 10.0
"""Seconds that Docker gives a container after SIGTERM."""
_NONE = {"jobs": 0, "documents": 0, "vectors": 0}


def _options(engine: Engine, stage: Stage, reports: Path) -> list[str]:
    mounts = {stage.folder: "/etc/obs-validator:ro", reports: "/reports"}
    return engine.options(mounts, stage.variables)


@pytest.mark.parametrize(
    "more",
    [(), ("--user", "4711:4711", "--env", "HOME=")],
    ids=["as it is", "another user without a home"],
)
def test_a_good_pipeline_passes(
    engine: Engine,
    stage: Stage,
    reports: Path,
    more: Sequence[str],
    tell: Told,
) -> None:
    """Read-only, without capabilities, as nobody; the reports are in the mounted folder."""
    options = [*_options(engine, stage, reports), *more]
    outputs = [x for one in ("md", "json", "xml", "html") for x in ("-o", f"/reports/r.{one}")]
    end = engine.to_end("check", "pipeline", *outputs, options=options)
    assert end.code == 0, end.out + end.err
    tell(f"`check` of one suite took {end.seconds:.1f} s")
    runs = json.loads((reports / "r.json").read_text())["runs"]
    verdicts = {
        (run["suite"], one["name"]): one["status"] for run in runs for one in run["verdicts"]
    }
    assert set(verdicts.values()) == {"pass"}
    assert ("pipeline", "connected_trace") in verdicts
    assert "✅" in (reports / "r.md").read_text()
    assert {path.suffix for path in reports.iterdir()} == {".md", ".json", ".xml", ".html"}


def test_the_suites_that_come_with_it_need_no_mount(engine: Engine, stage: Stage) -> None:
    """The reference pipeline's suites are in the image; only its addresses are given."""
    given = ("-c", "/usr/share/obs-validator/suites/obs-validator.yaml")
    options = engine.options({}, stage.variables)
    end = engine.to_end("config", "check", *given, options=options)
    assert end.code == 0, end.err
    assert "suite pipeline (ring 2" in end.out


def test_a_broken_pipeline_fails(engine: Engine, stage: Stage, reports: Path) -> None:
    """A lost context is seen from within the image as from without."""
    stage.broken("context-lost-in-queue")
    end = engine.to_end("check", "pipeline", options=_options(engine, stage, reports))
    assert end.code == 1, end.out + end.err
    assert "lost between orchestrator and scraper" in end.out


def test_sigterm_in_mid_run_ends_it_in_time(
    engine: Engine, stage: Stage, reports: Path, tell: Told
) -> None:
    """As process 1: the job is removed, the report says interrupted, the code is 3."""
    before = _begun(stage)
    given = ("check", "a-slow.yaml", "pipeline.yaml", "-o", "/reports/r.json")
    with engine.running(*given, options=_options(engine, stage, reports)) as check:
        check.wait_for("submitted")
        poll_until(lambda: _begun(stage) > before, "a job at work", 30)
        check.signal("TERM")
        end = check.ended(30)
    tell(f"ended {end.seconds:.1f} s after SIGTERM (at most 10)")
    assert end.seconds < LONGEST_END
    assert end.code == 3
    assert "interrupted" in end.out
    run, other = json.loads((reports / "r.json").read_text())["runs"]
    assert (run["interrupted"], other["interrupted"]) == (True, True)
    assert stage.rows(run["id"]) == _NONE


def test_sigterm_ends_it_in_time_when_the_target_hangs(
    engine: Engine, stage: Stage, reports: Path, tell: Told
) -> None:
    """A target that answers nothing any more, not even to cleaning up, keeps nobody waiting."""
    before = _begun(stage)
    given = ("check", "a-slow.yaml", "-o", "/reports/r.json")
    services = stage.pipeline.description()["services"]
    orchestrator = psutil.Process(services["orchestrator"]["pid"])
    with engine.running(*given, options=_options(engine, stage, reports)) as check:
        check.wait_for("submitted")
        poll_until(lambda: _begun(stage) > before, "a job at work", 30)
        orchestrator.send_signal(signal.SIGSTOP)
        try:
            check.signal("TERM")
            end = check.ended(60)
        finally:
            orchestrator.send_signal(signal.SIGCONT)
    tell(f"ended {end.seconds:.1f} s after SIGTERM, with a target that hangs")
    (run,) = json.loads((reports / "r.json").read_text())["runs"]
    assert run["interrupted"]
    assert any("cleaning up failed" in one for one in run["findings"])
    assert end.code == 3
    assert end.seconds < LONGEST_END


def _begun(stage: Stage) -> int:
    """Return how many jobs the worker has begun to work on."""
    lines = stage.pipeline.lines("scraper-worker")
    return sum(line["event"] == "scrape_started" for line in lines)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "there is no obs-validator.yaml"),
        ("targets: {}\nsorces: {}\n", 'obs-validator.yaml:2: unknown key "sorces"'),
        ("sources: {c: {type: scrape, pages: {a: '${UNSET_URL}'}}}\n", "UNSET_URL is not set"),
    ],
    ids=["none", "a wrong key", "a variable that is not set"],
)
def test_a_wrong_configuration_is_said(
    engine: Engine, tmp_path: Path, text: str | None, said: str
) -> None:
    """Exit code 2 and a sentence with the place, on standard error."""
    tmp_path.chmod(0o755)
    if text is not None:
        (tmp_path / "obs-validator.yaml").write_text(text)
    options = engine.options({tmp_path: "/etc/obs-validator:ro"}, {})
    end = engine.to_end("check", options=options)
    assert end.code == 2
    assert said in end.err


def test_a_report_that_cannot_be_written_is_said(engine: Engine, stage: Stage) -> None:
    """The root file system is read-only: what is not on a mount is refused with its path."""
    options = engine.options({stage.folder: "/etc/obs-validator:ro"}, stage.variables)
    given = ("check", "pipeline-failure", "-o", "/reports/r.json")
    end = engine.to_end(*given, options=options)
    assert end.code == 2
    assert "cannot write /reports/r.json" in end.err


@pytest.mark.parametrize("command", ["demo", "pipeline"])
def test_what_is_not_in_it_says_so(engine: Engine, command: str) -> None:
    """The reference pipeline is an image of its own."""
    end = engine.to_end(command)
    assert end.code == 2
    assert "needs the reference pipeline" in end.err
