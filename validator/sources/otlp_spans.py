"""The spans of OTLP's messages as trace stores answer them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from validator.model import Span
from validator.sources.otlp import Oddities, origin_of, span_fault, span_of


@dataclass(frozen=True, slots=True)
class Decoded:
    """Spans, whether they are all that was answered, and what is odd about them."""

    spans: tuple[Span, ...] = ()
    whole: bool = True
    findings: tuple[str, ...] = ()


def spans_of(resource_spans: Iterable[ResourceSpans], source: str, seen: float) -> Decoded:
    """Return the spans; those that are invalid are left out, and told."""
    spans: list[Span] = []
    oddities, faults = Oddities(), Oddities()
    for block in resource_spans:
        for scope in block.scope_spans:
            origin = origin_of(block.resource, scope.scope, source, seen)
            for span in scope.spans:
                if fault := span_fault(span):
                    faults.note("are invalid and were left out", origin.service, fault)
                else:
                    spans.append(span_of(span, origin, oddities))
    told = faults.findings()
    return Decoded(tuple(spans), whole=not told, findings=(*told, *oddities.findings()))
