"""Time that a test moves."""

from __future__ import annotations


class Clock:
    """Returns `now`, in seconds, until a test changes it."""

    def __init__(self) -> None:
        """Begin at some time."""
        self.now = 1_000_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now
