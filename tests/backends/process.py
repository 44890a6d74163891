"""A backend as a process: started on free ports, waited for until it answers, ended by its id."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from validator.clock import SystemClock
from validator.sources.http import make_session

_STEP = 0.05
_PATIENCE = 60.0


def free_port() -> int:
    """Return a port of loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def installed(command: str) -> str:
    """Return the path of a command, or skip the test: without root nothing is installed."""
    path = shutil.which(command)
    if path is None:
        pytest.skip(f"no {command} on this machine (make system): not tried on a real one")
    return path


@contextmanager
def running(command: Sequence[str], folder: Path, ready: str) -> Iterator[int]:
    """Run a backend in `folder` until the block ends; begin when the URL `ready` answers 2xx.

    Gives the process's id. What it writes goes to `<command>.log`, and is shown if it ends or is
    not ready within a minute.
    """
    log = folder / f"{Path(command[0]).name}.log"
    with log.open("ab") as out:
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=subprocess.STDOUT)
    try:
        _wait(process, ready, log)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], ready: str, log: Path) -> None:
    """Return when the backend answers."""
    clock, pause = SystemClock(), threading.Event()
    deadline = clock.monotonic() + _PATIENCE
    with make_session() as session:
        while clock.monotonic() < deadline:
            if process.poll() is not None:
                break
            try:
                if session.get(ready, timeout=5, proxies={"http": ""}).ok:
                    return
            except requests.exceptions.RequestException:
                pass
            pause.wait(_STEP)
    raise AssertionError(f"{process.args!r} is not ready:\n{log.read_text()[-3000:]}")
