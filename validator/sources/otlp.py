"""OTLP protobuf messages to the model, and what is wrong with a message piece by piece.

What the OTLP specification calls invalid is refused (`span_fault`); what it only calls unusual is
kept and remarked upon (`Oddities`), because a check should see what was really sent.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import orjson
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, SeverityNumber
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2

from validator.model import (
    Attributes,
    AttributeValue,
    Link,
    LogLine,
    Span,
    SpanEvent,
    SpanKind,
    SpanStatus,
)

MANY_ATTRIBUTES = 128
"""The default limit of the OpenTelemetry SDKs; more is kept and remarked upon."""

_KINDS: Mapping[int, SpanKind] = {
    1: SpanKind.INTERNAL,
    2: SpanKind.SERVER,
    3: SpanKind.CLIENT,
    4: SpanKind.PRODUCER,
    5: SpanKind.CONSUMER,
}
_STATUSES: Mapping[int, SpanStatus] = {1: SpanStatus.OK, 2: SpanStatus.ERROR}


@dataclass(frozen=True, slots=True)
class Origin:
    """What a batch of spans or log records shares: resource, scope, reader and time of receipt."""

    service: str
    instance: str
    resource: Attributes
    scope: str
    source: str
    seen: float


class Oddities:
    """Counts what is unusual but kept, and tells it in one line per kind and service."""

    def __init__(self) -> None:
        """Begin with nothing noted."""
        self._noted: dict[tuple[str, str], tuple[int, str]] = {}

    def note(self, what: str, service: str, example: str) -> None:
        """Count one piece of `service` of which `what` holds."""
        count, first = self._noted.get((what, service), (0, example))
        self._noted[what, service] = (count + 1, first)

    def findings(self) -> tuple[str, ...]:
        """Return a line per kind of oddity and service, in a stable order."""
        return tuple(
            f"{count} of service {service!r} {what} (the first: {first})"
            for (what, service), (count, first) in sorted(self._noted.items())
        )


def value_of(value: AnyValue) -> AttributeValue:
    """Return an `AnyValue` as the model has it, without loss."""
    text = value.string_value
    if text:  # most values are strings, and asking which it is costs more than this
        return text
    which = value.WhichOneof("value")
    if which == "string_value":
        return text
    if which == "array_value":
        return tuple(value_of(element) for element in value.array_value.values)
    if which == "kvlist_value":
        return attributes_of(value.kvlist_value.values)
    if which in {"int_value", "bool_value", "double_value", "bytes_value"}:
        plain: int | bool | float | bytes = getattr(value, which)
        return plain
    return None


def attributes_of(pairs: Iterable[KeyValue]) -> dict[str, AttributeValue]:
    """Return attributes as a mapping; of a key that comes twice the last value stands."""
    return {sys.intern(pair.key): value_of(pair.value) for pair in pairs}


def text_of(value: AttributeValue) -> str:
    """Return a value as text: a string as it is, anything else as JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return orjson.dumps(value, default=_jsonable).decode()


def _jsonable(value: object) -> object:
    """Return bytes as hex digits: JSON has no bytes (and orjson asks only for what it lacks)."""
    return value.hex() if isinstance(value, bytes) else str(value)


def origin_of(resource: Resource, scope: InstrumentationScope, source: str, seen: float) -> Origin:
    """Return what the spans or records of one scope share."""
    attributes = attributes_of(resource.attributes)
    return Origin(
        service=text_of(attributes.get("service.name")),
        instance=text_of(attributes.get("service.instance.id")),
        resource=attributes,
        scope=scope.name,
        source=source,
        seen=seen,
    )


def valid_id(raw: bytes, length: int) -> bool:
    """Whether `raw` is an id by the specification: of this length, and not all zeros."""
    return len(raw) == length and any(raw)


def span_fault(span: trace_pb2.Span) -> str:
    """Say why a span is invalid by the OTLP specification; empty if it is not."""
    if not valid_id(span.trace_id, 16):
        return f"trace_id {_described(span.trace_id)} is not 16 bytes other than zeros"
    if not valid_id(span.span_id, 8):
        return f"span_id {_described(span.span_id)} is not 8 bytes other than zeros"
    if len(span.parent_span_id) not in {0, 8}:
        return f"parent_span_id {_described(span.parent_span_id)} is neither empty nor 8 bytes"
    return ""


def _described(raw: bytes) -> str:
    """Return an id for a message, shortened."""
    return f"{raw[:16].hex() or 'empty'} ({len(raw)} bytes)"


def span_of(span: trace_pb2.Span, origin: Origin, oddities: Oddities) -> Span:
    """Return a valid span as the model has it, noting what is odd."""
    trace_id, span_id = span.trace_id.hex(), span.span_id.hex()
    for what in _span_oddities(span, origin):
        oddities.note(what, origin.service, f"span {span_id} of trace {trace_id}")
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=span.parent_span_id.hex() if any(span.parent_span_id) else "",
        name=sys.intern(span.name),
        kind=_KINDS.get(span.kind, SpanKind.UNSPECIFIED),
        service=origin.service,
        instance=origin.instance,
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        status=_STATUSES.get(span.status.code, SpanStatus.UNSET),
        status_message=span.status.message,
        attributes=attributes_of(span.attributes),
        resource=origin.resource,
        links=tuple(_links(span)),
        events=tuple(
            SpanEvent(event.name, event.time_unix_nano, attributes_of(event.attributes))
            for event in span.events
        ),
        scope=origin.scope,
        source=origin.source,
        seen=origin.seen,
    )


def _links(span: trace_pb2.Span) -> Iterator[Link]:
    """Yield the links that name a span; those with an invalid id name none."""
    for link in span.links:
        if valid_id(link.trace_id, 16) and valid_id(link.span_id, 8):
            yield Link(link.trace_id.hex(), link.span_id.hex(), attributes_of(link.attributes))


def _span_oddities(span: trace_pb2.Span, origin: Origin) -> Iterator[str]:
    """Yield what is unusual about a valid span, in words that follow "n of service x"."""
    if not origin.service:
        yield "came without a service.name"
    if not span.start_time_unix_nano:
        yield "have a start time of 0"
    if span.end_time_unix_nano < span.start_time_unix_nano:
        yield "end before they start"
    if len(span.attributes) > MANY_ATTRIBUTES:
        yield f"have more than {MANY_ATTRIBUTES} attributes"
    if span.parent_span_id and not any(span.parent_span_id):
        yield "have a parent_span_id of zeros, which names no parent"
    if any(not valid_id(k.trace_id, 16) or not valid_id(k.span_id, 8) for k in span.links):
        yield "have a link whose ids are invalid, which was left out"


def log_of(record: LogRecord, origin: Origin, oddities: Oddities) -> LogLine:
    """Return a log record as the model has it; an invalid trace id counts as none."""
    trace_id = record.trace_id.hex() if valid_id(record.trace_id, 16) else ""
    span_id = record.span_id.hex() if valid_id(record.span_id, 8) else ""
    for what in _log_oddities(record, origin):
        oddities.note(what, origin.service, f"log record at {record.time_unix_nano}")
    body = value_of(record.body)
    attributes = dict(body) if isinstance(body, Mapping) else {}
    attributes.update(attributes_of(record.attributes))
    if record.event_name:
        attributes.setdefault("event.name", record.event_name)
    return LogLine(
        time=record.time_unix_nano or record.observed_time_unix_nano,
        service=origin.service,
        instance=origin.instance,
        severity=record.severity_text or severity_name(record.severity_number),
        body=text_of(body),
        trace_id=trace_id,
        span_id=span_id,
        sampled=bool(record.flags & 1) if trace_id else None,
        attributes=attributes,
        resource=origin.resource,
        source=origin.source,
        seen=origin.seen,
    )


def _log_oddities(record: LogRecord, origin: Origin) -> Iterator[str]:
    """Yield what is unusual about a log record."""
    if not origin.service:
        yield "came without a service.name"
    if not record.time_unix_nano and not record.observed_time_unix_nano:
        yield "have a time of 0"
    if len(record.attributes) > MANY_ATTRIBUTES:
        yield f"have more than {MANY_ATTRIBUTES} attributes"
    if record.trace_id and not valid_id(record.trace_id, 16):
        yield "have a trace_id that is not 16 bytes other than zeros, which counts as none"
    if record.span_id and not valid_id(record.span_id, 8):
        yield "have a span_id that is not 8 bytes other than zeros, which counts as none"


def severity_name(number: int) -> str:
    """Return the specification's short name of a severity number, such as `INFO` or `WARN2`."""
    if number not in SeverityNumber.values() or not number:
        return ""
    return SeverityNumber.Name(SeverityNumber.ValueType(number)).removeprefix("SEVERITY_NUMBER_")
