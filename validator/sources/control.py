"""Control records: what the validator itself sends to a collector to show that it works."""

from __future__ import annotations

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from validator.sources.http import Call, Http

_HEADERS = {"Content-Type": "application/x-protobuf"}


def plant(http: Http, endpoint: str, trace_id: str) -> None:
    """Send a span and a log record of `trace_id` to an OTLP/HTTP endpoint."""
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
    for path, body in (("traces", traces), ("logs", logs)):
        http.call(
            Call(
                f"{endpoint}/v1/{path}",
                method="POST",
                headers=_HEADERS,
                body=body.SerializeToString(),
            )
        )
