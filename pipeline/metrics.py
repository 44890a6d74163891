"""The Prometheus metrics of a process, made after the fork and handed to those who use them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    values,
)
from prometheus_client.multiprocess import MultiProcessCollector

from pipeline import faults, mark
from pipeline.telemetry import current_trace_id

if TYPE_CHECKING:
    from pipeline.settings import Settings

_BYTES: Final = tuple(1000.0 * 4**n for n in range(8))
# With a bound at each of the baselines of 000 §8, and at the half of it.
_SECONDS: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2, 2.5, 5, 10, 30)
_SHORT: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.03, 0.1, 0.5, 2)
_COUNTS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


@dataclass(frozen=True, slots=True)
class Metrics:
    """Every metric of the pipeline; each process exposes those that it has touched."""

    registry: CollectorRegistry
    jobs: Counter
    job_seconds: Histogram
    response_bytes: Histogram
    scrape_seconds: Histogram
    scrape_errors: Counter
    chunk_seconds: Histogram
    chunks: Histogram
    batch_size: Histogram
    embedding_seconds: Histogram
    embedding_labels: tuple[str, ...]
    cache_requests: Counter
    search_seconds: Histogram
    breaker_state: Gauge
    rate_limits: Counter
    http_seconds: Histogram
    auth_seconds: Histogram
    outbox_attempts: Counter
    dead_letters: Counter

    def embedding_took(self, operation: str, seconds: float) -> None:
        """Note a request for vectors; the label depends on how the histogram was declared."""
        labels = {"operation": operation, "traffic": mark.current().traffic}
        known = {key: labels[key] for key in self.embedding_labels}
        observe(self.embedding_seconds, seconds, **known)

    def cache_asked(self, operation: str, hits: int, misses: int) -> None:
        """Note how many texts the cache of embeddings knew, and how many it did not."""
        traffic = mark.current().traffic
        for result, count in (("hit", hits), ("miss", misses)):
            self.cache_requests.labels(result, operation, traffic).inc(count)


def build(settings: Settings) -> Metrics:
    """Make the metrics of this process."""
    registry = CollectorRegistry()

    def histogram(
        name: str, help_text: str, labels: tuple[str, ...], buckets: tuple[float, ...] = _SECONDS
    ) -> Histogram:
        return Histogram(name, help_text, labels, buckets=buckets, registry=registry)

    of_embedding: tuple[str, ...] = ("operation", "traffic")
    if faults.OPERATION_LABEL_MISSING in settings.faults:
        of_embedding = ("traffic",)
    return Metrics(
        registry=registry,
        jobs=Counter("jobs", "Jobs by status", ("status", "traffic"), registry=registry),
        job_seconds=histogram(
            "job_duration_seconds", "From submission to the end", ("status", "traffic")
        ),
        response_bytes=histogram(
            "scrape_response_size_bytes", "Size of a scraped page", ("traffic",), _BYTES
        ),
        scrape_seconds=histogram(
            "scrape_duration_seconds", "Time to fetch a page", ("outcome", "traffic")
        ),
        scrape_errors=Counter(
            "scrape_errors", "Pages not had, by code", ("code", "traffic"), registry=registry
        ),
        chunk_seconds=histogram("chunk_duration_seconds", "Time to chunk a text", ("traffic",)),
        chunks=histogram("chunks_per_document", "Chunks of a text", ("traffic",), _COUNTS),
        batch_size=histogram("embed_batch_size", "Chunks in a batch", ("traffic",), _COUNTS),
        embedding_seconds=histogram(
            "embedding_request_duration_seconds", "Time to get vectors", of_embedding
        ),
        embedding_labels=of_embedding,
        cache_requests=Counter(
            "embedding_cache_requests",
            "Texts looked up in the cache of embeddings",
            ("result", "operation", "traffic"),
            registry=registry,
        ),
        search_seconds=histogram("search_duration_seconds", "Time to search", ("traffic",)),
        breaker_state=Gauge(
            "circuit_breaker_state",
            "0 closed, 1 half open, 2 open",
            ("breaker",),
            registry=registry,
            # Of a worker's children the one that told last: a dead one's state is soon replaced.
            multiprocess_mode="mostrecent",
        ),
        http_seconds=histogram(
            "http_server_request_duration_seconds",
            "Time to answer a request, by OpenTelemetry's names",
            ("http_request_method", "http_route", "http_response_status_code", "traffic"),
        ),
        auth_seconds=histogram(
            "auth_duration_seconds",
            "Time to know a caller, from the cache or from Membership",
            ("cache", "traffic"),
            _SHORT,
        ),
        rate_limits=Counter(
            "rate_limit_decisions",
            "Calls that the rate limit let through, rejected, or could not count",
            ("decision", "traffic"),
            registry=registry,
        ),
        outbox_attempts=Counter(
            "outbox_attempts",
            "Attempts to act on a row of the outbox",
            ("action", "outcome", "traffic"),
            registry=registry,
        ),
        dead_letters=Counter(
            "dlq_messages",
            "Messages that became dead letters",
            ("queue", "reason", "traffic"),
            registry=registry,
        ),
    )


def observe(histogram: Histogram, value: float, **labels: str) -> None:
    """Observe a value, with the trace as its exemplar and the mark as its label."""
    labels.setdefault("traffic", mark.current().traffic)
    trace_id = current_trace_id()
    exemplar = {"trace_id": trace_id} if trace_id else None
    histogram.labels(**labels).observe(value, exemplar=exemplar)


def share_between_processes() -> None:
    """Keep values in files, so that a worker's children are seen on its parent's page.

    prometheus_client decides this when it is imported, which was before the fork.
    """
    values.ValueClass = values.get_value_class()  # type: ignore[no-untyped-call]


def of_all_processes() -> CollectorRegistry:
    """Return a registry that adds up what the children of this worker counted.

    Before they have counted anything it tells of Python: an empty page would say nothing, not even
    whose it is.
    """
    registry = CollectorRegistry()
    PlatformCollector(registry)
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry
