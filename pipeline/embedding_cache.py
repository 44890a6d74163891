"""Vectors of texts that were embedded before, in the Redis of caches.

A cache that cannot be asked costs one wait and is then left alone for a while: without it all is
as it was before, only slower.
"""

from __future__ import annotations

import hashlib
import zlib
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from pipeline.breaker import OpenError
from pipeline.cache import DOWN
from pipeline.inference import pack, unpack
from pipeline.vectors import DIMENSION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from redis import Redis

    from pipeline.breaker import Breaker
    from pipeline.inference import Vector


class EmbeddingCache:
    """Knows vectors by the model and the hash of the text."""

    def __init__(self, redis: Redis, model: str, seconds: int, breaker: Breaker) -> None:
        """Keep each vector for so many seconds; for none, keep and know nothing."""
        self._redis = redis
        self._prefix = f"embedding:{model}:{DIMENSION}:"
        self._seconds = seconds
        self._breaker = breaker

    def get(self, texts: Sequence[str]) -> list[Vector | None]:
        """Return the vector of each text, or nothing where it is not known."""
        try:
            with self._breaker.call(DOWN):
                found = self._redis.mget(map(self._key, texts)) if self._seconds else ()
        except (RedisError, OpenError):
            found = ()
        return [_read(value) for value in found] if found else [None] * len(texts)

    def put(self, vectors: Mapping[str, Vector]) -> None:
        """Remember the vectors of texts, as far as there is room."""
        if not vectors or not self._seconds:
            return
        try:
            with self._breaker.call(DOWN), self._redis.pipeline(transaction=False) as pipe:
                for text, vector in vectors.items():
                    pipe.set(self._key(text), _written(vector), ex=self._seconds)
                pipe.execute()
        except (RedisError, OpenError):
            return

    def close(self) -> None:
        """Close the client."""
        self._redis.close()

    def _key(self, text: str) -> str:
        return f"{self._prefix}{hashlib.sha256(text.encode()).hexdigest()}"


def _written(vector: Vector) -> bytes:
    packed = pack(vector)
    return zlib.crc32(packed).to_bytes(4, "little") + packed


def _read(value: bytes | str | None) -> Vector | None:
    """Return a vector as it was written; one that is not is taken for unknown, and written anew."""
    if not isinstance(value, bytes) or len(value) != 4 + 4 * DIMENSION:
        return None
    packed = value[4:]
    if zlib.crc32(packed).to_bytes(4, "little") != value[:4]:
        return None
    return unpack(packed)
