"""Short words for evidence: what a test does not say is as in a good run.

The job ran from `BEGIN` to `END` and passed; evidence is settled; ids are made of the name of
what they name (`span_id("scrape")`), so that a failing test can be read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import md5
from typing import Any, Final

from validator.model import (
    Alert,
    Coverage,
    CoverageState,
    Evidence,
    Exemplar,
    Job,
    JobState,
    Link,
    LogLine,
    Phase,
    Sample,
    SearchHit,
    Signal,
    Span,
    SpanKind,
    SpanStatus,
    TraceRef,
)

BEGIN: Final = 1_790_000_000.0
"""When the job was submitted, in Unix seconds."""
END: Final = BEGIN + 1.5
NOW: Final = BEGIN + 4.0
JOB: Final = "7f3c2a10-5b1e-4c55-9d0e-2f6a1b3c4d5e"
TRACE: Final = "00a1b2c3d4e5f60718293a4b5c6d7e8f"
FAR: Final = "9c3f00112233445566778899aabbccdd"
"""A trace that is not the one that the job was sent with."""
SENT: Final = "5e5e5e5e5e5e5e5e"
"""The parent that the validator sends and nobody exports."""


def span_id(name: str) -> str:
    """Return 16 hex digits that are always the same for `name`; such an id is itself."""
    if not name or (len(name) == 16 and not set(name) - set("0123456789abcdef")):
        return name
    return md5(name.encode(), usedforsecurity=False).hexdigest()[:16]


def at(milliseconds: float) -> int:
    """Return the Unix nanoseconds of so many milliseconds after the submission."""
    return int(BEGIN) * 1_000_000_000 + int(milliseconds * 1e6)


def span(service: str, name: str, **fields: Any) -> Span:
    """Make an INTERNAL span below ours, 10 ms after the submission and 10 ms long.

    Beside the fields of `Span` (`kind`, `attributes`, `status` …): `id` and `parent` are names
    from which ids are made (`id` is the span's name unless given), `trace` is the trace id, `ms`
    and `took` are the start and the length in milliseconds, `links` names spans as (trace id,
    name) pairs or is `Link`s.
    """
    start = fields.pop("ms", 10.0)
    length = fields.pop("took", 10.0)
    own = span_id(fields.pop("id", name))
    links = fields.pop("links", ())
    made = Span(
        trace_id=fields.pop("trace", TRACE),
        span_id=own,
        parent_id=span_id(fields.pop("parent", SENT)),
        name=name,
        kind=SpanKind.INTERNAL,
        service=service,
        instance=f"{service}-1" if service else "",
        start=at(start),
        end=at(start + length),
        status=SpanStatus.UNSET,
        status_message="",
        attributes={"job.id": JOB},
        resource={"service.name": service, "service.version": "1.2.3"},
        links=tuple(
            link if isinstance(link, Link) else Link(link[0], span_id(link[1])) for link in links
        ),
        events=(),
        scope="pipeline",
        source="collector",
        seen=END + 1,
    )
    return replace(made, **fields)


def attempt(service: str, name: str, task: str, **fields: Any) -> Span:
    """Make a CONSUMER span: one attempt of the task `task`."""
    attributes = {"job.id": JOB, "messaging.message.id": task, **fields.pop("attributes", {})}
    return span(service, name, kind=SpanKind.CONSUMER, attributes=attributes, **fields)


def log(service: str, body: str, **fields: Any) -> LogLine:
    """Make an INFO line of the job's trace; `ms` is its time in milliseconds."""
    made = LogLine(
        time=at(fields.pop("ms", 15.0)),
        service=service,
        instance=f"{service}-1",
        severity="INFO",
        body=body,
        trace_id=fields.pop("trace", TRACE),
        span_id=span_id("root"),
        sampled=True,
        attributes={"job_id": JOB},
        resource={"service.name": service},
        source="collector",
        seen=END + 1,
    )
    return replace(made, **fields)


def sample(name: str, value: float, **fields: Any) -> Sample:
    """Make a synthetic counter sample after the job; `labels` stand beside the mark.

    The family is `name` without `_total`, `_count`, `_sum`, `_bucket` unless `metric` says so;
    `before=True` reads it before the job, `mark=""` leaves the mark off, `exemplar` is a trace id.
    """
    family = name
    for suffix in ("_total", "_count", "_sum", "_bucket"):
        family = family.removesuffix(suffix)
    mark = fields.pop("mark", "synthetic")
    labels: Mapping[str, str] = fields.pop("labels", {})
    early = fields.pop("before", False)
    trace = fields.pop("exemplar", "")
    service = fields.pop("service", "embedding-api")
    made = Sample(
        metric=family,
        name=name,
        type="counter",
        labels={**({"traffic": mark} if mark else {}), **labels},
        value=value,
        time=None,
        exemplar=Exemplar({"trace_id": trace}, value, None) if trace else None,
        service=service,
        instance=f"{service}-1",
        phase=Phase.BEFORE if early else Phase.AFTER,
        source="scrape",
        seen=BEGIN - 1 if early else END + 1,
    )
    return replace(made, **fields)


def hit(trace: str, after: float = 31.0, source: str = "tempo") -> SearchHit:
    """Make a trace that a search found so many seconds after the job's end."""
    return SearchHit(trace, source, END + after)


def job(**fields: Any) -> Job:
    """Make a job of ours that passed."""
    made = Job(
        id=JOB,
        run_id="obs-1",
        target="pipeline",
        state=JobState.PASSED,
        status="done",
        detail="",
        fields={},
        traces=(TraceRef(TRACE, "sent"),),
        sent_parent=SENT,
        existing=False,
        submitted=BEGIN,
        ended=END,
    )
    return replace(made, **fields)


def existing_job(**fields: Any) -> Job:
    """Make a job that somebody else submitted and of which only its trace id is known."""
    other = {
        "state": JobState.UNKNOWN,
        "status": "",
        "traces": (TraceRef(TRACE, "given"),),
        "sent_parent": "",
        "existing": True,
        "submitted": None,
    }
    return job(**{**other, **fields})


_REASONS: Final[Mapping[CoverageState, str]] = {
    CoverageState.OPEN: "waiting for evidence",
    CoverageState.SETTLED: "nothing new for 2 s",
    CoverageState.EXHAUSTED: "answered in full 5 s after the job's end",
    CoverageState.UNPROVEN: "answers, but shows nothing of this run",
    CoverageState.UNREACHABLE: "connection refused",
    CoverageState.ABSENT: "no source is configured",
}


def coverage(state: CoverageState, **signals: CoverageState) -> dict[Signal, Coverage]:
    """Return `state` for every signal but those named (`traces=CoverageState.OPEN`)."""
    states = {signal: signals.get(signal.value, state) for signal in Signal}
    return {
        signal: Coverage(each, f"{signal}: {_REASONS[each]}", ("collector",))
        for signal, each in states.items()
    }


def evidence(  # flat on purpose: a test names only the part that it is about
    spans: Sequence[Span] = (),
    logs: Sequence[LogLine] = (),
    samples: Sequence[Sample] = (),
    state: CoverageState = CoverageState.SETTLED,
    **fields: Any,
) -> Evidence:
    """Make evidence of `job()`, complete for every signal unless `state` says otherwise."""
    alerts: tuple[Alert, ...] = ()
    made = Evidence(
        job=job(),
        spans=tuple(spans),
        logs=tuple(logs),
        samples=tuple(samples),
        alerts=alerts,
        sources=(),
        coverage=coverage(state),
        job_id_keys=("job.id", "job_id"),
        skew=0.05,
        now=NOW,
    )
    return replace(made, **fields)
