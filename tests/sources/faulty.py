"""A wire between a source and a made-up backend, on a clock that only tests move, that breaks.

`Wire` stands where `requests` would connect: it gives what the backend answers, or what a script
of spells makes of it. Waiting moves the clock; nothing here takes time.
"""

from __future__ import annotations

import gzip
import http.client
import io
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

import requests
import urllib3
from requests.adapters import HTTPAdapter

from tests.sources.servers import Canned
from validator.errors import SourceFailure
from validator.testing import FakeClock

SIZE = 256 * 1024
"""Bytes of an answer that sources under test take at most."""
ELSEWHERE = "elsewhere.example"
_BOMB = gzip.compress(bytes(4 * SIZE))
_LOGIN = b"<html><body>Please log in</body></html>"
_LATENCY = 0.003


class Fault(StrEnum):
    """What a wire, a gateway or a backend may do instead of answering."""

    UNREACHABLE = "nobody listens"
    SLOW_START = "the first byte comes late"
    SLOW_DRIP = "the answer drips"
    RESET = "the connection is reset in mid-body"
    TOO_SHORT = "the body is shorter than its length"
    CUT = "the body is cut, and its length fits"
    BOMB = "a gzip bomb"
    BAD_GZIP = "no gzip, though it says so"
    REDIRECT = "a redirect to elsewhere"
    NO_CONTENT = "204"
    PAGE = "HTML with 200"
    PAGE_AS_JSON = "HTML that says that it is JSON"
    UNAUTHORIZED = "401"
    FORBIDDEN = "403"
    NOT_FOUND = "404"
    THROTTLED = "429 with Retry-After"
    BROKEN = "500"
    UNAVAILABLE = "503"
    EMPTY = "an empty answer, as of the wrong tenant or data source"


_STATUSES: Mapping[Fault, int] = {
    Fault.NO_CONTENT: 204,
    Fault.UNAUTHORIZED: 401,
    Fault.FORBIDDEN: 403,
    Fault.NOT_FOUND: 404,
    Fault.THROTTLED: 429,
    Fault.BROKEN: 500,
    Fault.UNAVAILABLE: 503,
}

NAMED: Mapping[Fault, tuple[str, ...]] = {
    Fault.UNREACHABLE: (SourceFailure.CONNECT,),
    Fault.SLOW_START: (SourceFailure.TOO_SLOW,),
    Fault.SLOW_DRIP: (SourceFailure.TOO_SLOW,),
    Fault.RESET: (SourceFailure.PARTIAL, "broke off"),
    Fault.TOO_SHORT: (SourceFailure.PARTIAL, "broke off"),
    Fault.CUT: (SourceFailure.NONSENSE, SourceFailure.PARTIAL, SourceFailure.REFUSED),  # a cut 404
    Fault.BOMB: (SourceFailure.TOO_LARGE,),
    Fault.BAD_GZIP: (SourceFailure.NONSENSE, "broke off after 1 bytes"),  # of an empty answer
    Fault.REDIRECT: (SourceFailure.NONSENSE, SourceFailure.REFUSED),
    Fault.NO_CONTENT: (SourceFailure.NONSENSE, "no control record"),  # Loki takes one with 204
    Fault.PAGE: (SourceFailure.NONSENSE,),
    Fault.PAGE_AS_JSON: (SourceFailure.NONSENSE,),
    Fault.UNAUTHORIZED: (SourceFailure.REFUSED,),
    Fault.FORBIDDEN: (SourceFailure.REFUSED,),
    Fault.NOT_FOUND: (SourceFailure.REFUSED,),
    Fault.THROTTLED: (SourceFailure.THROTTLED,),
    Fault.BROKEN: (SourceFailure.SERVER_ERROR,),
    Fault.UNAVAILABLE: (SourceFailure.SERVER_ERROR,),
    Fault.EMPTY: (
        "shows nothing of this run",
        "an earlier one had",
        "nothing is scraped here",
        "no target any more",
        "no target for a while",
        "a page without any metric",
    ),
}
"""The words by which a reason may name each fault; one of them is enough."""


@dataclass(frozen=True)
class Spell:
    """A time, in seconds from the start, in which a fault rules; `strength` is from 0 to 1.

    `way` is part of the paths that it rules, empty for all.
    """

    start: float
    end: float
    fault: Fault
    strength: float = 0.5
    way: str = ""


def weather(chance: random.Random, ways: tuple[str, ...] = ("",)) -> tuple[Spell, ...]:
    """Return spells as chance has them: a few, some of them without an end, some at once."""
    spells = []
    for _ in range(chance.choice((1, 1, 2, 3, 5, 8))):
        start = chance.choice((0.0, chance.uniform(0, 3), chance.uniform(0, 14)))
        lasts = chance.choice((0.05, chance.uniform(0, 2), chance.uniform(0, 12), 1e9))
        fault = chance.choice([*Fault, *(Fault.EMPTY,) * 5])  # of which nothing but we can tell
        spells.append(Spell(start, start + lasts, fault, chance.random(), chance.choice(ways)))
    return tuple(spells)


class Backend(Protocol):
    """A made-up server: answers a request by the time it is."""

    def answer(self, request: requests.PreparedRequest, *, elsewhere: bool) -> Canned:
        """Return the answer; `elsewhere` is that of another tenant, which holds nothing of ours."""
        ...


@dataclass
class Wire(HTTPAdapter):
    """Takes requests to a backend, and breaks as its spells say."""

    clock: FakeClock
    backend: Backend
    spells: tuple[Spell, ...] = ()
    met: list[Fault] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin now."""
        super().__init__()
        self.began = self.clock.time

    def send(self, request: requests.PreparedRequest, *_args: Any, **more: Any) -> Any:
        """Return a response as `requests` has it, or raise what it would raise."""
        url = str(request.url)
        self.asked.append(url)
        limit = _limit(more.get("timeout"))
        self.clock.sleep(_LATENCY)
        if ELSEWHERE in url:
            return self._response(request, Canned(200, _LOGIN, "text/html"), limit)
        spell = self._spell(url)
        if spell is None:
            return self._response(request, self.backend.answer(request, elsewhere=False), limit)
        self.met.append(spell.fault)
        return self._broken(request, spell, limit)

    def _spell(self, url: str) -> Spell | None:
        elapsed = self.clock.time - self.began
        ruling = (one for one in self.spells if one.start <= elapsed < one.end and one.way in url)
        return next(ruling, None)

    def _broken(self, request: requests.PreparedRequest, spell: Spell, limit: float) -> Any:
        fault, strength = spell.fault, spell.strength
        if fault is Fault.UNREACHABLE:
            reason = ConnectionRefusedError(111, "Connection refused")
            raise requests.exceptions.ConnectionError(reason)
        if fault is Fault.SLOW_START:
            return self._late(request, strength * 12, limit)
        if fault in _STATUSES:
            wait = {"Retry-After": str(int(strength * 20))} if fault is Fault.THROTTLED else {}
            body = b"" if fault is Fault.NO_CONTENT else b"no"
            canned = Canned(_STATUSES[fault], body, "text/plain", wait)
            return self._response(request, canned, limit)
        answers: Mapping[Fault, Canned] = {
            Fault.BOMB: Canned(200, _BOMB, headers={"Content-Encoding": "gzip"}),
            Fault.REDIRECT: Canned(302, headers={"Location": f"http://{ELSEWHERE}/login"}),
            Fault.PAGE: Canned(200, _LOGIN, "text/html; charset=utf-8"),
            Fault.PAGE_AS_JSON: Canned(200, _LOGIN),
        }
        if fault in answers:
            return self._response(request, answers[fault], limit)
        good = self.backend.answer(request, elsewhere=fault is Fault.EMPTY)
        return self._response(request, good, limit, spell)

    def _late(self, request: requests.PreparedRequest, delay: float, limit: float) -> Any:
        """Answer after `delay`, if the caller waits so long."""
        self.clock.sleep(min(delay, limit))
        if delay >= limit:
            reason = urllib3.exceptions.ReadTimeoutError(
                urllib3.HTTPConnectionPool("backend"), str(request.url), "timed out"
            )
            raise requests.exceptions.ReadTimeout(reason)
        answer = self.backend.answer(request, elsewhere=False)
        return self._response(request, answer, limit - delay)

    def _response(
        self,
        request: requests.PreparedRequest,
        canned: Canned,
        limit: float,
        spell: Spell | None = None,
    ) -> Any:
        """Return a response whose body comes as the spell says."""
        fault, strength = (spell.fault, spell.strength) if spell else (None, 0.0)
        body, headers = canned.body, dict(canned.headers)
        if fault is Fault.BAD_GZIP:
            headers["Content-Encoding"] = "gzip"
            body = b"x" + body
        if fault is Fault.CUT:
            body = body[: int(len(body) * strength * 0.99)]
        stream = _Stream(self.clock, body, self.clock.time + limit)
        length = len(body)
        if fault is Fault.SLOW_DRIP:
            stream.step = 12 * strength / max(1, len(body) // stream.chunk)
        if fault in (Fault.RESET, Fault.TOO_SHORT):
            stream.body = io.BytesIO(body[: int(len(body) * strength * 0.99)])
            stream.resets = fault is Fault.RESET
            length += 1
        headers |= {"Content-Type": canned.media, "Content-Length": str(length)}
        raw = urllib3.HTTPResponse(
            body=stream,
            headers=headers,
            status=canned.status,
            reason=http.client.responses.get(canned.status, ""),
            preload_content=False,
            decode_content=False,
            request_method=request.method,
        )
        return self.build_response(request, raw)


@dataclass
class _Stream(io.RawIOBase):
    """A body that may drip, be reset, or come too late."""

    clock: FakeClock
    content: bytes
    until: float
    step: float = 0.0
    resets: bool = False
    chunk: int = 512

    def __post_init__(self) -> None:
        """Begin at the first byte."""
        self.body = io.BytesIO(self.content)

    def read(self, size: int = -1) -> bytes:
        """Return the next piece."""
        if self.step:
            size = self.chunk
            self.clock.sleep(self.step)
        if self.clock.time > self.until:
            self.clock.time = self.until
            raise TimeoutError("timed out")
        piece = self.body.read(size)
        if not piece and self.resets:
            raise ConnectionResetError(104, "Connection reset by peer")
        return piece

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer."""
        piece = self.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)


def _limit(timeout: Any) -> float:
    """Return how many seconds a caller waits for the answer's beginning."""
    if isinstance(timeout, tuple):
        timeout = timeout[1]
    if isinstance(timeout, urllib3.Timeout):
        timeout = timeout.total if timeout.total is not None else timeout.read_timeout
    return float(timeout) if timeout is not None else 60.0


Making = Callable[[Wire], Any]
