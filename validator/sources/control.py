"""Control records: what the validator itself sends the way that telemetry comes in.

Where the record can be read again, the way there and the question (source, tenant, window) work,
and what is not there is missing; where it cannot, nothing is known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from validator.errors import SourceFailure
from validator.model import Signal
from validator.sources.http import Call, Http, Reply, shown
from validator.sources.otlp_json import NotOtlpError, parse_json

_HEADERS = {"Content-Type": "application/x-protobuf"}


@dataclass(frozen=True, slots=True)
class Control:
    """Where control records of one source go in.

    `endpoint` is an OTLP/HTTP endpoint without `/v1/…`; `http` carries its credentials, which need
    not be those of reading. `signals` are those that the source is read for.
    """

    endpoint: str
    http: Http
    signals: tuple[Signal, ...] = (Signal.TRACES, Signal.LOGS)

    def plant(self, trace_id: str) -> None:
        """Send a span, a log record, or both, of trace `trace_id`; raises `SourceError`."""
        plant(self.http, self.endpoint, trace_id, self.signals)


def plant(
    http: Http,
    endpoint: str,
    trace_id: str,
    signals: Iterable[Signal] = (Signal.TRACES, Signal.LOGS),
) -> None:
    """Send a record of `trace_id` for each of `signals` to an OTLP/HTTP endpoint."""
    now = int(http.clock.now() * 1e9)
    service = KeyValue(key="service.name", value=AnyValue(string_value="obs-validator"))
    resource = Resource(attributes=[service])
    trace, span = bytes.fromhex(trace_id), bytes.fromhex(trace_id[:16])

    traces = ExportTraceServiceRequest()
    traces.resource_spans.add(resource=resource).scope_spans.add().spans.add(
        trace_id=trace,
        span_id=span,
        name="control record",
        kind=Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=now,
        end_time_unix_nano=now,
    )
    logs = ExportLogsServiceRequest()
    logs.resource_logs.add(resource=resource).scope_logs.add().log_records.add(
        time_unix_nano=now,
        trace_id=trace,
        span_id=span,
        flags=1,
        severity_text="INFO",
        body=AnyValue(string_value="control record"),
    )
    bodies = {Signal.TRACES: traces, Signal.LOGS: logs}
    for signal in signals:
        url = f"{endpoint}/v1/{signal}"
        sent = bodies[signal].SerializeToString()
        reply = http.call(Call(url, method="POST", headers=_HEADERS, body=sent))
        said = _refusal(signal, reply)
        if said:
            raise http.error(SourceFailure.NONSENSE, f"{shown(url)} {said}")


def _refusal(signal: Signal, reply: Reply) -> str:
    """Say why a good status does not mean that a record was taken; empty if it does.

    The body is OTLP's answer or nothing (Loki's 204): another may be a gateway's.
    """
    answer = (
        ExportTraceServiceResponse() if signal is Signal.TRACES else ExportLogsServiceResponse()
    )
    try:
        if reply.media == "application/json" and reply.body:
            parse_json(reply.body, answer)
        elif reply.media == "application/x-protobuf":
            answer.ParseFromString(reply.body)
    except (NotOtlpError, DecodeError):
        return f"answered {reply.media} that is not OTLP's: is it an OTLP/HTTP endpoint?"
    told = answer.partial_success
    rejected = getattr(told, "rejected_spans", 0) or getattr(told, "rejected_log_records", 0)
    return f"rejected the record ({told.error_message})" if rejected else ""
