"""One visit to a server of other people's: a page is asked for, and read as far as it may be.

On httpcore itself: httpx has no limit for the whole of a visit and decompresses whatever comes
(docs/decisions/0011). Nothing of ours goes along, since no instrumentation knows httpcore.
"""

from __future__ import annotations

import ssl
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from functools import cached_property
from typing import Final
from urllib.parse import urlsplit

import httpcore
import httpx

from pipeline import urls
from pipeline.addresses import Guard
from pipeline.fetch_errors import FetchError, PermanentError, TimedOutError, TransientError
from pipeline.lines import READ_SECONDS, Deadline, Line

_ASKED_FOR: Final = (
    ("Accept", "text/html,application/xhtml+xml,text/plain;q=0.9"),
    ("Accept-Encoding", "gzip"),
    ("Connection", "close"),
)
_STEP: Final = 65_536
_GZIP: Final = zlib.MAX_WBITS | 16
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_LONGEST_HEADER: Final = 2 * urls.LONGEST


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered; its body is read while the visit lasts."""

    url: str
    status: int
    headers: Message
    parts: Iterable[bytes]

    def header(self, name: str) -> str:
        """Return the first header of this name, or nothing."""
        return str(self.headers.get(name, "")).strip()

    @property
    def redirect(self) -> str | None:
        """Where the server sends us, if it does."""
        return (self.header("location") or None) if self.status in _REDIRECTS else None

    def body(self, most: int) -> bytes:
        """Return the body; one of more bytes than that is refused, as early as can be."""
        length = self.header("content-length")
        if length.isascii() and length.isdigit() and int(length) > most:
            raise self._too_large(most)
        found = bytearray()
        for part in self._plain():
            found += part
            if len(found) > most:
                raise self._too_large(most)
        return bytes(found)

    def beginning(self, most: int) -> bytes:
        """Return so many bytes of the body, or all if there are fewer."""
        found = bytearray()
        for part in self._plain():
            found += part
            if len(found) >= most:
                break
        return bytes(found[:most])

    def _too_large(self, most: int) -> FetchError:
        return PermanentError("too_large", f"{self.url} has more than {most:,} bytes")

    def _plain(self) -> Iterable[bytes]:
        encoding = self.header("content-encoding").lower()
        if encoding in {"", "identity"}:
            return self.parts
        if encoding not in {"gzip", "x-gzip"}:
            raise PermanentError(
                "unsupported_content_encoding",
                f"{self.url} is encoded as {encoding[:40]!r}, and gzip was asked for",
            )
        return _inflated(self.url, self.parts)


class Visitor:
    """Visits servers, each time on a connection of its own."""

    def __init__(self, guard: Guard, agent: str) -> None:
        """Connect to what the guard lets through, under the name of the agent."""
        self._guard = guard
        self._agent = agent

    @contextmanager
    def visit(self, url: str, deadline: Deadline) -> Iterator[Answer]:
        """Ask for a normalised address; what goes wrong, also in reading, is a FetchError."""
        parts = urlsplit(url)
        line = Line(self._guard, deadline)
        tls = self._tls if parts.scheme == "https" else None
        headers = [("Host", parts.netloc), ("User-Agent", self._agent), *_ASKED_FOR]
        timeouts = {"timeout": {"read": READ_SECONDS, "write": READ_SECONDS}}
        with (
            _translated(url, line),
            httpcore.ConnectionPool(tls, network_backend=line) as pool,
            pool.stream("GET", url, headers=headers, extensions=timeouts) as answer,
        ):
            yield Answer(url, answer.status, _message(answer.headers), answer.iter_stream())

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return httpx.create_ssl_context()


@contextmanager
def _translated(url: str, line: Line) -> Iterator[None]:
    try:
        yield
    except FetchError as error:
        error.asked = line.asked
        raise
    except (
        TimeoutError,
        httpcore.TimeoutException,
        httpcore.NetworkError,
        httpcore.ProtocolError,
    ) as error:
        found = _fetch_error(url, line, error)
        found.asked = line.asked
        raise found from error


def _fetch_error(url: str, line: Line, error: Exception) -> FetchError:
    if isinstance(error, TimeoutError | httpcore.TimeoutException):
        return TimedOutError("timeout", f"{url} did not answer in time")
    if isinstance(error, httpcore.NetworkError):
        return TransientError("unreachable", f"{url} cannot be reached: {error}")
    if line.hung_up:
        return TransientError("unreachable", f"{url} closed the connection before its answer's end")
    return PermanentError("protocol", f"{url} does not answer as HTTP/1.1 has it: {error}")


def _message(headers: Iterable[tuple[bytes, bytes]]) -> Message:
    found = Message()
    for name, value in headers:
        found[name.decode("ascii")] = _text(value[:_LONGEST_HEADER])
    return found


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _inflated(url: str, parts: Iterable[bytes]) -> Iterator[bytes]:
    """Decompress step by step: one part may hold a thousand times its size."""
    inflate = zlib.decompressobj(_GZIP)
    try:
        for part in parts:
            rest = part
            while rest and not inflate.eof:
                yield inflate.decompress(rest, _STEP)
                rest = inflate.unconsumed_tail
    except zlib.error as error:
        raise PermanentError("protocol", f"{url} is no gzip, as it says it is: {error}") from error
