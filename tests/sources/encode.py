"""The model as OTLP: what a sender would put on the wire."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    KeyValue,
    KeyValueList,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from validator.model import AttributeValue

SECOND = 1_000_000_000
NOW = 1_800_000_000 * SECOND


def any_value(value: AttributeValue) -> AnyValue:
    """Return a value as OTLP has it."""
    shown = AnyValue()
    if isinstance(value, bool):
        shown.bool_value = value
    elif isinstance(value, str):
        shown.string_value = value
    elif isinstance(value, int):
        shown.int_value = value
    elif isinstance(value, float):
        shown.double_value = value
    elif isinstance(value, bytes):
        shown.bytes_value = value
    elif isinstance(value, tuple):
        shown.array_value.CopyFrom(ArrayValue(values=[any_value(v) for v in value]))
    elif value is not None:
        shown.kvlist_value.CopyFrom(KeyValueList(values=pairs(value)))
    return shown


def pairs(attributes: Mapping[str, AttributeValue]) -> list[KeyValue]:
    """Return attributes as OTLP has them."""
    return [KeyValue(key=key, value=any_value(value)) for key, value in attributes.items()]


@dataclass(frozen=True)
class Row:
    """A span or log record, as little of it as a test cares for; ids in hex."""

    trace: str
    span: str = "0000000000000001"
    parent: str = ""
    service: str = "scraper"
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    links: tuple[tuple[str, str], ...] = ()
    start: int = NOW
    end: int = NOW + SECOND


def traces(rows: Iterable[Row]) -> ExportTraceServiceRequest:
    """Return rows as a request, each in a resource of its own."""
    request = ExportTraceServiceRequest()
    for row in rows:
        resource = request.resource_spans.add(resource=_resource(row.service))
        span = resource.scope_spans.add().spans.add(
            trace_id=bytes.fromhex(row.trace),
            span_id=bytes.fromhex(row.span),
            parent_span_id=bytes.fromhex(row.parent),
            name="work",
            kind=2,
            start_time_unix_nano=row.start,
            end_time_unix_nano=row.end,
            attributes=pairs(row.attributes),
        )
        for trace_id, span_id in row.links:
            span.links.add(trace_id=bytes.fromhex(trace_id), span_id=bytes.fromhex(span_id))
    return request


def logs(rows: Iterable[Row]) -> ExportLogsServiceRequest:
    """Return rows as a request of log records."""
    request = ExportLogsServiceRequest()
    for row in rows:
        resource = request.resource_logs.add(resource=_resource(row.service))
        resource.scope_logs.add().log_records.add(
            time_unix_nano=row.start,
            trace_id=bytes.fromhex(row.trace),
            span_id=bytes.fromhex(row.span),
            severity_number=9,
            body=AnyValue(string_value="working"),
            attributes=pairs(row.attributes),
            flags=1,
        )
    return request


def _resource(service: str) -> Resource:
    """Return a resource; a service of "" is sent as an empty name."""
    return Resource(attributes=pairs({"service.name": service, "service.instance.id": "i-1"}))
