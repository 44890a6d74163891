"""`/metrics` pages as a source of samples, read with Prometheus's own parsers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, TypeVar

import urllib3
from prometheus_client import Metric
from prometheus_client import samples as prometheus
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from validator.errors import SourceError, SourceFailure
from validator.model import Exemplar, Phase, Sample
from validator.ports import Answer, Probed
from validator.sources.base import SourceBase
from validator.sources.http import Call, Http, Reply
from validator.sources.otlp_metrics import wanted

_ACCEPT = {
    "Accept": "application/openmetrics-text;version=1.0.0;q=0.9,text/plain;version=0.0.4;q=0.5"
}
_OPENMETRICS = "application/openmetrics-text"
_TEXT = frozenset({_OPENMETRICS, "text/plain", ""})
_TYPES = frozenset({"counter", "gauge", "histogram", "summary"})
_AT_ONCE = 16
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Page:
    """A page of metrics, and the service whose page it is."""

    service: str
    url: str

    @property
    def instance(self) -> str:
        """Return host and port, as Prometheus names an instance."""
        parsed = urllib3.util.parse_url(self.url)
        port = parsed.port or (443 if parsed.scheme == "https" else 80)
        return f"{parsed.host}:{port}"


class ScrapeSource(SourceBase):
    """Reads `/metrics` pages, all at once."""

    kind = "scrape"

    def __init__(self, name: str, pages: tuple[Page, ...], http: Http, lag_budget: float) -> None:
        """Read `pages` through `http`."""
        super().__init__(name, http, lag_budget)
        self._pages = pages
        self._pool = ThreadPoolExecutor(min(len(pages), _AT_ONCE) or 1, f"scrape-{name}")

    def close(self) -> None:
        """End the requests and let go of the connections."""
        super().close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def probe(self) -> Probed:
        """Ask for every page; an error if none can be read, a note for each of several.

        Pages tell no version. The latency is the slowest page's, the clock that which is off most.
        """
        futures = [self._begun(self._fetched, page) for page in self._pages]
        wait(futures, timeout=self._http.timeout)
        replies: list[Reply] = []
        failures: list[SourceError] = []
        remarks: list[str] = []
        for page, future in zip(self._pages, futures, strict=True):
            try:
                replies.append(self._result(page, future))
                remarks += _remarks(page, replies[-1])
            except SourceError as exc:
                failures.append(exc)
        if not replies:
            raise failures[0]
        offsets = [reply.clock_offset for reply in replies if reply.clock_offset is not None]
        return Probed(
            version="",
            latency=max(reply.took for reply in replies),
            clock_offset=max(offsets, key=abs, default=None),
            notes=(*map(_unread, failures), *remarks),
        )

    def samples(self, metrics: frozenset[str]) -> Answer:
        """Return the present samples of these families, and of `target_info`.

        A page that fails makes the answer partial; it is an error only when all of them do. One
        whose end nothing marks is taken for whole, with a finding.
        """
        futures = [self._begun(self._read, page, metrics) for page in self._pages]
        wait(futures, timeout=self._http.timeout)
        samples: list[Sample] = []
        failures: list[SourceError] = []
        remarks: list[str] = []
        for page, future in zip(self._pages, futures, strict=True):
            try:
                found, remarked = self._result(page, future)
            except SourceError as exc:
                failures.append(exc)
                continue
            samples += found
            remarks += remarked
        if failures and len(failures) == len(self._pages):
            raise failures[0]
        findings = (*map(_unread, failures), *remarks)
        return Answer(samples=tuple(samples), full=not failures, findings=findings)

    def _begun(self, work: Callable[..., _Result], *args: Any) -> Future[_Result]:
        """Begin to read a page."""
        try:
            return self._pool.submit(work, *args)
        except RuntimeError as exc:
            raise self._http.error(SourceFailure.CONNECT, "the source is closed") from exc

    def _result(self, page: Page, future: Future[_Result]) -> _Result:
        """Return what a page gave within the time-out."""
        if not future.done():
            future.cancel()
            detail = f"{page.instance} gave no answer within {self._http.timeout:g} s"
            raise self._http.error(SourceFailure.TOO_SLOW, detail)
        return future.result()

    def _fetched(self, page: Page) -> Reply:
        """Fetch one page, which has to be one of metrics."""
        reply = self._http.call(Call(page.url, headers=_ACCEPT))
        if reply.media not in _TEXT:
            where = f"{page.service} at {page.instance}"
            detail = f"{where} answered {reply.media}, which is no page of metrics"
            raise self._http.error(SourceFailure.NONSENSE, detail)
        if not _is_marked(reply) and not reply.body.endswith(b"\n"):
            detail = f"the page of {page.service} at {page.instance} broke off in mid-line"
            raise self._http.error(SourceFailure.PARTIAL, detail)
        return reply

    def _read(self, page: Page, metrics: frozenset[str]) -> tuple[list[Sample], list[str]]:
        """Fetch one page and return what is wanted of it, and what is to be remarked."""
        reply = self._fetched(page)
        where = f"{page.service} at {page.instance}"
        parse = parse_openmetrics if reply.media == _OPENMETRICS else parse_text
        try:
            families: list[Metric] = list(parse(reply.body.decode()))
        except Exception as exc:  # the parsers raise ValueError, KeyError, TypeError and others
            detail = f"{where} answered a page that cannot be parsed: {exc}"[:300]
            raise self._http.error(SourceFailure.NONSENSE, detail) from exc
        if not families:  # every client library has at least its own metrics
            detail = f"{where} answered a page without any metric: is it the service's?"
            raise self._http.error(SourceFailure.NONSENSE, detail)
        return self._samples(page, families, metrics), _remarks(page, reply)

    def _samples(
        self, page: Page, families: Iterable[Metric], metrics: frozenset[str]
    ) -> list[Sample]:
        """Return the samples that are wanted."""
        seen = self._http.clock.now()
        found = (
            self._sample(page, family, sample, seen)
            for family in families
            for sample in family.samples
        )
        return [sample for sample in found if wanted(sample, metrics)]

    def _sample(self, page: Page, family: Metric, sample: prometheus.Sample, seen: float) -> Sample:
        """Return one sample as the model has it; OpenMetrics calls `target_info` an info."""
        info = sample.name == "target_info"
        return Sample(
            metric="target_info" if info else family.name,
            name=sample.name,
            type="gauge" if info else _type(family.type),
            labels=sample.labels,
            value=float(sample.value),
            time=None if sample.timestamp is None else float(sample.timestamp),
            exemplar=_exemplar(sample.exemplar),
            service=page.service,
            instance=page.instance,
            phase=Phase.AFTER,
            source=self._name,
            seen=seen,
        )


def _is_marked(reply: Reply) -> bool:
    """Whether a page that was cut off would be known: OpenMetrics has an end mark of its own."""
    return reply.has_end or reply.media == _OPENMETRICS


def _remarks(page: Page, reply: Reply) -> list[str]:
    """Remark on a page that may have been cut between two lines."""
    if _is_marked(reply):
        return []
    where = f"{page.service} at {page.instance}"
    why = "it is no OpenMetrics, and comes without a length"
    return [f"the end of the page of {where} is not marked ({why}): a part may be missing unseen"]


def _unread(failure: SourceError) -> str:
    """Say that a page is lacking."""
    return f"a page could not be read: {failure.failure}: {failure.detail}"


def _type(shown: str) -> str:
    """Return a type that the model knows."""
    return shown if shown in _TYPES else "unknown"


def _exemplar(shown: prometheus.Exemplar | None) -> Exemplar | None:
    """Return an exemplar as the model has it."""
    if shown is None:
        return None
    time = None if shown.timestamp is None else float(shown.timestamp)
    return Exemplar(shown.labels, float(shown.value), time)
