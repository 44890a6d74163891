"""The health check of the image: true of what runs, and silent about nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.testing import poll_until
from tests.e2e.command import command, free_port, given
from validator.health import main, trouble

pytestmark = pytest.mark.process

_STUB = "import signal\nprint('up', flush=True)\nsignal.pause()\n"
"""A program that runs under our name and does nothing."""


@contextmanager
def _running(words: Sequence[str], out: Path) -> Iterator[subprocess.Popen[bytes]]:
    with out.open("wb") as file:
        process = subprocess.Popen(words, env=given({}), stdout=file, stderr=file)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _collector(port: int, host: str = "127.0.0.1") -> list[str]:
    return command("collector", "--host", host, "--http-port", str(port), "--grpc-port", "-1")


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::"])  # noqa: S104 - as in a container
def test_a_collector_is_well_while_it_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], host: str
) -> None:
    """Wherever it listens; one that is stopped, or gone, is not well."""
    port, out = free_port(), tmp_path / "out"
    with _running(_collector(port, host), out) as process:
        poll_until(lambda: "read API" in out.read_text(), "a collector", 30)
        assert main([str(process.pid)]) == 0
        process.send_signal(signal.SIGSTOP)
        poll_until(lambda: trouble(process.pid), "a stopped process")
        assert main([str(process.pid)]) == 1
        assert "its state is T" in capsys.readouterr().err
    assert trouble(process.pid) == f"no obs-validator runs as process {process.pid}"


def test_a_collector_that_does_not_listen_is_not_well(tmp_path: Path) -> None:
    """The address is said."""
    port = free_port()
    stub = tmp_path / "obs-validator"
    stub.write_text(_STUB)
    out = tmp_path / "out"
    with _running([sys.executable, str(stub), *_collector(port)[3:]], out) as process:
        poll_until(lambda: "up" in out.read_text(), "the program", 30)
        assert f"does not answer on 127.0.0.1:{port}" in trouble(process.pid)


def test_a_command_that_ends_by_itself_is_well_while_it_is_alive(tmp_path: Path) -> None:
    """`check` has no address to be asked at."""
    stub, out = tmp_path / "obs-validator", tmp_path / "out"
    stub.write_text(_STUB)
    with _running([sys.executable, str(stub), "check"], out) as process:
        poll_until(lambda: "up" in out.read_text(), "the program", 30)
        assert trouble(process.pid) == ""


def test_an_init_may_be_the_first_process(tmp_path: Path) -> None:
    """Then its child is meant."""
    port, out = free_port(), tmp_path / "out"
    init = tmp_path / "init.py"
    init.write_text(
        "import signal, subprocess, sys\n"
        "child = subprocess.Popen(sys.argv[1:])\n"
        "signal.signal(signal.SIGTERM, lambda *_: child.terminate())\n"
        "sys.exit(child.wait())\n"
    )
    words = [sys.executable, str(init), *_collector(port)]
    with _running(words, out) as process:
        poll_until(lambda: "read API" in out.read_text(), "a collector", 30)
        assert trouble(process.pid) == ""
        process.terminate()
        process.wait(20)


def test_another_program_is_not_taken_for_it(tmp_path: Path) -> None:
    """What runs is not ours, so nothing is known of ours."""
    with _running([sys.executable, "-c", "input()"], tmp_path / "out") as process:
        assert "no obs-validator runs" in trouble(process.pid)
