"""What a job of the benchmark's target leaves, in which steps, and how each scenario breaks it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from bench import lag_truth
from validator.clock import SystemClock


@dataclass(slots=True)
class Job:
    """A job; times are on the monotonic clock. `traces` to `lines` are what it leaves."""

    id: str
    scenario: str
    trace_id: str
    parent_id: str
    begun: float
    ends: float = 0.0
    traces: list[str] = field(default_factory=list)
    first: str = ""
    spans: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def status(self, now: float) -> str:
        """Return the job's status, as the target shows it from the first moment on."""
        return "done" if now >= self.begun + self.ends else "running"


@dataclass(frozen=True, slots=True)
class Step:
    """One export: when, in seconds after the job's begin, of which signal, and its bytes."""

    at: float
    signal: str
    body: bytes


def steps_of(job: Job, rng: random.Random) -> list[Step]:
    """Plan a job: what it exports while it runs, its end, and what comes after its end."""
    api = rng.uniform(0.01, 0.04)
    worker = api + rng.uniform(0.02, 0.06)
    store = worker + rng.uniform(0.02, 0.08)
    job.ends = store + rng.uniform(0.0, 0.06)
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
        maker.spans(job.ends + rng.uniform(0.02, 0.25), "worker", [
            ("finish task", last, run, kinds.SPAN_KIND_INTERNAL, {}),
        ]),
        maker.line(job.ends + rng.uniform(0.02, 0.25), "worker", run),
    ]  # fmt: skip
    job.first = root
    return sorted(steps, key=lambda step: step.at)


def _store(maker: _Maker, at: float, caller: str) -> list[Step]:
    """Return what the last service exports; it is this one that the scenarios break."""
    scenario = maker.job.scenario
    span = maker.id()
    line = maker.line(at, "store", "")
    if scenario == lag_truth.SERVICE:
        return [line]
    rows = {} if scenario == lag_truth.ATTRIBUTE else {"db.rows": "7"}
    lost = scenario == lag_truth.CONTEXT
    row = ("PUT /rows", span, "" if lost else caller, Span.SPAN_KIND_SERVER, rows)
    return [maker.spans(at, "store", [row], trace_id=maker.id(16) if lost else ""), line]


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
        return Step(at, "traces", request.SerializeToString())

    def line(self, at: float, service: str, span_id: str) -> Step:
        """Return an export of one log line."""
        self.lines += 1
        body = f"line {self.lines} of {self.job.id}"
        request = ExportLogsServiceRequest()
        scope = request.resource_logs.add(resource=_resource(service)).scope_logs.add()
        record = scope.log_records.add(
            time_unix_nano=int((SystemClock().now() + at) * 1e9),
            trace_id=bytes.fromhex(self.job.trace_id),
            span_id=bytes.fromhex(span_id),
            flags=1,
            severity_text="INFO",
        )
        record.body.string_value = body
        record.attributes.add(key="job.id").value.string_value = self.job.id
        self.job.lines.append(body)
        return Step(at, "logs", request.SerializeToString())


def _resource(service: str) -> Resource:
    resource = Resource()
    resource.attributes.add(key="service.name").value.string_value = service
    resource.attributes.add(key="service.instance.id").value.string_value = f"{service}-1"
    return resource
