"""Jaeger's own JSON (`/api/traces`) to spans: references, tags, processes and logs.

Tags have types; times are in microseconds. What OTLP calls kind, status and scope are tags there:
https://opentelemetry.io/docs/specs/otel/trace/sdk_exporters/jaeger/ (of OTLP to Jaeger).
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
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
from validator.sources.otlp import Oddities, text_of
from validator.sources.otlp_json import NotOtlpError
from validator.sources.otlp_json_spans import id_of, note_odd
from validator.sources.otlp_spans import Decoded

_MICROSECOND = 1000
_KINDS = {kind.lower(): kind for kind in SpanKind}
_OWN = frozenset(
    {
        "span.kind",
        "error",
        "otel.status_code",
        "otel.status_description",
        "otel.scope.name",
        "otel.scope.version",
        "otel.library.name",
        "otel.library.version",
        "internal.span.format",
        "w3c.tracestate",
    }
)
"""Tags that stand for a field of a span and are no attributes."""
_VALUES: Mapping[str, Callable[[Any], AttributeValue]] = {
    "string": str,
    "bool": lambda shown: shown if isinstance(shown, bool) else shown == "true",
    "int64": int,
    "float64": float,
    "binary": base64.b64decode,
}


def spans_in(data: Any, source: str, seen: float) -> Decoded:
    """Return the spans of a list of Jaeger's traces; raises `NotOtlpError` if it is none."""
    spans: list[Span] = []
    oddities, warnings, faults = Oddities(), Oddities(), Oddities()
    try:
        for trace in data:
            processes = {
                key: _Process(shown, source, seen) for key, shown in trace["processes"].items()
            }
            for warning in trace.get("warnings") or ():
                warnings.note(warned(warning), "", f"trace {trace['traceID']}")
            for span in trace["spans"]:
                process = processes[span["processID"]]
                read = process.span(span)
                if read is None:
                    example = f"span {span.get('spanID')!r} of {span.get('traceID')!r}"[:80]
                    faults.note("are invalid and were left out", process.service, example)
                    continue
                spans.append(read)
                note_odd(read, oddities, links=len(read.links))
                for warning in span.get("warnings") or ():
                    example = f"span {read.span_id} of trace {read.trace_id}"
                    warnings.note(warned(warning), read.service, example)
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        raise NotOtlpError(f"no traces of Jaeger's ({type(exc).__name__}: {exc})"[:300]) from exc
    told = faults.findings()
    findings = (*told, *warnings.findings(), *oddities.findings())
    return Decoded(tuple(spans), whole=not told, findings=findings)


def warned(warning: Any) -> str:
    """Return a warning of Jaeger's in words that follow "n of service x"."""
    return f"have a warning of Jaeger's: {str(warning)[:200]}"


class _Process:
    """Who sent spans: a service and its resource."""

    def __init__(self, shown: Mapping[str, Any], source: str, seen: float) -> None:
        """Read a process of Jaeger's."""
        self.service = str(shown["serviceName"])
        tags = _attributes(shown.get("tags") or ())
        self._resource = {"service.name": self.service, **tags}
        self._instance = text_of(tags.get("service.instance.id"))
        self._source = source
        self._seen = seen

    def span(self, shown: Mapping[str, Any]) -> Span | None:
        """Return a span; None if its ids are none."""
        tags = _attributes(shown.get("tags") or ())
        trace_id, span_id = _ids(shown)
        if not trace_id or not span_id:
            return None
        parent, links = _references(shown.get("references") or (), trace_id)
        start = int(shown["startTime"]) * _MICROSECOND
        return Span(
            trace_id=trace_id,
            span_id=span_id,
            parent_id=parent,
            name=shown["operationName"],
            kind=_KINDS.get(str(tags.get("span.kind", "")), SpanKind.UNSPECIFIED),
            service=self.service,
            instance=self._instance,
            start=start,
            end=start + int(shown["duration"]) * _MICROSECOND,
            status=_status(tags),
            status_message=text_of(tags.get("otel.status_description")),
            attributes={key: value for key, value in tags.items() if key not in _OWN},
            resource=self._resource,
            links=links,
            events=tuple(map(_event, shown.get("logs") or ())),
            scope=text_of(tags.get("otel.scope.name", tags.get("otel.library.name"))),
            source=self._source,
            seen=self._seen,
        )


def _references(shown: Iterable[Mapping[str, Any]], trace_id: str) -> tuple[str, tuple[Link, ...]]:
    """Return the parent, which is the first CHILD_OF in the same trace, and the links."""
    parent, links = "", []
    for reference in shown:
        trace, span = _ids(reference)
        if not parent and reference["refType"] == "CHILD_OF" and trace == trace_id:
            parent = span
        elif trace and span:
            links.append(Link(trace, span))
    return parent, tuple(links)


def _ids(shown: Mapping[str, Any]) -> tuple[str, str]:
    """Return a trace's and a span's id, which old versions give without leading zeros."""
    return (
        id_of(shown["traceID"].rjust(32, "0"), 32),
        id_of(shown["spanID"].rjust(16, "0"), 16),
    )


def _status(tags: Attributes) -> SpanStatus:
    """Return the status; `error` is OpenTracing's word for it."""
    code = tags.get("otel.status_code")
    if code == "ERROR" or tags.get("error") in (True, "true"):
        return SpanStatus.ERROR
    return SpanStatus.OK if code == "OK" else SpanStatus.UNSET


def _event(log: Mapping[str, Any]) -> SpanEvent:
    """Return a log as an event, whose name is the field `event`."""
    fields = dict(_attributes(log["fields"]))
    name = text_of(fields.pop("event", ""))
    return SpanEvent(name, int(log["timestamp"]) * _MICROSECOND, fields)


def _attributes(tags: Iterable[Mapping[str, Any]]) -> Attributes:
    """Return tags as attributes."""
    return {tag["key"]: _VALUES.get(tag.get("type", ""), str)(tag["value"]) for tag in tags}
