"""HTTP as every source needs it: bounded in time and in bytes, its errors translated.

Retries are a loop of ours and not urllib3's `Retry`, for that sleeps past a source's time-out
when a server asks for it with `Retry-After`, and not by the Clock.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter

from validator.errors import SourceError, SourceFailure
from validator.ports import Clock

_BUSY = frozenset({429, 502, 503, 504})
_FIRST_PAUSE = 0.2
_CHUNK = 256 * 1024
_NO_PROXY = {"http": "", "https": ""}


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a source allows one question.

    `timeout` is in seconds for all of it, its retries included, `connect` in seconds for each
    connection; `size` is bytes of a decompressed answer; `attempts` how often it is asked at most;
    `rate` how many requests a second the source may get of us.
    """

    timeout: float = 10.0
    size: int = 256 * 1024 * 1024
    attempts: int = 3
    connect: float = 3.0
    rate: float = 20.0


@dataclass(frozen=True, slots=True)
class Tls:
    """Paths of PEM files: whom to trust instead of the system's, what to show; empty for none."""

    ca: str = ""
    cert: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """One request.

    `also` are statuses other than 2xx that the caller reads himself: not every 404 is an error.
    `until` ends it in any case, by the clock's `monotonic`: what several requests share.
    """

    url: str
    method: str = "GET"
    params: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    also: frozenset[int] = frozenset()
    until: float = math.inf


@dataclass(frozen=True, slots=True)
class Reply:
    """A good answer, read whole; `media` is the content type without its parameters."""

    status: int
    headers: Mapping[str, str]
    media: str
    body: bytes


def make_session(
    headers: Mapping[str, str] | None = None, *, connections: int = 16
) -> requests.Session:
    """Return a session for sources that sends `headers` with every request.

    Proxies and netrc of the environment hold, but nothing on this machine is asked by a proxy.
    """
    session = requests.Session()
    session.headers.update(headers or {})
    session.max_redirects = 3
    adapter = HTTPAdapter(pool_connections=connections, pool_maxsize=connections, max_retries=0)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def connect(
    session: requests.Session,
    *,
    auth: str | tuple[str, str] | None = None,
    tls: Tls = Tls(),
    proxy: str | None = None,
) -> None:
    """Have `session` say who we are, trust and show what `tls` names, and take `proxy`.

    `auth` is a bearer token, or a name and a password. `proxy` is its URL, `none` for none
    whatever the environment says, None for that of the environment.
    """
    if isinstance(auth, str):
        session.headers["Authorization"] = f"Bearer {auth}"
    elif auth is not None:
        session.auth = auth
    session.verify = tls.ca or True
    session.cert = (tls.cert, tls.key) if tls.key else tls.cert or None
    if proxy is not None:
        session.proxies = _NO_PROXY if proxy == "none" else {"http": proxy, "https": proxy}


class Http:
    """Makes a source's requests. Any thread may call it; it raises `SourceError` alone."""

    def __init__(
        self, source: str, session: requests.Session, clock: Clock, bounds: Bounds
    ) -> None:
        """Speak for `source` through `session`, within `bounds`."""
        self._source = source
        self._session = session
        self._clock = clock
        self._bounds = bounds
        self._lock = threading.Lock()
        self._reading: set[requests.Response] = set()
        self._closed = False

    @property
    def clock(self) -> Clock:
        """Return the clock that bounds the requests."""
        return self._clock

    def patient(self, timeout: float) -> Http:
        """Return the same with another time-out and without retries: for a long poll."""
        bounds = Bounds(timeout=timeout, size=self._bounds.size, attempts=1)
        return Http(self._source, self._session, self._clock, bounds)

    @property
    def timeout(self) -> float:
        """Return the seconds that one question may take in all."""
        return self._bounds.timeout

    def close(self) -> None:
        """Break off what is being read and let go of the connections."""
        with self._lock:
            self._closed = True
            reading = tuple(self._reading)
        for response in reading:
            _break_off(response)
        self._session.close()

    def error(self, failure: SourceFailure, detail: str) -> SourceError:
        """Return an error of this source."""
        return SourceError(self._source, failure, detail)

    def call(self, call: Call) -> Reply:
        """Return a good (2xx) answer, after as many attempts as the time-out has room for."""
        deadline = min(self._clock.monotonic() + self._bounds.timeout, call.until)
        pause = _FIRST_PAUSE
        for attempt in range(1, self._bounds.attempts + 1):
            try:
                return self._attempt(call, deadline)
            except _RetryError as exc:
                wait = max(pause, exc.after)
                left = deadline - self._clock.monotonic()
                if attempt == self._bounds.attempts or wait >= left:
                    raise exc.error from exc.__cause__
                self._clock.sleep(wait)
                pause *= 2
        raise AssertionError("attempts is at least 1")

    def _attempt(self, call: Call, deadline: float) -> Reply:
        """Make one request."""
        left = max(0.05, deadline - self._clock.monotonic())
        where = shown(call.url)
        try:
            with self._session.request(
                call.method,
                call.url,
                params=list(call.params),
                headers=dict(call.headers),
                data=call.body,
                timeout=(left, left),
                proxies=_NO_PROXY if _is_local(call.url) else None,
                stream=True,
            ) as response:
                if response.status_code not in call.also:
                    self._check(response, where)
                left = max(0.05, deadline - self._clock.monotonic())
                body = self._read(response, left, where)
                media = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
                return Reply(response.status_code, response.headers, media, body)
        except requests.exceptions.Timeout as exc:
            detail = f"{where} gave no answer within {self._bounds.timeout:g} s"
            raise self.error(SourceFailure.TOO_SLOW, detail) from exc
        except requests.exceptions.SSLError as exc:
            detail = f"no trust in the certificate of {where}: {_cause(exc)}"
            raise self.error(SourceFailure.CONNECT, detail) from exc
        except requests.exceptions.ConnectionError as exc:
            error = self.error(SourceFailure.CONNECT, f"{where}: {_cause(exc)}")
            raise _RetryError(error, 0.0) from exc
        except requests.exceptions.RequestException as exc:
            raise self.error(SourceFailure.NONSENSE, f"{where}: {_cause(exc)}") from exc

    def _check(self, response: requests.Response, where: str) -> None:
        """Raise unless the status is good."""
        status = response.status_code
        if 200 <= status < 300:
            return
        failure = SourceFailure.REFUSED
        if status == 429:
            failure = SourceFailure.THROTTLED
        elif status >= 500:
            failure = SourceFailure.SERVER_ERROR
        error = self.error(failure, f"{where} answered {status} {response.reason}")
        if status in _BUSY:
            raise _RetryError(error, _retry_after(response))
        raise error

    def _read(self, response: requests.Response, seconds: float, where: str) -> bytes:
        """Return the body, within the bounds of bytes and of time, however slowly it drips."""
        body = bytearray()
        late = threading.Event()
        with self._open(response), _alarm(response, seconds, late):
            try:
                for chunk in _chunks(response):
                    body += chunk
                    if len(body) > self._bounds.size:
                        detail = f"{where} answered more than {self._bounds.size} bytes"
                        raise self.error(SourceFailure.TOO_LARGE, detail)
            except urllib3.exceptions.DecodeError as exc:
                detail = f"the answer of {where} cannot be decompressed"
                raise self.error(SourceFailure.NONSENSE, detail) from exc
            except urllib3.exceptions.ReadTimeoutError:
                late.set()
            except (urllib3.exceptions.HTTPError, OSError) as exc:
                if self._closed:
                    raise self.error(SourceFailure.CONNECT, "the source was closed") from exc
                if not late.is_set():
                    detail = f"the answer of {where} broke off after {len(body)} bytes"
                    raise self.error(SourceFailure.PARTIAL, detail) from exc
        if late.is_set():
            detail = f"{where} had not answered in full within {self._bounds.timeout:g} s"
            raise self.error(SourceFailure.TOO_SLOW, detail)
        return bytes(body)

    @contextlib.contextmanager
    def _open(self, response: requests.Response) -> Iterator[None]:
        """Keep the answer in hand for `close`, which may have been called just now."""
        with self._lock:
            self._reading.add(response)
            closed = self._closed
        if closed:
            _break_off(response)
        try:
            yield
        finally:
            with self._lock:
                self._reading.discard(response)


class _RetryError(Exception):
    """An attempt that may go better later."""

    def __init__(self, error: SourceError, after: float) -> None:
        """Say what to raise if it is the last, and how long the server asks to wait."""
        super().__init__(str(error))
        self.error = error
        self.after = after


@contextlib.contextmanager
def _alarm(response: requests.Response, seconds: float, late: threading.Event) -> Iterator[None]:
    """Break the connection off when the time is over, so that a read in progress ends."""

    def ring() -> None:
        late.set()
        _break_off(response)

    timer = threading.Timer(seconds, ring)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _break_off(response: requests.Response) -> None:
    """End a read that is in progress in another thread."""
    with contextlib.suppress(Exception):  # it may just have ended, or have no socket
        response.raw.shutdown()


def _chunks(response: requests.Response) -> Iterator[bytes]:
    """Yield the body decompressed, in bounded pieces."""
    raw: Any = response.raw
    return iter(lambda: raw.read(_CHUNK, decode_content=True), b"")


def _retry_after(response: requests.Response) -> float:
    """Return the seconds that a server asks to wait; a date counts as none."""
    try:
        return max(0.0, float(response.headers.get("Retry-After", "0")))
    except ValueError:
        return 0.0


def _is_local(url: str) -> bool:
    """Whether a URL is of this machine."""
    host = urllib3.util.parse_url(url).host or ""
    return host in {"localhost", "[::1]"} or host.startswith("127.")


def shown(url: str) -> str:
    """Return a URL without credentials and query, which may hold secrets."""
    parsed = urllib3.util.parse_url(url)
    return f"{parsed.scheme}://{parsed.netloc}{parsed.path or ''}"


def _cause(error: BaseException) -> str:
    """Return the innermost reason of an error: the operating system's words where there are."""
    seen: BaseException = error
    while True:
        inner = getattr(seen, "reason", None) or (seen.args[0] if seen.args else None)
        if not isinstance(inner, BaseException):
            break
        seen = inner
    if seen.__context__ is not None and isinstance(seen.__context__, OSError):
        seen = seen.__context__
    return getattr(seen, "strerror", None) or type(seen).__name__
