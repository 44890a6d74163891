"""Made-up trace stores for the trials: what they have comes by the clock."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import requests
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Status, TracesData

from tests.sources import encode
from tests.sources.servers import Canned
from tests.traces import EPOCH
from validator.model import LogLine, Signal, Span, SpanKind, SpanStatus
from validator.sources.collector import wire
from validator.sources.collector.ingest import Ingest, Stores
from validator.sources.collector.limits import Limits
from validator.sources.collector.metrics import MetricStore
from validator.sources.collector.store import Store
from validator.sources.otlp_json import to_json
from validator.testing import FakeClock

Rows = list[tuple[float, Span]]
"""Spans, each with the seconds from the start after which it is readable."""

_KINDS = {kind: number for number, kind in enumerate(
    (SpanKind.UNSPECIFIED, SpanKind.INTERNAL, SpanKind.SERVER, SpanKind.CLIENT, SpanKind.PRODUCER,
     SpanKind.CONSUMER))}  # fmt: skip


def otlp(span: Span) -> ResourceSpans:
    """Return a span as OTLP has it, in a resource of its own."""
    message = ResourceSpans()
    own = {"service.name": span.service, "service.instance.id": span.instance, **span.resource}
    message.resource.attributes.extend(encode.pairs(own))
    sent = message.scope_spans.add().spans.add(
        trace_id=bytes.fromhex(span.trace_id),
        span_id=bytes.fromhex(span.span_id),
        parent_span_id=bytes.fromhex(span.parent_id),
        name=span.name,
        kind=_KINDS[span.kind],
        start_time_unix_nano=span.start,
        end_time_unix_nano=span.end,
        attributes=encode.pairs(span.attributes),
    )
    if span.status is SpanStatus.ERROR:
        sent.status.code = Status.STATUS_CODE_ERROR
    return message


@dataclass
class TraceBackend:
    """What both trace stores share: traces by id, and control records that come in over OTLP."""

    clock: FakeClock
    rows: Rows
    planted: list[tuple[float, ResourceSpans]] = field(default_factory=list)

    def trace(self, trace_id: str) -> TracesData:
        """Return what is readable of a trace."""
        elapsed = self.clock.time - EPOCH
        known = [(at, otlp(span)) for at, span in self.rows] + self.planted
        found = [one for at, one in known if at <= elapsed and _trace_of(one) == trace_id]
        return TracesData(resource_spans=found)

    def plant(self, request: requests.PreparedRequest, *, elsewhere: bool) -> Canned:
        """Take a control record."""
        assert isinstance(request.body, bytes)
        sent = ExportTraceServiceRequest.FromString(request.body)
        at = self.clock.time - EPOCH + 0.2
        self.planted += [(at, one) for one in sent.resource_spans if not elsewhere]
        return Canned(media="application/x-protobuf")


def _trace_of(message: ResourceSpans) -> str:
    return str(message.scope_spans[0].spans[0].trace_id.hex())


class FakeTempo(TraceBackend):
    """Answers as Tempo 3 does: an empty trace where it has none."""

    def answer(self, request: requests.PreparedRequest, *, elsewhere: bool) -> Canned:
        """Return the trace that is asked for, as JSON where protobuf is not wanted."""
        path = urlsplit(str(request.url)).path
        if path.endswith("/v1/traces"):
            return self.plant(request, elsewhere=elsewhere)
        if path == "/api/search":
            return Canned(body=b'{"traces":[],"metrics":{"completedJobs":1,"totalJobs":1}}')
        trace = TracesData() if elsewhere else self.trace(path.rpartition("/")[2])
        wrapped = TraceByIdAnswer(trace)
        return Canned(body=wrapped, media="application/protobuf")


def TraceByIdAnswer(trace: TracesData) -> bytes:  # noqa: N802 - tempopb's message of that name
    """Return Tempo's answer: the trace as field 1, and the metrics of the query as field 2."""
    inner = trace.SerializeToString()
    size, length = b"", len(inner)
    while length > 127:
        size, length = size + bytes([length & 127 | 128]), length >> 7
    return b"\x0a" + size + bytes([length]) + inner + b"\x12\x02\x08\x05"


class FakeJaeger(TraceBackend):
    """Answers as Jaeger's API v3 does: 404 where it has no trace."""

    def answer(self, request: requests.PreparedRequest, *, elsewhere: bool) -> Canned:
        """Return the trace that is asked for."""
        path = urlsplit(str(request.url)).path
        if path.endswith("/v1/traces"):
            return self.plant(request, elsewhere=elsewhere)
        if path == "/api/services":
            return Canned(body=b'{"data":[],"total":0,"errors":null}')
        trace = TracesData() if elsewhere else self.trace(path.rpartition("/")[2])
        if not trace.resource_spans:
            missing = b'{"error":{"httpCode":404,"message":"trace not found"}}\n'
            return Canned(404, missing, "text/plain; charset=utf-8")
        body = json.dumps({"result": to_json(trace)}).encode()
        return Canned(body=body, media="text/plain; charset=utf-8")


@dataclass
class FakeCollector:
    """The built-in collector's own memory and API, fed by the clock."""

    clock: FakeClock
    rows: Rows
    lines: list[tuple[float, LogLine]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin empty; whoever answers elsewhere is a collector too."""
        self.clock.time -= 60  # they began to listen before the run
        self._ours, self._theirs = self._stores(), self._stores()
        self.clock.time += 60
        self._waiting = [(at, self._encoded(span)) for at, span in self.rows]

    def _stores(self) -> Stores:
        limits = Limits()
        items = Store(limits, ["job.id"], self.clock)
        return Stores(items, MetricStore(limits, self.clock), self.clock)

    def _encoded(self, span: Span) -> bytes:
        return ExportTraceServiceRequest(resource_spans=[otlp(span)]).SerializeToString()

    def answer(self, request: requests.PreparedRequest, *, elsewhere: bool) -> Canned:
        """Take control records in, or answer for evidence."""
        elapsed = self.clock.time - EPOCH
        for at, sent in self._waiting:
            if at <= elapsed:
                Ingest(self._ours).take(Signal.TRACES, sent, as_json=False)
        self._waiting = [row for row in self._waiting if row[0] > elapsed]
        stores = self._theirs if elsewhere else self._ours
        path, body = urlsplit(str(request.url)).path, request.body
        if path in ("/v1/traces", "/v1/logs"):
            assert isinstance(body, bytes)
            if not elsewhere:
                Ingest(stores).take(Signal(path[4:]), body, as_json=False)
            return Canned(media="application/x-protobuf")
        assert isinstance(body, bytes)
        asked = parse_qs(body.decode(), keep_blank_values=True)
        question = wire.question_of(lambda name: asked.get(name, []), ["job.id"])
        signal = Signal(asked["signal"][0])
        evidence: Iterable[bytes] = wire.protobuf_of(signal, stores.items.ask(signal, question))
        return Canned(body=b"".join(evidence), media="application/vnd.obs-validator.evidence")
