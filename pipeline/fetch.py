"""Fetching a page of other people's: whether we may, what it says, and what it cost."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from opentelemetry import trace
from resiliparse.parse.encoding import detect_mime

from pipeline import mark, reading, telemetry, urls
from pipeline.addresses import Guard, networks
from pipeline.fetch_errors import FetchError, PermanentError, TransientError
from pipeline.lines import Deadline
from pipeline.metrics import observe
from pipeline.robots import Robots
from pipeline.visits import Answer, Visitor

if TYPE_CHECKING:
    from pipeline.metrics import Metrics
    from pipeline.settings import Settings

TRANSIENT: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
REDIRECTS: Final = 5
AGENT: Final = "obs-validator-pipeline"
_HTML: Final = frozenset({"text/html", "application/xhtml+xml"})
_PLAIN: Final = "text/plain"


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms pages are fetched."""

    guard: Guard = field(default_factory=Guard)
    agent: str = AGENT
    seconds: float = 20.0
    max_bytes: int = 10_000_000
    reading: reading.Limits = reading.LIMITS

    @classmethod
    def of(cls, settings: Settings) -> Terms:
        """Read them from the environment; LookupError says which variable is wrong."""
        agent = settings.env.get("PIPELINE_USER_AGENT") or AGENT
        if not (agent.isascii() and agent.isprintable()):
            raise LookupError(f"PIPELINE_USER_AGENT is {agent!r}: it is printable ASCII")
        return cls(
            guard=Guard(networks(settings.env.get("PIPELINE_SCRAPE_ALLOW", ""))),
            agent=agent,
            seconds=_positive(settings, "PIPELINE_SCRAPE_SECONDS", 20.0),
            max_bytes=int(_positive(settings, "PIPELINE_SCRAPE_MAX_BYTES", 10_000_000)),
        )


@dataclass(frozen=True, slots=True)
class Page:
    """A page's text and where it came from."""

    url: str
    content: str


@dataclass(frozen=True, slots=True)
class _Found:
    """The last answer on the way to a page."""

    url: str
    status: int
    content_type: str
    charset: str
    body: bytes


class Fetcher:
    """Fetches pages and measures them. Threads may share it."""

    def __init__(self, terms: Terms, metrics: Metrics) -> None:
        """Fetch on these terms."""
        self._terms = terms
        self._metrics = metrics
        self._visitor = Visitor(terms.guard, terms.agent)
        self._robots = Robots(self._visitor, terms.agent)

    def fetch(self, url: str, job_id: str) -> Page:
        """Return the text of a page, or raise a FetchError."""
        begun = time.perf_counter()
        outcome = "permanent"
        try:
            found = self._get(url, job_id)
            with telemetry.job_span("extract_text", job_id) as span:
                content = self._read(found)
                span.set_attribute("document.words", len(content.split()))
            outcome = "ok"
        except FetchError as error:
            outcome = "transient" if isinstance(error, TransientError) else "permanent"
            self.count(error)
            raise
        finally:
            took = time.perf_counter() - begun
            observe(self._metrics.scrape_seconds, took, outcome=outcome)
        return Page(found.url, content)

    def count(self, error: FetchError) -> None:
        """Count an error; those that `fetch` raises are counted."""
        labels = {"code": error.label, "traffic": mark.current().traffic}
        self._metrics.scrape_errors.labels(**labels).inc()

    def _get(self, url: str, job_id: str) -> _Found:
        try:
            url = urls.normalised(url)
        except ValueError as error:
            raise PermanentError("invalid_url", str(error)) from error
        with telemetry.job_span("fetch_page", job_id, url__full=url) as span:
            found = self._follow(url, span)
            if found.status >= 300:
                span.set_status(trace.StatusCode.ERROR, f"HTTP {found.status}")
        _refuse(found)
        observe(self._metrics.response_bytes, len(found.body))
        return found

    def _follow(self, url: str, span: trace.Span) -> _Found:
        deadline = Deadline.after(self._terms.seconds)
        for _ in range(REDIRECTS + 1):
            self._robots.check(url, deadline)
            with self._visitor.visit(url, deadline) as answer:
                span.set_attribute("http.response.status_code", answer.status)
                if answer.redirect is None:
                    found = self._received(answer)
                    span.set_attribute("http.response.body.size", len(found.body))
                    return found
            url = _led(url, answer.redirect)
        raise PermanentError("too_many_redirects", f"{url} is the last of more than {REDIRECTS}")

    def _received(self, answer: Answer) -> _Found:
        """Read an answer's body if it is a page, and of a kind that can be read."""
        if not 200 <= answer.status < 300:
            return _Found(answer.url, answer.status, "", "", b"")
        content_type = answer.header("content-type").partition(";")[0].strip().lower()
        if "/" not in content_type:  # it says nothing
            content_type = ""
        if content_type not in {"", _PLAIN, *_HTML}:
            raise _unsupported(answer.url, content_type)
        body = answer.body(self._terms.max_bytes)
        if not content_type:
            sniffed = detect_mime(body)
            if not sniffed.startswith("text/"):
                raise _unsupported(answer.url, sniffed)
        charset = answer.headers.get_content_charset("")  # RFC 2231 can put a NUL into it
        charset = charset if charset.isprintable() else ""
        return _Found(answer.url, answer.status, content_type, charset, body)

    def _read(self, found: _Found) -> str:
        if found.content_type == _PLAIN:
            return reading.plain(found.body, found.charset)
        return reading.html(found.body, found.charset, self._terms.reading)


def _led(url: str, location: str) -> str:
    try:
        return urls.joined(url, location)
    except ValueError as error:
        raise PermanentError("invalid_url", f"{url} redirects, but {error}") from error


def _unsupported(url: str, content_type: str) -> PermanentError:
    return PermanentError(
        "unsupported_content_type", f"{url} is {content_type[:80]}, not HTML or plain text"
    )


def _refuse(found: _Found) -> None:
    kind = TransientError if found.status in TRANSIENT else PermanentError
    if not 200 <= found.status < 300:
        raise kind(f"http_{found.status}", f"{found.url} answered {found.status}")


def _positive(settings: Settings, variable: str, default: float) -> float:
    found = settings.number(variable, default)
    if not 0 < found < float("inf"):
        raise LookupError(f"{variable} is {found:g}: it is more than nothing, and finite")
    return found
