"""The inference server: asked for vectors, and believed once its answer has been looked at."""

from __future__ import annotations

import json
import math
import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import httpx

from pipeline.breaker import OpenError
from pipeline.embed_errors import (
    InferenceInvalidError,
    InferenceRefusedError,
    InferenceUnavailableError,
)
from pipeline.vectors import DIMENSION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.breaker import Breaker

Vector = tuple[float, ...]
"""Numbers as the stores keep them, in single precision: from a cache come the same."""

_ABOUT_THE_TEXTS: Final = frozenset({400, 413, 414, 415, 422})
"""What a server answers that will not have these texts. Other errors are its own, or ours."""
_BYTES_A_NUMBER: Final = 64
_BYTES_BESIDE: Final = 100_000
_PACKED: Final = struct.Struct(f"<{DIMENSION}f")


@dataclass(frozen=True, slots=True)
class Server:
    """Where the inference server is, which model it is to use, and how long it may take."""

    url: str
    model: str
    seconds: float


class Inference:
    """Asks the inference server, and leaves it alone for a while when it fails again and again."""

    def __init__(self, client: httpx.Client, server: Server, breaker: Breaker) -> None:
        """Ask the server through the client; the breaker is that of all who ask in this process."""
        self._client = client
        self._server = server
        self._breaker = breaker

    def vectors(self, texts: Sequence[str]) -> list[Vector]:
        """Return a vector for each text.

        A server that answers is not down, whatever it answers: that it is no use is told of each
        document by a code of its own.
        """
        try:
            with self._breaker.call(InferenceUnavailableError):
                return _vectors(self._answer(texts), len(texts))
        except OpenError as error:
            raise InferenceUnavailableError(str(error), error.seconds) from error

    def close(self) -> None:
        """Close the client."""
        self._client.close()

    def _answer(self, texts: Sequence[str]) -> bytes:
        """Return the body of the answer, which must not be too long, nor take too long."""
        deadline = time.monotonic() + self._server.seconds
        most = _BYTES_BESIDE + len(texts) * DIMENSION * _BYTES_A_NUMBER
        body = bytearray()
        asked = {"model": self._server.model, "input": list(texts)}
        try:
            with self._client.stream(
                "POST", f"{self._server.url}/v1/embeddings", json=asked
            ) as answer:
                _check(answer.status_code)
                for piece in answer.iter_raw():
                    body += piece
                    if len(body) > most:
                        raise InferenceInvalidError(f"the answer is longer than {most} bytes")
                    if time.monotonic() > deadline:
                        seconds = self._server.seconds
                        raise InferenceUnavailableError(f"the answer took more than {seconds:g} s")
        except httpx.HTTPError as error:
            raise InferenceUnavailableError(f"{type(error).__name__}: {error}") from error
        return bytes(body)


def pack(vector: Vector) -> bytes:
    """Return a vector's numbers, each in four bytes."""
    return _PACKED.pack(*vector)


def unpack(packed: bytes) -> Vector:
    """Return the numbers of a packed vector."""
    return _PACKED.unpack(packed)


def _check(status: int) -> None:
    if status in _ABOUT_THE_TEXTS:
        raise InferenceRefusedError(f"the inference server refuses the texts: it answered {status}")
    if status != 200:
        raise InferenceUnavailableError(f"the inference server answered {status}")


def _vectors(body: bytes, count: int) -> list[Vector]:
    """Return the vectors of an answer in the order of their texts."""
    try:
        answer = json.loads(body)
        found = {_index(item): _vector(item["embedding"]) for item in answer["data"]}
        items = len(answer["data"])
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise InferenceInvalidError(f"the answer is no list of vectors: {error!r}") from error
    if items != count or found.keys() != set(range(count)):
        raise InferenceInvalidError(f"{items} vectors of {count} texts, or not one for each")
    return [found[at] for at in range(count)]


def _index(item: Any) -> int:
    index = item["index"]
    if type(index) is not int:
        raise TypeError(f"index {index!r}")
    return index


def _vector(numbers: Any) -> Vector:
    """Return the numbers of a vector; without a direction it could not be compared with others."""
    if len(numbers) != DIMENSION:
        raise ValueError(f"{len(numbers)} numbers, and not {DIMENSION}")
    if not all(type(number) in {float, int} for number in numbers):
        raise TypeError("something that is no number")
    try:
        found = unpack(pack(numbers))
    except (struct.error, OverflowError) as error:
        raise ValueError(f"a number that is too large: {error}") from error
    if not all(map(math.isfinite, found)) or not any(found):
        raise ValueError("NaN, infinite, or nothing but zeros")
    return found
