"""Processes that outlive the command which started them, and are found again by a mark.

The mark is a variable in the environment that they begin with, and that what they start inherits;
the kernel remembers it in /proc. So the stack can be ended after any crash, and an id that has
become somebody else's is never mistaken.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MARK: Final = "OBS_VALIDATOR_STACK"
GRACE_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Command:
    """What to start: a program with its arguments, what its environment has more, its log."""

    line: Sequence[str]
    variables: Mapping[str, str]
    log: Path


def start(state: Path, command: Command) -> subprocess.Popen[bytes]:
    """Start a process of this stack in a session of its own."""
    with command.log.open("ab") as out:
        return subprocess.Popen(
            list(command.line),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd=state,
            env={**os.environ, **command.variables, MARK: str(state)},
            start_new_session=True,
        )


def running(state: Path) -> list[int]:
    """Return the ids of the processes of the stack in `state`."""
    wanted = f"{MARK}={state}".encode()
    return [
        int(folder.name)
        for folder in Path("/proc").iterdir()
        if folder.name.isdigit() and wanted in _environment(folder)
    ]


def end(state: Path, pids: Iterable[int], number: signal.Signals, seconds: float) -> None:
    """Send a signal to those of `pids` that are the stack's, and wait for their end."""
    wanted = f"{MARK}={state}".encode()
    with contextlib.ExitStack() as stack:
        ending = []
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                handle = os.pidfd_open(pid)
                stack.callback(os.close, handle)
                # The handle is the process's own: from here on its id cannot become another's.
                if wanted in _environment(Path(f"/proc/{pid}")):
                    signal.pidfd_send_signal(handle, number)
                    ending.append(handle)
        deadline = time.monotonic() + seconds
        while ending and time.monotonic() < deadline:
            done, _, _ = select.select(ending, [], [], max(0.0, deadline - time.monotonic()))
            ending = [handle for handle in ending if handle not in done]


def end_all(state: Path) -> int:
    """End every process of the stack in `state`; return how many there were."""
    found = running(state)
    end(state, found, signal.SIGTERM, GRACE_SECONDS)
    left = running(state)
    while left:
        end(state, left, signal.SIGKILL, GRACE_SECONDS)
        left = running(state)
    return len(found)


def _environment(folder: Path) -> list[bytes]:
    """Return the variables that a process began with; none if it is gone, a zombie or another's."""
    try:
        return (folder / "environ").read_bytes().split(b"\0")
    except OSError:
        return []
