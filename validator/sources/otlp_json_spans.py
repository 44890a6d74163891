"""OTLP's JSON to spans, directly: protobuf's own JSON reader takes minutes for a large trace.

Ids come in hex digits (OTLP, Jaeger) or in base64 (protobuf's JSON, Tempo): a trace id has 32 of
the one or 24 of the other, so that nothing is guessed. Enums come as names or as numbers, 64-bit
integers as text or as numbers.
"""

from __future__ import annotations

import base64
import binascii
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

from validator.model import (
    Attributes,
    AttributeValue,
    Link,
    Span,
    SpanEvent,
    SpanKind,
    SpanStatus,
)
from validator.sources.otlp import MANY_ATTRIBUTES, Oddities, Origin, text_of
from validator.sources.otlp_json import NotOtlpError
from validator.sources.otlp_spans import Decoded

_KINDS: Mapping[Any, SpanKind] = {
    key: kind
    for number, kind in enumerate(
        (SpanKind.INTERNAL, SpanKind.SERVER, SpanKind.CLIENT, SpanKind.PRODUCER, SpanKind.CONSUMER),
        start=1,
    )
    for key in (number, f"SPAN_KIND_{kind}")
}
_STATUSES: Mapping[Any, SpanStatus] = {
    1: SpanStatus.OK,
    "STATUS_CODE_OK": SpanStatus.OK,
    2: SpanStatus.ERROR,
    "STATUS_CODE_ERROR": SpanStatus.ERROR,
}
_HEX = {length: re.compile(f"[0-9a-fA-F]{{{length}}}") for length in (16, 32)}
_ZEROS = re.compile("0*")


def spans_in(resource_spans: Any, source: str, seen: float) -> Decoded:
    """Return the spans of a JSON list of `ResourceSpans`; raises `NotOtlpError` if it is none."""
    spans: list[Span] = []
    oddities, faults = Oddities(), Oddities()
    try:
        for block in resource_spans:
            resource = _attributes(block.get("resource", {}).get("attributes", ()))
            for scope in block.get("scopeSpans", ()):
                origin = Origin(
                    service=text_of(resource.get("service.name")),
                    instance=text_of(resource.get("service.instance.id")),
                    resource=resource,
                    scope=scope.get("scope", {}).get("name", ""),
                    source=source,
                    seen=seen,
                )
                for span in scope.get("spans", ()):
                    read = _span(span, origin, oddities)
                    if isinstance(read, Span):
                        spans.append(read)
                    else:
                        faults.note("are invalid and were left out", origin.service, read)
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        raise NotOtlpError(f"not OTLP's spans ({type(exc).__name__}: {exc})"[:300]) from exc
    told = faults.findings()
    return Decoded(tuple(spans), whole=not told, findings=(*told, *oddities.findings()))


def _span(span: dict[str, Any], origin: Origin, oddities: Oddities) -> Span | str:
    """Return a span, or why it is none."""
    trace_id, span_id = id_of(span.get("traceId", ""), 32), id_of(span.get("spanId", ""), 16)
    if not trace_id or not span_id:
        wrong, length = ("traceId", 16) if not trace_id else ("spanId", 8)
        return f"{wrong} {str(span.get(wrong, ''))[:40]!r} is not {length} bytes other than zeros"
    parent = span.get("parentSpanId", "")
    parent_id = id_of(parent, 16)
    if not parent_id and not _ZEROS.fullmatch(parent):
        return f"parentSpanId {parent[:40]!r} is neither empty nor 8 bytes"
    status = span.get("status", {})
    sent = span.get("links", ())
    read = Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=parent_id,
        name=sys.intern(span.get("name", "")),
        kind=_KINDS.get(span.get("kind"), SpanKind.UNSPECIFIED),
        service=origin.service,
        instance=origin.instance,
        start=int(span.get("startTimeUnixNano", 0)),
        end=int(span.get("endTimeUnixNano", 0)),
        status=_STATUSES.get(status.get("code"), SpanStatus.UNSET),
        status_message=status.get("message", ""),
        attributes=_attributes(span.get("attributes", ())),
        resource=origin.resource,
        links=tuple(link for link in map(_link, sent) if link.trace_id and link.span_id),
        events=tuple(
            SpanEvent(
                event.get("name", ""),
                int(event.get("timeUnixNano", 0)),
                _attributes(event.get("attributes", ())),
            )
            for event in span.get("events", ())
        ),
        scope=origin.scope,
        source=origin.source,
        seen=origin.seen,
    )
    note_odd(read, oddities, links=len(sent))
    return read


def note_odd(span: Span, oddities: Oddities, *, links: int) -> None:
    """Note what is unusual about a span that was sent with so many `links`."""
    odd = (
        (not span.service, "came without a service.name"),
        (not span.start, "have a start time of 0"),
        (span.end < span.start, "end before they start"),
        (
            len(span.attributes) > MANY_ATTRIBUTES,
            f"have more than {MANY_ATTRIBUTES} attributes",
        ),
        (len(span.links) < links, "have a link whose ids are invalid, which was left out"),
    )
    for is_so, what in odd:
        if is_so:
            oddities.note(what, span.service, f"span {span.span_id} of trace {span.trace_id}")


def _link(link: dict[str, Any]) -> Link:
    """Return a link; ids that are none are empty."""
    return Link(
        id_of(link.get("traceId", ""), 32),
        id_of(link.get("spanId", ""), 16),
        _attributes(link.get("attributes", ())),
    )


def id_of(text: str, digits: int) -> str:
    """Return an id in lower-case hex, empty if it is none or all zeros."""
    if len(text) == digits:
        found = text.lower() if _HEX[digits].fullmatch(text) else ""
    else:
        try:
            found = base64.b64decode(text, validate=True).hex()
        except binascii.Error:
            return ""
    return found if len(found) == digits and not _ZEROS.fullmatch(found) else ""


def _attributes(pairs: Any) -> Attributes:
    """Return attributes as a mapping."""
    return {sys.intern(pair["key"]): _value(pair.get("value", {})) for pair in pairs}


def _value(value: dict[str, Any]) -> AttributeValue:
    """Return an `AnyValue`; one that is not set is None."""
    for kind, shown in value.items():
        if kind in _VALUES and shown is not None:
            return _VALUES[kind](shown)
    return None


_VALUES: Mapping[str, Callable[[Any], AttributeValue]] = {
    "stringValue": str,
    "intValue": int,
    "boolValue": bool,
    "doubleValue": float,
    "bytesValue": base64.b64decode,
    "arrayValue": lambda shown: tuple(map(_value, shown.get("values", ()))),
    "kvlistValue": lambda shown: _attributes(shown.get("values", ())),
}
