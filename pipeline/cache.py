"""The Redis of caches and limits, which a service can do without for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from pipeline.breaker import OpenError

if TYPE_CHECKING:
    from redis import Redis

    from pipeline.breaker import Breaker

DOWN: Final = (RedisConnectionError, RedisTimeoutError)
"""Where every call would wait; one that is full answers at once, and can still be read."""


class Cache:
    """Keeps small values; what cannot be had is as if it had never been kept."""

    def __init__(self, redis: Redis, breaker: Breaker) -> None:
        """Ask the server through the breaker: each call of a server that hangs takes seconds."""
        self._redis = redis
        self._breaker = breaker

    def get(self, name: str) -> bytes | None:
        """Return a value, or nothing."""
        try:
            with self._breaker.call(DOWN):
                found = self._redis.get(name)
        except (RedisError, OpenError):
            return None
        return found if isinstance(found, bytes) else None

    def put(self, name: str, value: bytes, seconds: float) -> None:
        """Keep a value for so long."""
        try:
            with self._breaker.call(DOWN):
                self._redis.set(name, value, px=int(seconds * 1000))
        except (RedisError, OpenError):
            return
