"""Sample runs for the tests of reports: good, lost context, blocked, inconclusive, hostile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from validator.model import (
    Attributes,
    AttributeValue,
    Coverage,
    CoverageState,
    Evidence,
    Finding,
    Job,
    JobState,
    LogLine,
    Phase,
    Run,
    Sample,
    Signal,
    SourceReport,
    Span,
    SpanEvent,
    SpanKind,
    SpanStatus,
    Status,
    TraceRef,
    Verdict,
)

BEGIN: Final = 1_790_000_000.0
TRACE: Final = "00a1b2c3d4e5f60718293a4b5c6d7e8f"
FAR: Final = "9c3f00112233445566778899aabbccdd"
JOB: Final = "7f3c2a10-5b1e-4c55-9d0e-2f6a1b3c4d5e"
URL: Final = "https://example.com/article?nonce=obs-5d1c"


def nanoseconds(milliseconds: float) -> int:
    """Return the Unix time of so many milliseconds after the run's begin."""
    return int(BEGIN * 1e9) + int(milliseconds * 1e6)


def span(  # a flat signature reads better in the tables below than nested objects
    row: tuple[str, str, str, str, float, float],
    *,
    trace: str = TRACE,
    kind: SpanKind = SpanKind.INTERNAL,
    status: SpanStatus = SpanStatus.UNSET,
    attributes: Attributes | None = None,
) -> Span:
    """Make a span of (id, parent, service, name, start and end in milliseconds)."""
    own, parent, service, name, start, end = row
    return Span(
        trace_id=trace,
        span_id=own,
        parent_id=parent,
        name=name,
        kind=kind,
        service=service,
        instance=f"{service}-1",
        start=nanoseconds(start),
        end=nanoseconds(end),
        status=status,
        status_message="",
        attributes={"job.id": JOB, "job.url": URL} if attributes is None else attributes,
        resource={"service.name": service, "service.version": "1.4.2"},
        links=(),
        events=(SpanEvent("received", nanoseconds(start), {}),)
        if kind is SpanKind.CONSUMER
        else (),
        scope="pipeline",
        source="collector",
        seen=BEGIN + 2,
    )


def _log(milliseconds: float, service: str, body: str, severity: str = "INFO") -> LogLine:
    """Make a log line of the sample trace."""
    return LogLine(
        time=nanoseconds(milliseconds),
        service=service,
        instance=f"{service}-1",
        severity=severity,
        body=body,
        trace_id=TRACE,
        span_id="",
        sampled=True,
        attributes={"job_id": JOB},
        resource={"service.name": service},
        source="collector",
        seen=BEGIN + 2,
    )


JOB_OF_RECORD: Final = Job(
    id=JOB,
    run_id="r-0001",
    target="pipeline",
    state=JobState.PASSED,
    status="done",
    detail="",
    fields={"corpus": "obs-r-0001", "attempt": 1},
    traces=(TraceRef(TRACE, "sent"),),
    sent_parent="f0f0f0f0f0f0f0f0",
    existing=False,
    submitted=BEGIN,
    ended=BEGIN + 1.62,
)
SOURCE: Final = SourceReport(
    name="collector",
    kind="collector",
    signals=(Signal.TRACES, Signal.LOGS),
    requests=9,
    answers=9,
    error="",
    error_kind="",
    last_full_answer=BEGIN + 2.5,
    lag=0.12,
    lag_budget=2.0,
    shown_by="evidence of this run",
    findings=(),
)
SAMPLE: Final = Sample(
    metric="embedding_request_duration_seconds",
    name="embedding_request_duration_seconds_count",
    type="histogram",
    labels={"operation": "write", "traffic": "synthetic"},
    value=7.0,
    time=None,
    exemplar=None,
    service="embedding-api",
    instance="embedding-api-1",
    phase=Phase.AFTER,
    source="scrape",
    seen=BEGIN + 2,
)
_SERVER, _CLIENT = SpanKind.SERVER, SpanKind.CLIENT
_PRODUCER, _CONSUMER = SpanKind.PRODUCER, SpanKind.CONSUMER
_HEAD: Final = (
    span(("a1" * 8, "f0" * 8, "orchestrator", "POST /jobs", 0, 64), kind=_SERVER),
    span(("a2" * 8, "a1" * 8, "orchestrator", "INSERT jobs", 12, 20), kind=_CLIENT),
    span(
        ("a3" * 8, "a1" * 8, "orchestrator", "apply_async/scraper.scrape_task", 31, 52),
        kind=_PRODUCER,
    ),
)
_WORK: Final = (
    (("b1" * 8, "a3" * 8, "scraper", "run/scraper.scrape_task", 93, 702), _CONSUMER),
    (("b2" * 8, "b1" * 8, "scraper", "GET example.com", 110, 560), _CLIENT),
    (("b3" * 8, "b1" * 8, "scraper", "extract_text", 566, 640), SpanKind.INTERNAL),
    (("b4" * 8, "b1" * 8, "scraper", "POST /callbacks/scraped", 645, 700), _CLIENT),
    (("c1" * 8, "b4" * 8, "chunking", "POST /chunk", 660, 1010), _SERVER),
    (("c2" * 8, "c1" * 8, "chunking", "count_tokens", 670, 980), SpanKind.INTERNAL),
    (("d1" * 8, "c1" * 8, "embedding-api", "POST /embed", 985, 1600), _SERVER),
    (("d2" * 8, "d1" * 8, "embedding-api", "infer_batch", 1000, 1400), _CLIENT),
    (("d3" * 8, "d1" * 8, "embedding-api", "INSERT vectors", 1410, 1580), _CLIENT),
)
GOOD_SPANS: Final = (*_HEAD, *(span(row, kind=kind) for row, kind in _WORK))
LOST_SPANS: Final = (
    *_HEAD,
    span(("b1" * 8, "", *_WORK[0][0][2:]), kind=_CONSUMER, trace=FAR),
    *(span(row, kind=kind, trace=FAR) for row, kind in _WORK[1:]),
)
LOGS: Final = (
    _log(41, "orchestrator", "job accepted"),
    _log(96, "scraper", "scrape started"),
    _log(702, "scraper", "scrape finished: 31204 bytes"),
    _log(1590, "embedding-api", "stored 12 vectors"),
)


def evidence(
    *,
    spans: tuple[Span, ...] = GOOD_SPANS,
    logs: tuple[LogLine, ...] = LOGS,
    fields: Mapping[str, AttributeValue] | None = None,
    job: Job = JOB_OF_RECORD,
    source: SourceReport = SOURCE,
    coverage: Mapping[Signal, Coverage] | None = None,
) -> Evidence:
    """Return the good run's evidence, altered where asked."""
    settled = Coverage(CoverageState.SETTLED, "nothing new for 2 s", ("collector",))
    return Evidence(
        job=job if fields is None else replace(job, fields=fields),
        spans=spans,
        logs=logs,
        samples=(SAMPLE,),
        alerts=(),
        sources=(source,),
        coverage=coverage or {Signal.TRACES: settled, Signal.LOGS: settled},
        job_id_keys=("job.id", "job_id"),
        skew=0.05,
        now=BEGIN + 4,
    )


def verdict(
    check: str,
    status: Status,
    summary: str,
    *,
    findings: tuple[Finding, ...] = (),
    code: str = "",
    examined: int = 12,
    notes: tuple[str, ...] = (),
    blocked_by: str = "",
    catches: str = "trace context lost when a task crosses the queue",
) -> Verdict:
    """Return a verdict of the check `check`, named as its kind."""
    return Verdict(
        check=check,
        name=check,
        status=status,
        code=code or (findings[0].code if findings else ""),
        summary=summary,
        findings=findings,
        notes=notes,
        examined=examined,
        signals=(Signal.TRACES,),
        blocked_by=blocked_by,
        catches=catches,
    )


def run(run_id: str, verdicts: tuple[Verdict, ...], gathered: Evidence, offset: float = 0) -> Run:
    """Return a run of the suite `pipeline`, begun `offset` seconds after the first."""
    return Run(
        id=run_id,
        suite="pipeline",
        target="pipeline",
        ring=2,
        version="0.1.0",
        started=BEGIN + offset,
        finished=BEGIN + offset + 4.25,
        verdicts=verdicts,
        findings=(),
        evidence=gathered,
        interrupted=False,
    )


_OUTCOME = verdict(
    "job_outcome",
    Status.PASS,
    "the job ended as done after 1.6 s",
    examined=1,
    catches="a pipeline that no longer finishes its jobs",
)
_CONNECTED = verdict(
    "connected_trace", Status.PASS, "4 services, 3 edges, one trace", notes=("1 retry was skipped",)
)
_LABELS = verdict(
    "metric_labels",
    Status.PASS,
    "operation has read and write, both increased",
    examined=2,
    catches="read and write latency can no longer be told apart",
)

LOST_FINDING: Final = Finding(
    code="context_lost",
    summary="lost between orchestrator and scraper",
    expected="orchestrator -> scraper, joined by a parent",
    seen=(
        "trace 00a1b2… ends at `apply_async/scraper.scrape_task` (orchestrator, PRODUCER)",
        "`run/scraper.scrape_task` (scraper, CONSUMER) begins trace 9c3f…, with the same job.id",
    ),
    likely="the publisher does not put the trace context into the task's headers, "
    "or the worker does not read it",
    query=f'{{ span.job.id = "{JOB}" }}',
    spans=("a3" * 8, "b1" * 8),
)
_MISSING_FINDING: Final = Finding(
    code="service_missing",
    summary="no span of reranker",
    expected="at least one span of reranker",
    seen=("spans of orchestrator, scraper, chunking, embedding-api",),
    likely="its exporter was never set up after the fork; its logs prove that it ran",
    query='{ resource.service.name = "reranker" }',
    absent=True,
    missing=("spans:reranker",),
)
_NEVER_ASKED: Final = Finding(
    code="source_unproven",
    summary="nothing shows that collector works",
    expected="a fresh, full answer of a source that is shown to work",
    seen=("collector: throttled: 429 Too Many Requests, 6 times in 10 s",),
    likely="the tenant's limit is too low; raise it, or raise `lag_budget` in the configuration",
    query="",
    needs=("spans:scraper",),
)

GOOD: Final = run("r-0001", (_OUTCOME, _CONNECTED, _LABELS), evidence())
LOST: Final = run(
    "r-0002",
    (
        _OUTCOME,
        verdict(
            "connected_trace",
            Status.FAIL,
            "lost between orchestrator and scraper (and 1 more)",
            findings=(LOST_FINDING, _MISSING_FINDING),
        ),
        _LABELS,
    ),
    evidence(
        spans=LOST_SPANS,
        job=replace(
            JOB_OF_RECORD,
            traces=(TraceRef(TRACE, "sent"), TraceRef(FAR, "job_id")),
            run_id="r-0002",
        ),
    ),
    60,
)
BLOCKED: Final = run(
    "r-0003",
    (
        verdict(
            "job_outcome",
            Status.FAIL,
            "the target refused the job",
            findings=(
                replace(
                    LOST_FINDING,
                    code="refused",
                    summary="the target refused the job",
                    expected="an answer 2xx to POST http://127.0.0.1:8000/jobs",
                    seen=("500 Internal Server Error after 12 ms",),
                    likely="",
                    query="",
                    spans=(),
                ),
            ),
            examined=0,
        ),
        verdict(
            "connected_trace",
            Status.BLOCKED,
            "needs a job that was taken",
            examined=0,
            blocked_by="job_outcome",
        ),
    ),
    evidence(
        spans=(), logs=(), job=replace(JOB_OF_RECORD, state=JobState.REFUSED, id="", status="")
    ),
    120,
)
_UNPROVEN: Final = Coverage(CoverageState.UNPROVEN, "throttled since 10 s", ("collector",))
INCONCLUSIVE: Final = run(
    "r-0004",
    (
        _OUTCOME,
        verdict(
            "connected_trace",
            Status.INCONCLUSIVE,
            "traces cannot be judged: collector is throttled",
            findings=(_NEVER_ASKED,),
            examined=3,
        ),
    ),
    evidence(
        spans=GOOD_SPANS[:3],
        source=replace(SOURCE, error="429 Too Many Requests", error_kind="throttled", shown_by=""),
        coverage={Signal.TRACES: _UNPROVEN},
    ),
    180,
)
XSS: Final = '<script>document.title="owned"</script><img src=x onerror=alert(1)>'
EVIL: Final = (
    f"\x1b[31mred\x1b[0m [red]markup[/red] `{XSS}` |pipe| \r\nsecond line "
    "]]> &amp; \x00\x07\u202egnp.exe\u2028 {{ 7*7 }} ${x} "
)
HOSTILE: Final = replace(
    run(
        "r-0005",
        (
            verdict(
                "span_attributes",
                Status.FAIL,
                EVIL,
                findings=(
                    Finding(
                        code="attribute_wrong",
                        summary=EVIL,
                        expected=EVIL,
                        seen=(EVIL, "x" * 10_000, *(f"line {n}" for n in range(200))),
                        likely=EVIL,
                        query=f'{{ span.job.id = "`" }}\n{XSS}',
                        spans=("a3" * 8, "0" * 16),
                        missing=(f"spans:{XSS}",),
                    ),
                ),
                notes=(EVIL,),
                catches=EVIL,
            ),
        ),
        evidence(
            spans=(
                *GOOD_SPANS[:2],
                replace(GOOD_SPANS[2], name=EVIL, service=XSS, status_message=EVIL),
                replace(GOOD_SPANS[3], parent_id="b2" * 8, name="cycle one"),
                replace(GOOD_SPANS[4], name="n" * 10_000, start=0, end=0),
                replace(
                    GOOD_SPANS[5],
                    service="",
                    attributes={EVIL: EVIL, "bytes": b"\x00\xff", "deep": {"a": (1, {"b": None})}},
                ),
                replace(GOOD_SPANS[6], trace_id=XSS, span_id='"><b>', end=2**64 - 1),
            ),
            logs=(replace(LOGS[0], body=EVIL, severity=XSS, time=0),),
            job=replace(JOB_OF_RECORD, id=EVIL, detail=EVIL, traces=(TraceRef(XSS, "sent"),)),
        ),
        240,
    ),
    suite=EVIL[:60],
    target=XSS,
    findings=(EVIL,),
    interrupted=True,
)
RUNS: Final = {
    "good": GOOD,
    "lost": LOST,
    "blocked": BLOCKED,
    "inconclusive": INCONCLUSIVE,
    "hostile": HOSTILE,
}
