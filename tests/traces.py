"""Traces to judge, written as a tree reads: what tests of checks and of the loop begin with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from validator.model import (
    AttributeValue,
    Coverage,
    CoverageState,
    Evidence,
    Job,
    JobState,
    Link,
    LogLine,
    Signal,
    Span,
    SpanKind,
    SpanStatus,
    TraceRef,
)
from validator.traces import parent_id_for

EPOCH = 1_800_000_000
MS = 1_000_000
TRACE = "00a1b2c3d4e5f60718293a4b5c6d7e8f"
OTHER = "9c3f7ae2a6abf7158809cf4f3c2b7e15"
SENT = parent_id_for(TRACE)
JOB = "7f3c0000-0000-4000-8000-000000000001"


def sid(name: str) -> str:
    """Return a span id of 16 digits that a test can recognise."""
    return name.encode().hex()[:16].ljust(16, "0")


def span(
    service: str,
    name: str,
    *,
    id: str = "",  # noqa: A002 - a span's id
    parent: str = "",
    at: float = 0,
    lasts: float = 5,
    kind: SpanKind = SpanKind.INTERNAL,
    trace: str = TRACE,
    links: Iterable[tuple[str, str]] = (),
    job: str = "",
    task: str = "",
    attributes: Mapping[str, AttributeValue] | None = None,
    instance: str = "",
    status: SpanStatus = SpanStatus.UNSET,
) -> Span:
    """Return a span; `at` and `lasts` in milliseconds, `parent` the id or name of another."""
    more = {"job.id": job} if job else {}
    more |= {"messaging.message.id": task} if task else {}
    start = EPOCH * 1_000_000_000 + int(at * MS)
    return Span(
        trace_id=trace,
        span_id=sid(id or name),
        parent_id=parent if len(parent) == 16 else sid(parent) if parent else "",
        name=name,
        kind=kind,
        service=service,
        instance=instance or f"{service}-1",
        start=start,
        end=start + int(lasts * MS),
        status=status,
        status_message="",
        attributes={**more, **(attributes or {})},
        resource={"service.name": service},
        links=tuple(Link(trace_id, sid(linked)) for trace_id, linked in links),
        events=(),
        scope="test",
        source="test",
        seen=EPOCH + 1.0,
    )


def line(service: str, body: str, **attributes: AttributeValue) -> LogLine:
    """Return a log line of the job's trace; `trace` and `sampled` may say otherwise."""
    trace = str(attributes.pop("trace", TRACE))
    sampled = attributes.pop("sampled", True)
    return LogLine(
        time=EPOCH * 1_000_000_000,
        service=service,
        instance=f"{service}-1",
        severity="INFO",
        body=body,
        trace_id=trace,
        span_id="",
        sampled=bool(sampled) if sampled is not None else None,
        attributes=attributes,
        resource={"service.name": service},
        source="test",
        seen=EPOCH + 1.0,
    )


def job(**changes: object) -> Job:
    """Return a job that was sent in `TRACE` and went well."""
    fields: dict[str, object] = {
        "id": JOB,
        "run_id": "run-1",
        "target": "pipeline",
        "state": JobState.PASSED,
        "status": "done",
        "detail": "",
        "fields": {},
        "traces": (TraceRef(TRACE, "sent"),),
        "sent_parent": SENT,
        "existing": False,
        "submitted": float(EPOCH),
        "ended": EPOCH + 1.0,
    }
    return Job(**{**fields, **changes})  # type: ignore[arg-type]


def evidence(
    spans: Iterable[Span] = (),
    *,
    state: CoverageState = CoverageState.EXHAUSTED,
    logs: Iterable[LogLine] = (),
    of: Job | None = None,
    skew: float = 0.05,
) -> Evidence:
    """Return evidence whose every signal has the coverage `state`."""
    covered = Coverage(state, f"the test says {state}", ("test",))
    return Evidence(
        job=of or job(),
        spans=tuple(spans),
        logs=tuple(logs),
        samples=(),
        alerts=(),
        sources=(),
        coverage=dict.fromkeys(Signal, covered),
        job_id_keys=("job.id",),
        skew=skew,
        now=EPOCH + 10.0,
    )


def pipeline() -> list[Span]:
    """Return the spans of a job that went well over four services, joined by parents."""
    producer, consumer = SpanKind.PRODUCER, SpanKind.CONSUMER
    server, client = SpanKind.SERVER, SpanKind.CLIENT
    return [
        span("orchestrator", "POST /jobs", parent=SENT, at=0, kind=server, job=JOB),
        span("orchestrator", "apply_async/scraper.scrape_task", id="pub-scrape",
             parent="POST /jobs", at=2, kind=producer, task="t-1"),
        span("scraper", "run/scraper.scrape_task", id="run-scrape", parent="pub-scrape",
             at=10, lasts=60, kind=consumer, task="t-1"),
        span("scraper", "scrape_task", parent="run-scrape", at=11, lasts=50, job=JOB),
        span("scraper", "POST", id="call-back", parent="scrape_task", at=40, kind=client),
        span("orchestrator", "POST /jobs/{id}/complete", id="complete", parent="call-back",
             at=41, lasts=20, kind=server, job=JOB),
        span("orchestrator", "POST", id="call-chunk", parent="complete", at=43, kind=client),
        span("chunking", "POST /chunk", id="chunk", parent="call-chunk", at=44, kind=server,
             job=JOB),
        span("orchestrator", "apply_async/embedding.embed_task", id="pub-embed",
             parent="complete", at=55, kind=producer, task="t-2"),
        span("embedding-api", "run/embedding.embed_task", id="run-embed", parent="pub-embed",
             at=60, lasts=30, kind=consumer, task="t-2"),
        span("embedding-api", "embed_task", parent="run-embed", at=61, lasts=25, job=JOB),
    ]  # fmt: skip


SERVICES = ("orchestrator", "scraper", "chunking", "embedding-api")
EDGES = (
    "orchestrator -> scraper",
    "orchestrator -> chunking",
    "orchestrator -> embedding-api",
)
