"""Waits of the main thread that a signal ends.

The kernel may hand a signal that is sent to a process to any of its threads, and wakes that one
alone (`signal(7)`, "Signal mask and pending signals"). Python runs handlers in the main thread:
one that waits for a lock without a time-out would learn of a Ctrl-C only once it has the lock.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, wait
from typing import Any

_SLICE = 0.2
"""Seconds: how late a signal is noticed that another thread was woken for."""


def until_done(futures: Sequence[Future[Any]]) -> None:
    """Wait for all."""
    while wait(futures, timeout=_SLICE).not_done:
        pass


def until_ended(thread: threading.Thread) -> None:
    """Wait for a thread."""
    while thread.is_alive():
        thread.join(_SLICE)
