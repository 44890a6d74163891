"""Prometheus's HTTP API v1, as Prometheus, Mimir, Thanos and Grafana's proxy speak it.

An answer is an envelope: `{"status": "success", "data": …, "warnings": […], "infos": […]}`, or
`{"status": "error", "errorType": …, "error": …}` with 400, 422 or 503
(https://prometheus.io/docs/prometheus/latest/querying/api/#format-overview). Thanos puts what made
an answer partial into `warnings`; VictoriaMetrics says `isPartial`.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from validator.errors import SourceError, SourceFailure
from validator.ports import Clock
from validator.sources.http import Call, Http, Reply, shown

_SAID = 300
"""Characters of what a server says that go into an error."""

_READ = frozenset({400, 401, 403, 404, 422, 503})
"""Statuses whose body says what was wrong."""

_BY_TYPE: Mapping[str, SourceFailure] = {
    "bad_data": SourceFailure.REFUSED,
    "not_found": SourceFailure.REFUSED,
    "timeout": SourceFailure.TOO_SLOW,
    "canceled": SourceFailure.TOO_SLOW,
    "too_many_requests": SourceFailure.THROTTLED,
}
"""Prometheus's `errorType`s by what they mean for us: what is not here is a server error
(`execution`, `internal`, `unavailable`)."""

_ADVICE = {
    401: "check `auth`",
    403: "check `auth` and `tenant`",
    404: "is this the server's address, with its base path (Mimir's is `/prometheus`, "
    "Grafana's proxy `/api/datasources/proxy/uid/<uid>`)?",
}


@dataclass(frozen=True, slots=True)
class Told:
    """What a server told: its `data`, and its warnings, which say what may be lacking in it.

    `offset` are the least and the most seconds by which its clock may be ahead of ours, as the
    `Date` header tells (good to one second); both None where it does not say.
    """

    data: Any
    warnings: tuple[str, ...]
    offset: tuple[float, float] | None
    latency: float


class JsonApi:
    """Asks for JSON below one address, and says of each refusal what the server said of it."""

    def __init__(self, http: Http, url: str, until: float = math.inf) -> None:
        """Ask through `http`, until the clock's `monotonic`; `url` may have a base path."""
        self._http = http
        self._url = url.rstrip("/")
        self._until = until

    def question(self) -> JsonApi:
        """Return the same for one question: however many requests it takes, its time is one."""
        return self.until(self.clock.monotonic() + self._http.timeout)

    def until(self, until: float) -> JsonApi:
        """Return the same, which ends then."""
        return JsonApi(self._http, self._url, until)

    @property
    def http(self) -> Http:
        """Return the client."""
        return self._http

    @property
    def clock(self) -> Clock:
        """Return our clock."""
        return self._http.clock

    def read(self, path: str, *params: tuple[str, str]) -> Told:
        """Return the JSON at `path`, whatever its form; raises `SourceError`."""
        began = self.clock.monotonic()
        url = f"{self._url}/{path}"
        call = Call(url, params=params, headers=_JSON, also=_READ, busy=_is_busy, until=self._until)
        reply = self._http.call(call)
        latency = self.clock.monotonic() - began
        if reply.status >= 300:
            raise self._refused(url, reply)
        document = self._parsed(url, reply)
        return Told(document, (), reply.clock_bounds, latency)

    def get(self, path: str, *params: tuple[str, str]) -> Told:
        """Return the data of Prometheus's envelope at `path`; raises `SourceError`."""
        told = self.read(path, *params)
        with self.reading(path):
            if told.data["status"] != "success":
                raise self.error(SourceFailure.NONSENSE, f"{path} says {told.data['status']!r:.50}")
            warnings = [*(told.data.get("warnings") or ()), *(told.data.get("infos") or ())]
            if told.data.get("isPartial") or told.data.get("partialResponse"):
                warnings.append("it says that the answer is partial")
            return Told(told.data["data"], tuple(map(_short, warnings)), told.offset, told.latency)

    def error(self, failure: SourceFailure, detail: str) -> SourceError:
        """Return an error of the source that asks, which names the server."""
        return self._http.error(failure, f"{shown(self._url)}: {detail}")

    @contextlib.contextmanager
    def reading(self, what: str) -> Iterator[None]:
        """Raise `SourceError` where an answer has not the form that its API has."""
        try:
            yield
        except (LookupError, TypeError, ValueError, AttributeError) as exc:
            detail = f"the answer of {what} has not the form that the API has: {exc!r:.100}"
            raise self.error(SourceFailure.NONSENSE, detail) from exc

    def _parsed(self, url: str, reply: Reply) -> Any:
        """Return a body's JSON."""
        try:
            return json.loads(reply.body)
        except (ValueError, RecursionError) as exc:
            what = f"{reply.media or 'something'} ({len(reply.body)} bytes) that is no JSON"
            detail = f"{shown(url)} answered {what}"
            raise self._http.error(SourceFailure.NONSENSE, detail) from exc

    def _refused(self, url: str, reply: Reply) -> SourceError:
        """Return the error that an answer is."""
        kind, said = _said(reply)
        failure = SourceFailure.REFUSED
        if reply.status >= 500 or reply.status == 422:
            failure = SourceFailure.SERVER_ERROR
        failure = _BY_TYPE.get(kind, failure)
        if kind == "execution" and "too many samples" in said:
            failure = SourceFailure.TOO_LARGE
        words = f"{shown(url)} answered {reply.status}{f' ({kind})' if kind else ''}"
        advice = _ADVICE.get(reply.status, "")
        return self._http.error(failure, ": ".join(filter(None, (words, said, advice))))


_JSON = {"Accept": "application/json"}


def _is_busy(reply: Reply) -> bool:
    """Whether a 503 is a gateway's: Prometheus's own, a query that timed out, says its type."""
    return reply.status == 503 and not _said(reply)[0]


def _said(reply: Reply) -> tuple[str, str]:
    """Return the type and the words of an error: Prometheus's, Grafana's, or a plain text's."""
    try:
        document = json.loads(reply.body)
    except (ValueError, RecursionError):
        return "", _short(reply.body.decode(errors="replace")) if reply.media == _PLAIN else ""
    if not isinstance(document, dict):
        return "", _short(document)
    words = document.get("error") or document.get("message") or ""
    return str(document.get("errorType") or ""), _short(words)


_PLAIN = "text/plain"


def _short(words: object) -> str:
    """Return a server's words on one line that is not long."""
    return " ".join(str(words).split())[:_SAID]


def ahead(offset: tuple[float, float] | None) -> float:
    """Return the most seconds by which a server's clock may be ahead; 0 if it may be right."""
    if offset is None or offset[0] <= 0 <= offset[1]:
        return 0.0
    return offset[1]


def middle(offset: tuple[float, float] | None) -> float | None:
    """Return by how many seconds a server's clock is ahead, good to one; 0 if it may be right."""
    if offset is None:
        return None
    return 0.0 if offset[0] <= 0 <= offset[1] else sum(offset) / 2


def moment(text: object) -> float | None:
    """Return the Unix seconds of an RFC 3339 time; None for none and for Go's zero time."""
    if not isinstance(text, str) or not text or text.startswith("0001-"):
        return None
    return datetime.fromisoformat(_to_microseconds(text)).timestamp()


def _to_microseconds(text: str) -> str:
    """Return a time with at most six digits of a second: Go writes nine."""
    head, dot, tail = text.partition(".")
    digits = len(tail) - len(tail.lstrip("0123456789"))
    return f"{head}{dot}{tail[: min(digits, 6)]}{tail[digits:]}"
