"""Whether what a container runs is well: what the image's HEALTHCHECK asks.

`python -m validator.health [PID]` (1 by default, the first process of a container) exits 0 if it
is, and 1 with the reason if not. A collector is well when its `/healthz` answers 200. A command
that runs to an end, such as `check`, is well while it is alive: how it does, its report says.
"""

from __future__ import annotations

import http.client
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_NAME = "obs-validator"
_TIMEOUT = 3.0
"""Seconds for the answer; the image's HEALTHCHECK gives the whole 5 s."""

_OUTSIDE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - asks, not listens


def trouble(pid: int) -> str:
    """Return what is wrong with the command that runs as `pid` or as its child; empty: nothing.

    A child, because an init (`docker run --init`) may be the first process.
    """
    for one in (pid, *_children(pid)):
        arguments = _arguments(one)
        if arguments is not None:
            state = _state(one)
            if state in {"T", "Z", "X", ""}:
                return f"{_NAME} (process {one}) does not run: its state is {state or 'gone'}"
            return _collector(arguments[1:]) if arguments[:1] == ["collector"] else ""
    return f"no {_NAME} runs as process {pid}"


def _children(pid: int) -> list[int]:
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _arguments(pid: int) -> list[str] | None:
    """Return the command and its arguments, or None if the process is another program."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return None
    for index, word in enumerate(words[:3]):
        if Path(word).name == _NAME:
            return words[index + 1 :]
        if word == "-m" and words[index + 1 : index + 2] == ["validator"]:
            return words[index + 2 :]
    return None


def _state(pid: int) -> str:
    """Return the letter of the process's state, as proc(5) has it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def _collector(arguments: Sequence[str]) -> str:
    """Ask a collector that was started with these arguments."""
    from validator.commands.collector import collector  # noqa: PLC0415 - only for this command

    given: dict[str, Any] = collector.make_context("collector", list(arguments)).params
    host, port = _OUTSIDE.get(given["host"], given["host"]), given["http_port"]
    if not port:
        return ""  # a free port, which nobody outside of the process knows
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT)
    try:
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"the collector does not answer on {host}:{port}: {error or type(error).__name__}"
    finally:
        connection.close()
    return "" if status == 200 else f"the collector answers {status} on {host}:{port}"


def main(arguments: Sequence[str]) -> int:
    """Say what is wrong, if anything is; return the exit code."""
    found = trouble(int(arguments[0]) if arguments else 1)
    if found:
        print(found, file=sys.stderr)  # noqa: T201 - a container engine keeps what is printed
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
