"""How many jobs a target gets in a time.

Fourteen lines of our own: libraries for this read the machine's clock, or sleep by it.
"""

from __future__ import annotations

import threading
from collections import deque

from validator.config_values import PerTime
from validator.ports import Clock


class RateLimit:
    """At most `rate.count` jobs in any `rate.seconds`; any thread may ask."""

    def __init__(self, rate: PerTime, clock: Clock) -> None:
        """Begin with none sent."""
        self.rate = rate
        self._clock = clock
        self._sent: deque[float] = deque(maxlen=rate.count)
        self._lock = threading.Lock()

    def wait(self) -> float:
        """Return in how many seconds a job may be sent, 0 if now."""
        with self._lock:
            return self._left()

    def take(self) -> float:
        """Count a job that is sent now, and return 0; or the seconds to wait, and count none."""
        with self._lock:
            left = self._left()
            if not left:
                self._sent.append(self._clock.monotonic())
            return left

    def _left(self) -> float:
        if len(self._sent) < self.rate.count:
            return 0.0
        return max(0.0, self._sent[0] + self.rate.seconds - self._clock.monotonic())
