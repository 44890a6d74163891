"""Large traces of the shapes that are hard in different ways."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from validator.model import (
    AttributeValue,
    Coverage,
    CoverageState,
    Evidence,
    Job,
    JobState,
    Link,
    Signal,
    Span,
    SpanKind,
    SpanStatus,
    TraceRef,
)
from validator.traces import parent_id_for

SERVICES = ("orchestrator", "scraper", "chunking", "embedding-api")
_TRACE = 1 << 100
_JOB = "7f3c0000-0000-4000-8000-000000000001"
_START = 1_800_000_000_000_000_000
_EPOCH = 1_800_000_000.0

Shape = Callable[[int], Iterator[Span]]


def tree(count: int) -> Iterator[Span]:
    """Yield a trace as they usually are: each span has four children, services take turns."""
    for number in range(count):
        yield _span(number, (number - 1) // 4 if number else None, service=number % 4)


def chain(count: int) -> Iterator[Span]:
    """Yield a trace in which each span is the parent of the next."""
    for number in range(count):
        yield _span(number, number - 1 if number else None, service=number % 4)


def fan(count: int) -> Iterator[Span]:
    """Yield a trace in which one span is the parent of all others."""
    for number in range(count):
        yield _span(number, 0 if number else None, service=number % 4)


def linked(count: int) -> Iterator[Span]:
    """Yield traces of ten spans, each joined to the one before by a link, as by a queue."""
    for number in range(count):
        trace, place = divmod(number, 10)
        parent = number - 1 if place else None
        links = ((trace - 1, number - 1),) if trace and not place else ()
        kind = SpanKind.CONSUMER if links else SpanKind.INTERNAL
        yield _span(number, parent, service=number % 4, trace=trace, links=links, kind=kind)


def orphans(count: int) -> Iterator[Span]:
    """Yield a trace of which every second span names a parent that never came."""
    for number in range(count):
        parent = count * 2 + number if number % 2 else max(number - 2, 0) if number else None
        yield _span(number, parent, service=number % 4)


def retries(count: int) -> Iterator[Span]:
    """Yield one task tried again and again; each attempt has four spans below it."""
    for number in range(count):
        if not number:
            yield _span(0, None, service=0)
        elif (number - 1) % 5 == 0:
            yield _span(number, 0, service=1, kind=SpanKind.CONSUMER, task="task-1")
        else:
            yield _span(number, number - 1, service=number % 4)


def tasks(count: int) -> Iterator[Span]:
    """Yield many tasks, each tried twice."""
    for number in range(count):
        if not number:
            yield _span(0, None, service=0)
        else:
            task = f"task-{(number - 1) // 2}"
            yield _span(number, 0, service=number % 4, kind=SpanKind.CONSUMER, task=task)


def cycle(count: int) -> Iterator[Span]:
    """Yield a trace of cycles of ten spans, beside a root."""
    for number in range(count):
        group, place = divmod(number, 10)
        parent = number - 1 if place else min(group * 10 + 9, count - 1)
        yield _span(number, parent if number > 9 else None if not number else 0, service=number % 4)


def lost(count: int) -> Iterator[Span]:
    """Yield traces of ten spans that nothing joins: the context is lost again and again."""
    for number in range(count):
        trace, place = divmod(number, 10)
        yield _span(number, number - 1 if place else None, service=number % 4, trace=trace)


def layers(count: int) -> Iterator[Span]:
    """Yield a trace in which each service calls only itself and the next: most edges lack."""
    for number in range(count):
        yield _span(number, number - 1 if number else None, service=min(number * 4 // count, 3))


SHAPES: Mapping[str, Shape] = {
    "tree": tree,
    "deep chain": chain,
    "wide fan": fan,
    "traces joined by links": linked,
    "orphans": orphans,
    "retries of one task": retries,
    "many tasks tried twice": tasks,
    "cycles of ten": cycle,
    "context lost again and again": lost,
    "services in layers": layers,
}
"""What `connected_trace` is measured on; `tree` is what a trace usually looks like."""


def _span(  # noqa: PLR0913 - a builder names what a shape is about
    number: int,
    parent: int | None,
    *,
    service: int,
    trace: int = 0,
    links: tuple[tuple[int, int], ...] = (),
    kind: SpanKind = SpanKind.INTERNAL,
    task: str = "",
) -> Span:
    attributes: dict[str, AttributeValue] = {
        "job.id": _JOB,
        "code.function": "work",
        "thread.id": number,
    }
    if task:
        attributes["messaging.message.id"] = task
    trace_id = f"{_TRACE + trace:032x}"
    sent = parent_id_for(trace_id) if not trace and not number else ""
    return Span(
        trace_id=trace_id,
        span_id=f"{number + 1:016x}",
        parent_id=f"{parent + 1:016x}" if parent is not None else sent,
        name=f"work {number % 50}",
        kind=kind,
        service=SERVICES[service],
        instance=f"{SERVICES[service]}-1",
        start=_START + number * 1000,
        end=_START + number * 1000 + 900,
        status=SpanStatus.UNSET,
        status_message="",
        attributes=attributes,
        resource={"service.name": SERVICES[service]},
        links=tuple(Link(f"{_TRACE + t:032x}", f"{n + 1:016x}") for t, n in links),
        events=(),
        scope="bench",
        source="bench",
        seen=_EPOCH + 1.0,
    )


def job_of(spans: tuple[Span, ...]) -> Job:
    """Return the job that left these spans: sent in the first trace."""
    trace_id = spans[0].trace_id
    return Job(
        id=_JOB,
        run_id="run-1",
        target="bench",
        state=JobState.PASSED,
        status="done",
        detail="",
        fields={},
        traces=(TraceRef(trace_id, "sent"),),
        sent_parent=parent_id_for(trace_id),
        existing=False,
        submitted=_EPOCH,
        ended=_EPOCH + 1.0,
    )


def evidence_of(spans: tuple[Span, ...]) -> Evidence:
    """Return complete evidence of these spans."""
    covered = Coverage(CoverageState.EXHAUSTED, "the benchmark says so", ("bench",))
    return Evidence(
        job=job_of(spans),
        spans=spans,
        logs=(),
        samples=(),
        alerts=(),
        sources=(),
        coverage=dict.fromkeys(Signal, covered),
        job_id_keys=("job.id",),
        skew=0.05,
        now=_EPOCH + 10.0,
    )
