"""HTTP as every source needs it: bounded in time, bytes and rate, its errors translated.

Retries are a loop of ours and not urllib3's `Retry`, for that sleeps past a source's time-out
when a server asks for it with `Retry-After`, and not by the Clock.
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import requests
import urllib3

from validator.errors import SourceError, SourceFailure
from validator.ports import Clock
from validator.sources import faults
from validator.sources.body import alarm, break_off, chunks, is_cut, is_known
from validator.sources.call import Bounds, Call, Reply
from validator.sources.faults import Asked, Fault, FaultError
from validator.sources.pace import RateLimits, pause, told_to_wait
from validator.sources.redirects import origin, redirected
from validator.sources.session import SourceSession, Tls, connect, make_session, shown

__all__ = [
    "Bounds",
    "Call",
    "Http",
    "Reply",
    "Tls",
    "connect",
    "make_session",
    "shown",
]

_REDIRECTS = 3
_STALE = 32
"""So many connections of a pool may have been closed meanwhile: each is found out by asking."""
_SAID = 2048
"""Bytes of an answer that is no good one that are looked at, for what it says."""


class Http:
    """Makes a source's requests. Any thread may call it; it raises `SourceError` alone."""

    def __init__(
        self,
        source: str,
        session: SourceSession,
        clock: Clock,
        bounds: Bounds,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Speak for `source` through `session`, within `bounds`.

        `chance` gives numbers from 0 to 1, by which pauses differ.
        """
        self._source = source
        self._session = session
        self._clock = clock
        self._bounds = bounds
        self._chance = chance
        self._limits = RateLimits(bounds.rate, clock)
        self._lock = threading.Lock()
        self._reading: set[requests.Response] = set()
        self._closed = False

    @property
    def clock(self) -> Clock:
        """Return the clock that bounds the requests."""
        return self._clock

    @property
    def timeout(self) -> float:
        """Return the seconds that one question may take in all."""
        return self._bounds.timeout

    def patient(self, timeout: float) -> Http:
        """Return the same with another time-out and without retries: for a long poll."""
        bounds = replace(self._bounds, timeout=timeout, attempts=1)
        other = Http(self._source, self._session, self._clock, bounds, self._chance)
        other._limits = self._limits
        return other

    def close(self) -> None:
        """Break off what is being read and let go of the connections."""
        with self._lock:
            self._closed = True
            reading = tuple(self._reading)
        for response in reading:
            break_off(response)
        self._session.close()

    def error(self, failure: SourceFailure, detail: str) -> SourceError:
        """Return an error of this source, whose detail is without our secrets."""
        return SourceError(self._source, failure, self._session.redact(detail))

    def call(self, call: Call) -> Reply:
        """Return a good answer, after as many attempts as the time-out has room for.

        Good is a 2xx (200 for a GET: another has no content, or a part of it) or one of `also`.
        """
        deadline = min(self._clock.monotonic() + self._bounds.timeout, call.until)
        stale = 0
        attempt = 1
        while True:
            try:
                return self._follow(call, deadline)
            except FaultError as exc:
                fault = exc.fault
                if fault.stale and stale < _STALE:
                    stale += 1
                    continue
                wait = max(pause(attempt, self._chance()), fault.after)
                left = deadline - self._clock.monotonic()
                if not fault.again or attempt >= self._bounds.attempts or wait >= left:
                    raise self._final(fault, attempt, left) from exc.__cause__
                self._clock.sleep(wait)
                attempt += 1

    def _final(self, fault: Fault, attempt: int, left: float) -> SourceError:
        """Return the error that ends a question."""
        detail = fault.detail
        if attempt > 1:
            detail += f"; asked {attempt} times"
        if fault.again and fault.after >= left:
            detail += (
                f"; it asks to come again after {fault.after:.0f} s,"
                f" more than is left of {self._bounds.timeout:g} s (`timeout`)"
            )
        return self.error(fault.failure, detail)

    def _follow(self, call: Call, deadline: float) -> Reply:
        """Make a request, and those that it is redirected to on the same server."""
        for _ in range(_REDIRECTS + 1):
            found = self._attempt(call, deadline)
            if isinstance(found, Reply):
                return found
            call = found
        detail = f"{shown(call.url)} redirects without an end (more than {_REDIRECTS} times)"
        raise FaultError(Fault(SourceFailure.NONSENSE, detail))

    def _attempt(self, call: Call, deadline: float) -> Reply | Call:
        """Make one request; return its answer, or where it is redirected to."""
        self._take_turn(call, deadline)
        left = max(0.05, deadline - self._clock.monotonic())
        asked = self._asked(call)
        limits = urllib3.Timeout(connect=min(self._bounds.connect, left), total=left)
        sent, began = self._clock.now(), self._clock.monotonic()
        try:
            with self._session.request(
                call.method,
                call.url,
                params=list(call.params),
                headers=dict(call.headers),
                data=call.body,
                timeout=limits,  # type: ignore[arg-type]  # requests takes urllib3's, and types do not say so
                allow_redirects=False,
                stream=True,
            ) as response:
                took = self._clock.monotonic() - began
                left = max(0.05, deadline - self._clock.monotonic())
                target = self._checked(response, call, asked, left)
                if target is not None:
                    return target
                body = self._read(response, left, asked)
                media = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
                if response.status_code not in call.also:
                    _no_page(media, asked)
                if response.status_code >= 300:
                    body = self._session.redact_body(body)
                reply = Reply(response.status_code, response.headers, media, body, sent, took)
                if call.busy is not None and call.busy(reply):
                    raise FaultError(self._fault(response, body[:_SAID], asked))
                return reply
        except (requests.exceptions.RequestException, ValueError) as exc:
            raise FaultError(faults.of_error(exc, asked)) from exc

    def _take_turn(self, call: Call, deadline: float) -> None:
        """Wait until our own limit allows a request."""
        left = deadline - self._clock.monotonic()
        if left <= 0:
            detail = f"{shown(call.url)} was not asked: what was before it took the whole `timeout`"
            raise FaultError(Fault(SourceFailure.TOO_SLOW, detail))
        wait = self._limits.of(origin(call.url)).turn(left)
        if wait is None:
            detail = (
                f"{shown(call.url)} was not asked: our own limit of {self._bounds.rate:g} requests"
                f" a second (`rate_limit`) has no room within {self._bounds.timeout:g} s"
            )
            raise FaultError(Fault(SourceFailure.THROTTLED, detail))
        if wait > 0:
            self._clock.sleep(wait)

    def _asked(self, call: Call) -> Asked:
        """Return what errors may say of a request."""
        session = self._session
        with contextlib.suppress(ValueError):
            return Asked(
                where=shown(call.url),
                proxy=_shown_proxy(session.proxy_for(call.url)),
                connect=min(self._bounds.connect, self._bounds.timeout),
                whole=self._bounds.timeout,
                known=session.knows_us(call.url),
                tenant=str(session.headers.get("X-Scope-OrgID", "")),
            )
        return Asked(where=shown(call.url))

    def _checked(
        self, response: requests.Response, call: Call, asked: Asked, seconds: float
    ) -> Call | None:
        """Return where an answer redirects to, None if it is good; raise if it is neither."""
        status = response.status_code
        if status in call.also or status == 200 or (200 <= status < 300 and call.method != "GET"):
            return None
        if status in {301, 302, 303, 307, 308} and response.headers.get("Location"):
            return redirected(response, call, asked)
        if 200 <= status < 300:
            detail = f"{asked.where} answered {status}, which has no content or a part of it"
            raise FaultError(Fault(SourceFailure.NONSENSE, detail))
        raise FaultError(self._fault(response, self._said(response, seconds), asked))

    def _fault(self, response: requests.Response, said: bytes, asked: Asked) -> Fault:
        """Return what an answer means that is no good one, and when to come again."""
        reason = self._session.redact(response.reason or "")
        fault = faults.of_status(response.status_code, reason, said, asked)
        wait = told_to_wait(response.headers, self._clock.now()) if fault.again else 0.0
        return replace(fault, after=wait)

    def _said(self, response: requests.Response, seconds: float) -> bytes:
        """Return how the body begins of an answer that is no good one."""
        late = threading.Event()
        with self._open(response), alarm(response, min(seconds, 1.0), late):
            try:
                found: bytes = response.raw.read(_SAID, decode_content=True)
            except (urllib3.exceptions.HTTPError, OSError, ValueError):
                return b""
            return b"" if late.is_set() else self._session.redact_body(found)

    def _read(self, response: requests.Response, seconds: float, asked: Asked) -> bytes:
        """Return the body, within the bounds of bytes and of time, however slowly it drips."""
        if not is_known(response):
            detail = f"the answer of {asked.where} is compressed in a way that we do not know"
            raise FaultError(Fault(SourceFailure.NONSENSE, detail))
        body = bytearray()
        late = threading.Event()
        with self._open(response), alarm(response, seconds, late):
            try:
                for chunk in chunks(response):
                    body += chunk
                    if len(body) > self._bounds.size:
                        detail = (
                            f"{asked.where} answered more than {self._bounds.size} bytes"
                            " (`max_answer`)"
                        )
                        raise FaultError(Fault(SourceFailure.TOO_LARGE, detail))
            except urllib3.exceptions.DecodeError as exc:
                detail = f"the answer of {asked.where} cannot be decompressed"
                raise FaultError(Fault(SourceFailure.NONSENSE, detail)) from exc
            except (urllib3.exceptions.HTTPError, OSError) as exc:
                if self._closed:
                    raise self.error(SourceFailure.CONNECT, "the source was closed") from exc
                if not late.is_set():
                    raise FaultError(faults.of_body(exc, response.raw.tell(), asked)) from exc
        if late.is_set():
            raise FaultError(faults.late(asked))
        if is_cut(response):
            cut = EOFError("the compressed stream has no end")
            raise FaultError(faults.of_body(cut, response.raw.tell(), asked))
        return bytes(body)

    @contextlib.contextmanager
    def _open(self, response: requests.Response) -> Iterator[None]:
        """Keep the answer in hand for `close`, which may have been called just now."""
        with self._lock:
            self._reading.add(response)
            closed = self._closed
        if closed:
            break_off(response)
        try:
            yield
        finally:
            with self._lock:
                self._reading.discard(response)


def _no_page(media: str, asked: Asked) -> None:
    """Raise for a page that is meant for people."""
    if media in {"text/html", "application/xhtml+xml"}:
        detail = (
            f"{asked.where} answered a web page ({media}): is a login before it,"
            " and is the base path in `url` right?"
        )
        raise FaultError(Fault(SourceFailure.NONSENSE, detail))


def _shown_proxy(proxy: str) -> str:
    """Return a proxy's URL without its credentials."""
    return shown(proxy if "://" in proxy else f"http://{proxy}") if proxy else ""
