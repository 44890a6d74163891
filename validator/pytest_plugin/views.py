"""What tests get to see: traces, spans and samples, with what is missing in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from checks._near import nearest
from checks._words import short
from validator.model import AttributeValue, Sample, Span, SpanKind, SpanStatus
from validator.report.text import duration

_OWN: Final[Mapping[str, str]] = {
    "trace_id": "trace_id",
    "span_id": "span_id",
    "parent_id": "parent_id",
    "parent_span_id": "parent_id",
    "name": "name",
    "operation": "name",
    "kind": "kind",
    "status": "status",
    "service.name": "service",
}
"""The fields of a span by the keys under which it can be asked for them."""


class SpanAttributes(dict[str, AttributeValue]):
    """A span's attributes; what is asked for and not there is told with its nearest name."""

    def __init__(self, shared: Mapping[str, AttributeValue], spans: Sequence[Span]) -> None:
        """Hold what all of `spans` share."""
        super().__init__(shared)
        self._spans = spans

    def __missing__(self, key: str) -> AttributeValue:
        """Say what is there instead."""
        raise KeyError("; ".join(self.why_not(key)))

    def why_not(self, key: object) -> list[str]:
        """Say in lines what is known of a key that is not there."""
        last = self._spans[-1]
        whose = f"span `{last.name}` of {last.service}"
        having = [span for span in self._spans if str(key) in span.attributes]
        if having:
            lacking = [short(s.span_id) for s in self._spans if str(key) not in s.attributes]
            counted = f"{len(having)} of {len(self._spans)} spans `{last.name}` of {last.service}"
            return [f"`{key}` is on {counted}; not on {', '.join(lacking)}"]
        lines = [f"`{key}` is not on {whose} (trace {short(last.trace_id)})"]
        near = nearest(str(key), last.attributes)
        lines += [f"nearest: `{near}`"] if near else []
        if str(key) in last.resource:
            lines.append("it is an attribute of the span's resource: span.resource has it")
        return [*lines, f"seen: {', '.join(sorted(last.attributes)) or 'no attribute at all'}"]


@dataclass(frozen=True, slots=True)
class SpanView:
    """A span, and all spans that were asked for with it.

    `span["service.name"]`, `span["trace_id"]` and the like read its fields, any other key its
    attributes, then its resource's. `start` and `end` are Unix nanoseconds.
    """

    of: tuple[Span, ...]

    @property
    def span(self) -> Span:
        """Return the span as it was exported."""
        return self.of[-1]

    @property
    def attributes(self) -> SpanAttributes:
        """Return the attributes that all have, with this one's values."""
        last = self.span.attributes
        keys = [key for key in last if all(key in span.attributes for span in self.of)]
        return SpanAttributes({key: last[key] for key in keys}, self.of)

    @property
    def resource(self) -> Mapping[str, AttributeValue]:
        """Return the attributes of its resource."""
        return self.span.resource

    @property
    def name(self) -> str:
        """Return the span's name."""
        return self.span.name

    @property
    def service(self) -> str:
        """Return its resource's `service.name`."""
        return self.span.service

    @property
    def trace_id(self) -> str:
        """Return 32 lower-case hex digits."""
        return self.span.trace_id

    @property
    def span_id(self) -> str:
        """Return 16 lower-case hex digits."""
        return self.span.span_id

    @property
    def parent_id(self) -> str:
        """Return the parent's id, empty for a root."""
        return self.span.parent_id

    @property
    def kind(self) -> SpanKind:
        """Return OTLP's kind."""
        return self.span.kind

    @property
    def status(self) -> SpanStatus:
        """Return OTLP's status code."""
        return self.span.status

    @property
    def start(self) -> int:
        """Return its beginning."""
        return self.span.start

    @property
    def end(self) -> int:
        """Return its end."""
        return self.span.end

    def __getitem__(self, key: str) -> Any:
        """Return a field, an attribute, or a resource's attribute."""
        if key in _OWN:
            return getattr(self.span, _OWN[key])
        attributes = self.attributes
        return attributes[key] if key in attributes or key not in self.resource else (
            self.resource[key]
        )  # fmt: skip

    def __contains__(self, key: object) -> bool:
        """Whether there is such a field or attribute."""
        return key in _OWN or key in self.attributes or key in self.resource

    def __repr__(self) -> str:
        """Name it for people."""
        took = duration((self.end - self.start) / 1e9)
        return f"<span `{self.name}` of {self.service}, {took}, trace {short(self.trace_id)}>"


@dataclass(frozen=True, slots=True)
class Trace:
    """All that a job left of spans, by time."""

    job_id: str
    spans: tuple[SpanView, ...]

    @property
    def trace_ids(self) -> frozenset[str]:
        """Return the ids of the traces that the spans are in: one, if nothing broke."""
        return frozenset(span.trace_id for span in self.spans)

    @property
    def services(self) -> frozenset[str]:
        """Return the services that left spans."""
        return frozenset(span.service for span in self.spans)

    def __repr__(self) -> str:
        """Name it for people."""
        return f"<{len(self.spans)} spans of {', '.join(sorted(self.services))}>"


@dataclass(frozen=True, slots=True)
class MetricSample:
    """One sample: `increase` is by how much the job made it grow (of a gauge: its value)."""

    name: str
    metric: str
    type: str
    labels: Mapping[str, str]
    value: float
    increase: float
    service: str
    instance: str


def metric_sample(sample: Sample, increase: float) -> MetricSample:
    """Return a sample as tests see it."""
    return MetricSample(
        name=sample.name,
        metric=sample.metric,
        type=sample.type,
        labels=sample.labels,
        value=sample.value,
        increase=increase,
        service=sample.service,
        instance=sample.instance,
    )
