"""Fetching a page of other people's: nothing of ours goes along, and its text comes back."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import httpx
from opentelemetry import trace
from opentelemetry.instrumentation.utils import suppress_http_instrumentation
from selectolax.lexbor import LexborHTMLParser

from pipeline import telemetry
from pipeline.metrics import observe

if TYPE_CHECKING:
    from pipeline.metrics import Metrics

TRANSIENT: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_NOISE: Final = "script, style, nav, header, footer, aside, noscript, template"


class FetchError(Exception):
    """A page that could not be had."""

    def __init__(self, code: str, message: str) -> None:
        """Keep the code by which the job's error is known."""
        super().__init__(message)
        self.code = code


class TransientError(FetchError):
    """It may be had later."""


class PermanentError(FetchError):
    """It will not be had."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page's text and where it came from."""

    url: str
    content: str


class Fetcher:
    """Fetches pages and measures them."""

    def __init__(self, client: httpx.Client, metrics: Metrics) -> None:
        """Fetch through a client that adds nothing of ours."""
        self._client = client
        self._metrics = metrics

    def fetch(self, url: str, job_id: str) -> Page:
        """Return the text of a page."""
        begun = time.perf_counter()
        outcome = "error"
        try:
            answer = self._get(url, job_id)
            outcome = "ok"
        finally:
            took = time.perf_counter() - begun
            observe(self._metrics.scrape_seconds, took, outcome=outcome)
        with telemetry.job_span("extract_text", job_id) as span:
            content = extract(answer.text)
            span.set_attribute("document.words", len(content.split()))
        return Page(str(answer.url), content)

    def _get(self, url: str, job_id: str) -> httpx.Response:
        # The instrumentation would put traceparent and baggage on a request to a stranger.
        with telemetry.job_span("fetch_page", job_id, url__full=url) as span:
            try:
                with suppress_http_instrumentation():
                    answer = self._client.get(url, follow_redirects=True)
            except httpx.TimeoutException as error:
                raise TransientError("timeout", f"{url} did not answer in time") from error
            except httpx.HTTPError as error:
                raise TransientError("unreachable", f"{url} cannot be reached: {error}") from error
            span.set_attribute("http.response.status_code", answer.status_code)
            span.set_attribute("http.response.body.size", len(answer.content))
            if answer.status_code >= 400:
                span.set_status(trace.StatusCode.ERROR, f"HTTP {answer.status_code}")
        _refuse(answer)
        observe(self._metrics.response_bytes, len(answer.content))
        return answer


def extract(html: str) -> str:
    """Return the text of a page's article, paragraph by paragraph."""
    tree = LexborHTMLParser(html)
    for node in tree.css(_NOISE):
        node.decompose()
    root = tree.css_first("article") or tree.body
    if root is None:
        return ""
    paragraphs = root.css("h1, h2, h3, p, li, pre, td")
    texts = [" ".join(node.text().split()) for node in paragraphs]
    return "\n\n".join(filter(None, texts)) or " ".join(root.text().split())


def _refuse(answer: httpx.Response) -> None:
    status = answer.status_code
    if status in TRANSIENT:
        raise TransientError(f"http_{status}", f"{answer.url} answered {status}")
    if status >= 400:
        raise PermanentError(f"http_{status}", f"{answer.url} answered {status}")
