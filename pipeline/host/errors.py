"""What can go wrong in running the pipeline, told in words for the one who started it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_TAIL_LINES: Final = 15
_TAIL_BYTES: Final = 8_000


class HostError(Exception):
    """The pipeline cannot be started, reached or changed; the message says why."""


class ProcessFailedError(HostError):
    """A process ended, or did not become healthy; the message has the tail of its log."""

    def __init__(self, name: str, what: str, log: Path) -> None:
        """Tell what happened to whom, with the last lines that it wrote."""
        super().__init__(f"{name} {what}\nlast lines of {log}:\n{tail(log)}")


def tail(log: Path) -> str:
    """Return the last lines of a log, indented."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return "  (there is no log)"
    lines = text.splitlines()[-_TAIL_LINES:]
    return "\n".join(f"  {line}" for line in lines) or "  (the log is empty)"
