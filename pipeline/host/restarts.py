"""When a process that has ended by itself is started again. Pure: `supervisor.py` acts on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pipeline.backoff import doubled

FIRST_SECONDS: Final = 0.1
MOST_SECONDS: Final = 5.0
STEADY_SECONDS: Final = 10.0
"""Who has run for so long is taken to be well: the next time it is started at once again."""


@dataclass(slots=True)
class Restarts:
    """What the supervisor knows of one process: how often it was started again, and when next."""

    started: float
    count: int = 0
    failures: int = 0
    due: float | None = None
    ended_at: float = 0.0
    held: bool = False

    def ended(self, now: float) -> float:
        """Note the end of the process; return the seconds until it is to be started again."""
        if now - self.started >= STEADY_SECONDS:
            self.failures = 0
        wait = doubled(self.failures, FIRST_SECONDS, MOST_SECONDS)
        self.failures += 1
        self.ended_at = now
        self.due = now + wait
        return wait

    def begun(self, now: float, *, again: bool) -> None:
        """Note that the process was started, again by itself or because somebody wanted it."""
        self.started = now
        self.due = None
        self.held = False
        if again:
            self.count += 1
        else:
            self.failures = 0

    def hold(self) -> None:
        """Have the process stay down until somebody starts it."""
        self.held = True
        self.due = None

    def left(self, now: float) -> float | None:
        """Return in how many seconds the process is to be started again, if it is."""
        return None if self.due is None else max(0.0, self.due - now)
