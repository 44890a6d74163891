"""Starting and ending: nothing is left behind, and what fails is told with its log."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from pipeline.testing import RunningPipeline, poll_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.process, pytest.mark.req("P-01")]


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """Return a state directory of a long name; end what was left running in it."""
    found = tmp_path / ("a-rather-long-name-for-a-directory-" * 3) / "state"
    found.parent.mkdir()
    yield found
    subprocess.run(_command("down", found), capture_output=True, timeout=90, check=False)


def _command(name: str, state: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "pipeline", name, "--state-dir", str(state), *more]


def _family(pid: int) -> list[psutil.Process]:
    """Return a process and all that descend from it, Celery's children and backends too."""
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def _alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [process for process in processes if not _is_gone(process)]


def _is_gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize(
    ("number", "page"),
    [
        pytest.param(signal.SIGTERM, "slow", marks=pytest.mark.slow),
        (signal.SIGINT, "article"),
    ],
)
def test_nothing_outlives_the_supervisor(state: Path, number: signal.Signals, page: str) -> None:
    """Told to end in the middle of a job, all of it ends."""
    pipeline = RunningPipeline(state)
    pipeline.wait_until_up()
    pipeline.submit(page)
    family = _family(pipeline.process.pid)
    assert len(family) >= 20
    pipeline.process.send_signal(number)
    assert pipeline.process.wait(60) == 0
    poll_until(lambda: not _alive(family), "the end of every process", 5)
    assert not (state / "postgres.home").exists()
    assert not (state / "pipeline.json").exists()
    pipeline.stop()


def test_nothing_outlives_a_killed_supervisor(state: Path) -> None:
    """A kill -9 in the middle of a job leaves no process, and the directory can be used again."""
    first = RunningPipeline(state)
    first.wait_until_up()
    first.submit("slow")
    family = _family(first.process.pid)
    home = Path((state / "postgres.home").read_text())
    first.process.kill()
    first.stop()
    poll_until(lambda: not _alive(family), "the end of every process", 2)
    assert home.exists()
    second = RunningPipeline(state)
    second.wait_until_up()
    assert not home.exists()
    assert second.ended(second.submit("article").job_id)["status"] == "done"
    assert second.stop() == 0


def test_pipeline_may_end_with_the_one_who_started_it(state: Path) -> None:
    """With --end-with-parent, killing the process that started it ends the pipeline."""
    command = _command("up", state, "--end-with-parent")
    program = "import subprocess, sys; subprocess.Popen(sys.argv[1:]).wait()"
    parent = subprocess.Popen([sys.executable, "-c", program, *command])
    poll_until((state / "pipeline.json").exists, "a healthy pipeline", 60)
    family = _family(parent.pid)
    assert len(family) >= 20
    parent.kill()
    parent.wait(5)
    poll_until(lambda: not _alive(family), "the end of every process", 10)


def test_detached_pipeline_is_up_then_down(state: Path) -> None:
    """`up --detach` returns once all is healthy; commands reach it fast; `down` leaves nothing."""
    up = subprocess.run(
        _command("up", state, "--detach"), capture_output=True, text=True, timeout=180, check=False
    )
    assert up.returncode == 0, up.stderr
    assert "pipeline is up" in up.stdout
    (pid,) = [int(word) for word in up.stdout.replace(")", "").split() if word.isdigit()][-1:]
    family = _family(pid)
    again = subprocess.run(
        _command("up", state), capture_output=True, text=True, timeout=180, check=False
    )
    assert (again.returncode, "already running" in again.stderr) == (1, True)
    status = subprocess.run(
        _command("status", state), capture_output=True, text=True, timeout=90, check=False
    )
    assert status.returncode == 0
    assert status.stdout.count("healthy") == 13
    down = subprocess.run(
        _command("down", state), capture_output=True, text=True, timeout=90, check=False
    )
    assert (down.returncode, down.stdout) == (0, "pipeline is down\n")
    poll_until(lambda: not _alive(family), "the end of every process", 5)


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("PIPELINE_HOPS", "both", ["ended with exit code 1", "PIPELINE_HOPS is 'both'"]),
        ("OTEL_TRACES_EXPORTER", "jaeger", ["ended with exit code 1", "OTEL_TRACES_EXPORTER"]),
        ("PIPELINE_SEARCH_PORT", "many", ["search cannot have the port many"]),
        ("PIPELINE_LISTEN", "8.8.8.8", ["PIPELINE_LISTEN is '8.8.8.8'"]),
    ],
)
def test_what_fails_at_the_start_is_told(
    state: Path, variable: str, value: str, told: list[str]
) -> None:
    """A process that cannot start ends the start: with 1, its name and the tail of its log."""
    result = subprocess.run(
        _command("up", state),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        env={**os.environ, variable: value},
    )
    assert result.returncode == 1
    assert [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    for words in told:
        assert words in result.stderr
    assert not (state / "pipeline.json").exists()


def test_port_in_use_is_told(state: Path) -> None:
    """A wanted port that somebody else listens on is told with the process's name."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        result = subprocess.run(
            _command("up", state),
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
            env={**os.environ, "PIPELINE_CHUNKING_PORT": port},
        )
    assert result.returncode == 1
    assert f"chunking cannot have the port {port}" in result.stderr
    assert "Address already in use" in result.stderr


@pytest.mark.req("P-10")
def test_hops_may_be_links_and_the_mark_survives(state: Path) -> None:
    """With links each task begins a trace with one link back, and is marked all the same."""
    pipeline = RunningPipeline(state, {"PIPELINE_HOPS": "link", "PIPELINE_VERSION": "9.8.7"})
    try:
        pipeline.wait_until_up()
        job = pipeline.submit("flaky", run_id="linked")
        assert pipeline.ended(job.job_id)["traffic"] == "synthetic"

        def three() -> list[dict[str, Any]] | None:
            found = [span for span in pipeline.spans() if span["name"].startswith("run/")]
            return found if len(found) == 3 else None

        runs = poll_until(three, "the spans of three tasks")
        for span in runs:
            assert span["parent_id"] is None
            assert len(span["links"]) == 1
        first = min(runs, key=lambda span: str(span["start_time"]))
        assert first["links"][0]["context"]["trace_id"] == f"0x{job.trace_id}"
        for span in pipeline.spans():
            if span["attributes"].get("job.id") == job.job_id or span in runs:
                assert span["attributes"]["obs_validator.run_id"] == "linked", span["name"]
            assert span["resource"]["attributes"]["service.version"] == "9.8.7"
    finally:
        pipeline.stop()


def test_a_pipeline_whose_starter_is_gone_already_does_not_begin(state: Path) -> None:
    """Whoever starts it may be killed before the kernel knows whose end to watch for."""
    told = state.parent / "told.txt"
    starter = (
        "import os, subprocess, sys\n"
        f"out = open({str(told)!r}, 'w')\n"
        f"command = {[*_command('up', state), '--end-with-parent']!r}\n"
        "subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)\n"
        "os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", starter], check=True, timeout=30)
    poll_until(lambda: "pipeline is down" in told.read_text(), "the end of the pipeline", 60)
