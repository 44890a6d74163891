"""What a job of the benchmark's target leaves, in which steps, and how each scenario breaks it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from bench import lag_truth
from validator.clock import SystemClock


@dataclass(slots=True)
class Job:
    """A job; times are on the monotonic clock. `traces` to `lines` are what it leaves.

    `sent` says when the sending of each span (by its id) and line (by its body) began. With `late`,
    a failed span comes so many seconds after everything else.
    """

    id: str
    scenario: str
    trace_id: str
    parent_id: str
    begun: float
    late: float = 0.0
    ends: float = 0.0
    traces: list[str] = field(default_factory=list)
    first: str = ""
    spans: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    sent: dict[str, float] = field(default_factory=dict)

    def status(self, now: float) -> str:
        """Return the job's status, as the target shows it from the first moment on."""
        return "done" if now >= self.begun + self.ends else "running"


@dataclass(frozen=True, slots=True)
class Step:
    """One export: when, in seconds after the job's begin, of which signal, its bytes, pieces."""

    at: float
    signal: str
    body: bytes
    pieces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """Between which bounds, in seconds, the parts of a job last.

    From its begin to the first service's export, from there to the worker's, from there to the
    store's, from there to its end, and from its end to each of its last two exports.
    """

    api: tuple[float, float]
    worker: tuple[float, float]
    store: tuple[float, float]
    end: tuple[float, float]
    after: tuple[float, float]


QUICK = "quick"
LONG = "long"
SHAPES = {
    QUICK: Shape((0.01, 0.04), (0.02, 0.06), (0.02, 0.08), (0.0, 0.06), (0.02, 0.25)),
    LONG: Shape((0.05, 0.15), (0.6, 0.9), (0.9, 1.2), (0.4, 0.7), (0.02, 0.3)),
}
"""`quick` is over within 0.2 s, so that many runs take little time; `long` takes about 2.5 s."""


def steps_of(job: Job, rng: random.Random, shape: Shape) -> list[Step]:
    """Plan a job: what it exports while it runs, its end, and what comes after its end."""
    api = rng.uniform(*shape.api)
    worker = api + rng.uniform(*shape.worker)
    store = worker + rng.uniform(*shape.store)
    job.ends = store + rng.uniform(*shape.end)
    maker = _Maker(job, random.Random(job.trace_id))
    root = maker.id()
    publish, run, last = maker.id(), maker.id(), maker.id()
    kinds = Span
    user = {} if job.scenario == lag_truth.FINAL else {"app.user": "u-1"}
    steps = [
        maker.spans(api, "api", [
            ("POST /jobs", root, job.parent_id, kinds.SPAN_KIND_SERVER, user),
            ("publish task", publish, root, kinds.SPAN_KIND_PRODUCER, {}),
        ]),
        maker.line(api, "api", root),
        maker.spans(worker, "worker", [
            ("run task", run, publish, kinds.SPAN_KIND_CONSUMER, {"messaging.message.id": "t-1"}),
        ]),
        maker.line(worker, "worker", run),
        *_store(maker, store, run),
        maker.spans(job.ends + rng.uniform(*shape.after), "worker", [
            ("finish task", last, run, kinds.SPAN_KIND_INTERNAL, {}),
        ]),
        maker.line(job.ends + rng.uniform(*shape.after), "worker", run),
    ]  # fmt: skip
    if job.late:
        steps.append(maker.failed(max(step.at for step in steps) + job.late, run))
    job.first = root
    return sorted(steps, key=lambda step: step.at)


def _store(maker: _Maker, at: float, caller: str) -> list[Step]:
    """Return what the last service exports; it is this one that the scenarios break."""
    scenario = maker.job.scenario
    span = maker.id()
    if scenario == lag_truth.SERVICE:
        return [maker.line(at, "store", "")]
    rows = {} if scenario == lag_truth.ATTRIBUTE else {"db.rows": "7"}
    lost = scenario == lag_truth.CONTEXT
    row = ("PUT /rows", span, "" if lost else caller, Span.SPAN_KIND_SERVER, rows)
    trace_id = maker.id(16) if lost else ""
    spans = maker.spans(at, "store", [row], trace_id=trace_id)
    return [spans, maker.line(at, "store", span, trace_id=trace_id)]


_Row = tuple[str, str, str, "Span.SpanKind.ValueType", dict[str, str]]


@dataclass(slots=True)
class _Maker:
    """Makes the exports of one job, and notes what is in them; `rng` gives ids of its own."""

    job: Job
    rng: random.Random
    lines: int = 0

    def id(self, size: int = 8) -> str:
        """Return an id that no other run has."""
        return self.rng.randrange(1, 1 << (size * 8)).to_bytes(size, "big").hex()

    def spans(self, at: float, service: str, rows: list[_Row], trace_id: str = "") -> Step:
        """Return an export of spans."""
        request = ExportTraceServiceRequest()
        trace_id = trace_id or self.job.trace_id
        self.job.traces.append(trace_id)
        scope = request.resource_spans.add(resource=_resource(service)).scope_spans.add()
        start = int((SystemClock().now() + at) * 1e9)
        for name, span_id, parent, kind, attributes in rows:
            span = scope.spans.add(
                trace_id=bytes.fromhex(trace_id),
                span_id=bytes.fromhex(span_id),
                parent_span_id=bytes.fromhex(parent),
                name=name,
                kind=kind,
                start_time_unix_nano=start - 1_000_000,
                end_time_unix_nano=start,
            )
            for key, text in {"job.id": self.job.id, **attributes}.items():
                span.attributes.add(key=key).value.string_value = text
            self.job.spans.append(span_id)
            start += 1000
        pieces = tuple(span_id for _, span_id, *_ in rows)
        return Step(at, "traces", request.SerializeToString(), pieces)

    def failed(self, at: float, parent: str) -> Step:
        """Return an export of a span that tells of a failure."""
        step = self.spans(
            at, "worker", [("last words", self.id(), parent, Span.SPAN_KIND_INTERNAL, {})]
        )
        request = ExportTraceServiceRequest.FromString(step.body)
        request.resource_spans[0].scope_spans[0].spans[0].status.code = Status.STATUS_CODE_ERROR
        return replace(step, body=request.SerializeToString())

    def line(self, at: float, service: str, span_id: str, trace_id: str = "") -> Step:
        """Return an export of one log line."""
        self.lines += 1
        body = f"line {self.lines} of {self.job.id}"
        request = ExportLogsServiceRequest()
        scope = request.resource_logs.add(resource=_resource(service)).scope_logs.add()
        record = scope.log_records.add(
            time_unix_nano=int((SystemClock().now() + at) * 1e9),
            trace_id=bytes.fromhex(trace_id or self.job.trace_id),
            span_id=bytes.fromhex(span_id),
            flags=1,
            severity_text="INFO",
        )
        record.body.string_value = body
        record.attributes.add(key="job.id").value.string_value = self.job.id
        self.job.lines.append(body)
        return Step(at, "logs", request.SerializeToString(), (body,))


def _resource(service: str) -> Resource:
    resource = Resource()
    resource.attributes.add(key="service.name").value.string_value = service
    resource.attributes.add(key="service.instance.id").value.string_value = f"{service}-1"
    return resource
