"""Reading a request's body without ever holding more of it than is allowed."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator


class TooLargeError(Exception):
    """The body is larger than the collector takes."""


class BadEncodingError(Exception):
    """The body is not compressed as its header says."""


class Budget:
    """Counts the bytes of all bodies that are being read or taken in."""

    def __init__(self, bound: int) -> None:
        """Allow `bound` bytes at once."""
        self._bound = bound
        self._used = 0

    @property
    def exhausted(self) -> bool:
        """Whether a new request had better come again later."""
        return self._used >= self._bound

    def use(self, count: int) -> None:
        """Count bytes that are held from now on; give them back with a negative number."""
        self._used += count


class Inflater:
    """Decompresses gzip piece by piece, up to a limit."""

    def __init__(self, limit: int) -> None:
        """Give out at most `limit` bytes."""
        self._limit = limit
        self._zlib = zlib.decompressobj(wbits=31)
        self._begun = False
        self._count = 0

    def feed(self, chunk: bytes) -> bytes:
        """Return what a chunk decompresses to."""
        out = []
        self._begun = self._begun or bool(chunk)
        while chunk:
            if self._zlib.eof:
                self._zlib = zlib.decompressobj(wbits=31)
            try:
                data = self._zlib.decompress(chunk, self._limit - self._count + 1)
            except zlib.error as exc:
                raise BadEncodingError(f"the body is not gzip: {exc}") from exc
            self._count += len(data)
            if self._count > self._limit:
                raise TooLargeError(f"the body is more than {self._limit} bytes decompressed")
            out.append(data)
            chunk = self._zlib.unconsumed_tail or self._zlib.unused_data
        return b"".join(out)

    def finish(self) -> None:
        """Make sure that the end has come."""
        if self._begun and not self._zlib.eof:
            raise BadEncodingError("the gzip body ends too early")


def _within(count: int, limit: int) -> int:
    """Return a count of bytes that is within the limit."""
    if count > limit:
        raise TooLargeError(f"the body is more than {limit} bytes")
    return count


async def read_body(
    chunks: AsyncIterator[bytes], *, inflater: Inflater | None, limit: int, budget: Budget
) -> bytes:
    """Return a whole body, decompressed; the caller gives its length back to the budget."""
    body = bytearray()
    received = 0
    try:
        async for chunk in chunks:
            received = _within(received + len(chunk), limit)
            data = inflater.feed(chunk) if inflater else chunk
            budget.use(len(data))
            body += data
        if inflater:
            inflater.finish()
    except BaseException:
        budget.use(-len(body))
        raise
    return bytes(body)
