"""Evidence as an expression sees it: lists and maps, with the field names that are documented."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from checks._lines import once
from checks._series import series_of
from checks._trace import build
from validator.model import AttributeValue, Evidence, Job, LogLine, Span

_LARGEST = 2**63 - 1

FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "spans": (
        "trace_id",
        "span_id",
        "parent_id",
        "name",
        "kind",
        "service",
        "instance",
        "start_ms",
        "end_ms",
        "duration_ms",
        "status",
        "status_message",
        "attributes",
        "resource",
    ),
    "logs": (
        "time_ms",
        "service",
        "instance",
        "severity",
        "body",
        "trace_id",
        "span_id",
        "attributes",
        "resource",
    ),
    "samples": ("metric", "name", "type", "labels", "value", "before", "service", "instance"),
    "job": ("id", "run_id", "target", "state", "status", "detail", "fields", "traces"),
}
"""What each variable's items have (`job` is a map itself)."""


def plain(value: AttributeValue) -> Any:
    """Return a value as CEL takes it: integers of 64 bits, lists, maps."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -_LARGEST <= value <= _LARGEST else float(value)
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return value


def variables(evidence: Evidence, names: Collection[str]) -> dict[str, Any]:
    """Return what an expression may read: last attempts only, everything once, in order."""
    index = build(evidence.spans, evidence.job.sent_parent)
    found: dict[str, Any] = {"job": _job(evidence.job)}
    if "spans" in names:
        found["spans"] = [_span(span) for span in index.judged()]
    if "logs" in names:
        found["logs"] = [
            _line(line)
            for line in once(evidence.logs)
            if (line.trace_id, line.span_id) not in index.superseded
        ]
    if "samples" in names:
        found["samples"] = _samples(evidence)
    return found


def _span(span: Span) -> dict[str, Any]:
    return {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_id": span.parent_id,
        "name": span.name,
        "kind": span.kind.value,
        "service": span.service,
        "instance": span.instance,
        "start_ms": span.start / 1e6,
        "end_ms": span.end / 1e6,
        "duration_ms": (span.end - span.start) / 1e6,
        "status": span.status.value,
        "status_message": span.status_message,
        "attributes": plain(span.attributes),
        "resource": plain(span.resource),
    }


def _line(line: LogLine) -> dict[str, Any]:
    return {
        "time_ms": line.time / 1e6,
        "service": line.service,
        "instance": line.instance,
        "severity": line.severity,
        "body": line.body,
        "trace_id": line.trace_id,
        "span_id": line.span_id,
        "attributes": plain(line.attributes),
        "resource": plain(line.resource),
    }


def _samples(evidence: Evidence) -> list[dict[str, Any]]:
    """Return the samples; of a job that was there before us nothing was read before it."""
    known = not evidence.job.existing
    return [
        {
            "metric": one.last.metric,
            "name": one.last.name,
            "type": one.last.type,
            "labels": dict(one.last.labels),
            "value": float(one.last.value),
            **({"before": float(one.before or 0.0)} if known else {}),
            "service": one.last.service,
            "instance": one.last.instance,
        }
        for one in series_of(evidence, evidence.samples)
    ]


def _job(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "run_id": job.run_id,
        "target": job.target,
        "state": job.state.value,
        "status": job.status,
        "detail": job.detail,
        "fields": plain(job.fields),
        "traces": sorted({ref.trace_id for ref in job.traces}),
    }


PROTOTYPE: Final[Mapping[str, Any]] = {
    "spans": [
        {
            **dict.fromkeys(FIELDS["spans"], ""),
            **dict.fromkeys(("start_ms", "end_ms", "duration_ms"), 1.0),
            "attributes": {},
            "resource": {},
        }
    ],
    "logs": [
        {
            **dict.fromkeys(FIELDS["logs"], ""),
            "time_ms": 1.0,
            "attributes": {},
            "resource": {},
        }
    ],
    "samples": [
        {**dict.fromkeys(FIELDS["samples"], ""), "labels": {}, "value": 1.0, "before": 0.0}
    ],
    "job": {**dict.fromkeys(FIELDS["job"], ""), "fields": {}, "traces": []},
}
"""One piece of each kind, on which an expression is tried when a suite is loaded."""
