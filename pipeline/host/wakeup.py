"""Waking a loop that waits in select when a signal has come, without a second thread."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import FrameType

_MOST: Final = 4096


class Wakeup:
    """A pipe that is readable once a child has ended."""

    def __init__(self) -> None:
        """Listen to the ends of children from now on."""
        self._read, self._write = os.pipe()
        for end in (self._read, self._write):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, _only_wake)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)

    def fileno(self) -> int:
        """Return what to wait for."""
        return self._read

    def clear(self) -> None:
        """Forget the signals that have come."""
        with contextlib.suppress(BlockingIOError):
            while len(os.read(self._read, _MOST)) == _MOST:
                pass

    def close(self) -> None:
        """Listen no more."""
        no_more()
        os.close(self._read)
        os.close(self._write)


def no_more() -> None:
    """Leave the ends of children to themselves, as whoever was forked has to."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def _only_wake(_number: int, _frame: FrameType | None) -> None:
    """Have the byte written that wakes the loop: an ignored signal would write none."""
