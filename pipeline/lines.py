"""Connections to servers of other people's: to checked addresses only, and over by a deadline."""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass, field
from typing import Any, Final

import httpcore

from pipeline.addresses import Guard
from pipeline.fetch_errors import PermanentError

CONNECT_SECONDS: Final = 5.0
"""The longest for a lookup, and for each address that is tried."""
READ_SECONDS: Final = 10.0
"""The longest between two parts of an answer."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """When a page, with all that belongs to it, has to be there."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """Return the deadline that is so many seconds from now."""
        return cls(time.monotonic() + seconds)

    def sooner(self, seconds: float) -> Deadline:
        """Return this one, or the one so many seconds from now if that is earlier."""
        return Deadline(min(self.at, time.monotonic() + seconds))

    def left(self, most: float) -> float:
        """Return the seconds that are left, at most so many; TimeoutError when none are."""
        found = min(most, self.at - time.monotonic())
        if found <= 0:
            raise TimeoutError
        return found


@dataclass(slots=True)
class Line(httpcore.NetworkBackend):
    """Makes the connection of one visit, and knows how far it came."""

    guard: Guard
    deadline: Deadline
    asked: bool = field(default=False, init=False)
    hung_up: bool = field(default=False, init=False)

    def connect_tcp(
        self, host: str, port: int, *_given: Any, **_named: Any
    ) -> httpcore.NetworkStream:
        """Connect to the first address of a host that takes the connection."""
        addresses = self.guard.addresses(host, port, self.deadline.left(CONNECT_SECONDS))
        for address in addresses[:-1]:
            try:
                return self._connected(address, port)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return self._connected(addresses[-1], port)

    def _connected(self, address: str, port: int) -> httpcore.NetworkStream:
        left = self.deadline.left(CONNECT_SECONDS)
        return _Stream(self, httpcore.SyncBackend().connect_tcp(address, port, left, None, []))


@dataclass(frozen=True, slots=True)
class _Stream(httpcore.NetworkStream):
    """A connection whose reads end with the deadline, also when they drip."""

    line: Line
    inner: httpcore.NetworkStream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = self.inner.read(max_bytes, self._left(timeout))
        self.line.hung_up = not data
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.line.asked = True
        self.inner.write(buffer, self._left(timeout))

    def close(self) -> None:
        self.inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        try:
            inner = self.inner.start_tls(ssl_context, server_hostname, self._left(timeout))
        except httpcore.ConnectError as error:
            cause = error.__cause__
            if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
                said = getattr(cause, "verify_message", "") or cause.reason
                raise PermanentError("tls", f"no trusted connection: {said}") from error
            raise
        return _Stream(self.line, inner)

    def get_extra_info(self, info: str) -> Any:
        return self.inner.get_extra_info(info)

    def _left(self, timeout: float | None) -> float:
        return self.line.deadline.left(timeout or READ_SECONDS)
