"""The control socket: how `down`, `status`, `break` and `mend` talk to the supervisor.

One JSON line each way. This module is imported by commands that have to start fast.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import socket
import time
from typing import TYPE_CHECKING, Any, Final

from pipeline.host.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NAME: Final = "control.sock"
_REPLY_SECONDS: Final = 60


def ask(state: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Send a request to the supervisor and return its answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_REPLY_SECONDS)
        try:
            with _address(state) as address:
                connection.connect(address)
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as lines:
                line = lines.readline()
        except OSError as error:
            raise HostError(f"no pipeline is running in {state} ({error})") from error
    if not line:
        raise HostError("the supervisor ended without an answer")
    answer: dict[str, Any] = json.loads(line)
    if "error" in answer:
        raise HostError(answer["error"])
    return answer


def wait_until_free(state: Path) -> None:
    """Wait until the supervisor has ended, which gives its lock free."""
    deadline = time.monotonic() + _REPLY_SECONDS
    with (state / "lock").open("a") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise HostError(f"the pipeline in {state} does not end") from None
                pause()
            else:
                return


def pause() -> None:
    """Let a moment pass between two looks at something."""
    select.select([], [], [], 0.01)


def listen(state: Path) -> socket.socket:
    """Return the supervisor's end of the socket."""
    (state / _NAME).unlink(missing_ok=True)
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _address(state) as address:
        found.bind(address)
    (state / _NAME).chmod(0o600)
    found.listen(8)
    return found


def receive(connection: socket.socket) -> dict[str, Any]:
    """Return the request of a client."""
    connection.settimeout(2)
    with connection.makefile("rb") as lines:
        request = json.loads(lines.readline(65_536) or b"{}")
    if not isinstance(request, dict):
        raise ValueError("a request is an object")  # noqa: TRY004 - of the sender's making
    return request


def reply(connection: socket.socket, answer: dict[str, Any]) -> None:
    """Answer a client, who may have gone."""
    with contextlib.suppress(OSError):
        connection.sendall(json.dumps(answer).encode() + b"\n")


@contextlib.contextmanager
def _address(state: Path) -> Iterator[str]:
    """Yield the socket's address by way of a descriptor: a path may be too long for one."""
    directory = os.open(state, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{_NAME}"
    finally:
        os.close(directory)
