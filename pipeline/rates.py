"""How often a caller may call: a sliding window in Redis, shared by all instances of a service."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final

from fastapi import HTTPException
from limits import parse
from limits.errors import StorageError
from limits.storage import RedisStorage
from limits.strategies import MovingWindowRateLimiter

from pipeline import clients, logs, mark, visit
from pipeline.breaker import OpenError

if TYPE_CHECKING:
    from pipeline.auth import CallerContext
    from pipeline.breaker import Breaker
    from pipeline.metrics import Metrics
    from pipeline.settings import Settings

DEFAULT: Final = "600/minute"


class RateLimiter:
    """Counts the calls of each caller of one service.

    The window moves with each call (a log of its calls, in one Lua script), so that no two seconds
    side by side let twice the limit through. Its times are those of the services' clocks.
    """

    def __init__(self, settings: Settings, breaker: Breaker, metrics: Metrics) -> None:
        """Count in the Redis of caches, by the rate in PIPELINE_RATE_LIMIT."""
        text = settings.env.get("PIPELINE_RATE_LIMIT") or DEFAULT
        try:
            self._rate = parse(text)
        except ValueError as error:
            raise LookupError(
                f"PIPELINE_RATE_LIMIT is {text!r}: write it like {DEFAULT} or 10/second"
            ) from error
        storage = RedisStorage(
            settings.need("PIPELINE_CACHE_URL"),
            wrap_exceptions=True,
            key_prefix=f"rate:{settings.service_name}",
            socket_timeout=2,
            socket_connect_timeout=2,
            retry=clients.once(),  # type: ignore[arg-type]  # it is Redis's own
        )
        self._window = MovingWindowRateLimiter(storage)
        self._breaker = breaker
        self._metrics = metrics

    def take(self, caller: CallerContext) -> None:
        """Count a call; 429 when there are too many. Without Redis nobody is refused.

        The pipeline's own services are not counted: what they do, somebody has asked for.
        """
        if caller.is_service:
            return
        try:
            with self._breaker.call(StorageError):
                taken = self._window.hit(self._rate, caller.caller_id)
                reset, left = self._window.get_window_stats(self._rate, caller.caller_id)
        except (StorageError, OpenError):
            self._count("unavailable")
            return
        self._count("passed" if taken else "rejected")
        wait = max(1, math.ceil(reset - time.time()))
        headers = {
            "X-RateLimit-Limit": str(self._rate.amount),
            "X-RateLimit-Remaining": str(max(0, left) if taken else 0),
            "X-RateLimit-Reset": str(wait),
        }
        own = visit.current()
        if own is not None:
            own.headers.update(headers)
            own.limited = not taken
        if not taken:
            logs.get("rates").warning("rate_limited", caller_id=caller.caller_id)
            raise HTTPException(
                429, f"more than {self._rate} of one caller", {"Retry-After": str(wait)}
            )

    def _count(self, decision: str) -> None:
        traffic = mark.current().traffic
        self._metrics.rate_limits.labels(decision=decision, traffic=traffic).inc()
