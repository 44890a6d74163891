"""How fast a source is asked: our own limit of requests, and the pauses between tries."""

from __future__ import annotations

import email.utils
import math
import threading
from collections import deque
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

from validator.ports import Clock

_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 5.0


@dataclass(slots=True)
class RateLimit:
    """At most `rate` requests in any one second, whatever the number of threads.

    What has not been used up may come at once, for two questions of one moment (spans and log
    lines) need not wait for each other. A rate below one is one request in more than a second.
    """

    rate: float
    clock: Clock
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _starts: deque[float] = field(default_factory=deque)

    def turn(self, patience: float) -> float | None:
        """Return how many seconds to wait for a turn, None if that is longer than `patience`.

        A turn that is given is taken, whether or not it is used.
        """
        most = max(1, math.floor(self.rate))
        with self._lock:
            now = self.clock.monotonic()
            start = now
            if len(self._starts) >= most:
                start = max(now, self._starts[0] + most / self.rate)
            if start - now > patience:
                return None
            if len(self._starts) >= most:
                self._starts.popleft()
            self._starts.append(start)
            return start - now


@dataclass(slots=True)
class RateLimits:
    """One such limit for each server."""

    rate: float
    clock: Clock
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _known: dict[Hashable, RateLimit] = field(default_factory=dict)

    def of(self, server: Hashable) -> RateLimit:
        """Return the limit of one server."""
        with self._lock:
            return self._known.setdefault(server, RateLimit(self.rate, self.clock))


def pause(attempt: int, chance: float) -> float:
    """Return the seconds to wait after the `attempt`-th try: twice as long each time.

    `chance`, from 0 to 1, takes off up to a half, so that those who failed together do not come
    again together.
    """
    longest = min(_FIRST_PAUSE * 2.0 ** (attempt - 1), _LONGEST_PAUSE)
    return longest * (1.0 - chance / 2.0)


def told_to_wait(headers: Mapping[str, str], now: float) -> float:
    """Return for how many seconds `Retry-After` (RFC 9110, 10.2.3) asks; 0 if it does not.

    It is a number of seconds, or a date, which is taken against the `Date` of the same answer
    where there is one, since the server's clock may be off; else against `now` (Unix seconds).
    """
    value = headers.get("Retry-After", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        until = moment(value)
        if until is None:
            return 0.0
        since = moment(headers.get("Date", ""))
        seconds = until - (now if since is None else since)
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0


def moment(date: str) -> float | None:
    """Return the Unix time of an HTTP date (RFC 9110, 5.6.7), None if it is none."""
    try:
        return email.utils.parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
