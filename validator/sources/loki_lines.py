"""Loki's lines as the model has them, whichever way they were logged.

A record that came over OTLP is a line (the body) with structured metadata: its attributes, most of
its resource, its scope and its own fields, all as text and under names of Loki's
(`pkg/loghttp/push/otlp.go`). A line of JSON has its fields in itself, as they were written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from validator.model import Attributes, AttributeValue, LogLine
from validator.sources.loki_query import READ, SPAN_KEYS, TRACE_KEYS, label_name
from validator.sources.otlp import severity_name, text_of

_RESOURCE = {
    label_name(key): key
    for key in (
        "service.name", "service.namespace", "service.instance.id", "service.version",
        "deployment.environment", "deployment.environment.name",
        "telemetry.sdk.name", "telemetry.sdk.language", "telemetry.sdk.version",
        "telemetry.auto.version", "telemetry.distro.name", "telemetry.distro.version",
        "host.name", "host.id", "host.arch", "host.type", "os.type", "os.version",
        "os.description", "process.pid", "process.parent_pid", "process.command",
        "process.command_line", "process.command_args", "process.executable.name",
        "process.executable.path", "process.owner", "process.runtime.name",
        "process.runtime.version", "process.runtime.description", "container.id",
        "container.name", "container.image.name", "container.image.tag", "cloud.provider",
        "cloud.platform", "cloud.region", "cloud.availability_zone", "cloud.account.id",
        "k8s.cluster.name", "k8s.namespace.name", "k8s.node.name", "k8s.pod.name", "k8s.pod.uid",
        "k8s.pod.ip", "k8s.container.name", "k8s.deployment.name", "k8s.replicaset.name",
        "k8s.statefulset.name", "k8s.daemonset.name", "k8s.job.name", "k8s.cronjob.name",
    )
}  # fmt: skip
"""What is of the resource, by Loki's name: OpenTelemetry's semantic conventions of resources."""

_OF_OTLP = ("observed_timestamp", "severity_number", "severity_text", "scope_name")
"""Structured metadata that Loki makes of a record's own fields, as only OTLP has them."""
_OWN = frozenset(
    {
        *_OF_OTLP,
        *TRACE_KEYS,
        *SPAN_KEYS,
        "flags",
        "scope_version",
        "scope_dropped_attributes_count",
        "dropped_attributes_count",
        "detected_level",
        "__error__",
        "__error_details__",
        "__preserve_error__",
    }
)
_BODIES = ("message", "msg", "event", "body", "@message")
_LEVELS = ("level", "severity", "severity_text", "severitytext", "levelname", "log.level", "lvl")
_DOUBLE = "_extracted"
"""Loki puts this after the name of metadata that a label of the stream has too."""
_NOBODY = "unknown_service"
"""The service of a stream that names none: Loki's own word (`discover_service_name`)."""
_TRACE = re.compile("[0-9a-f]{32}")
_SPAN = re.compile("[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Entry:
    """A line as Loki answered it: `time` in Unix nanoseconds, `labels` those of its stream."""

    time: int
    text: str
    labels: Mapping[str, str]
    metadata: Mapping[str, str]


def line_of(entry: Entry, source: str, seen: float) -> LogLine:
    """Return a line as the model has it."""
    kept = {**entry.labels, **entry.metadata}
    otlp = any(name in entry.metadata for name in _OF_OTLP)
    written = _object(entry.text)
    trace_id = _id(kept, written, (*TRACE_KEYS, "trace.id"), _TRACE)
    span_id = _id(kept, written, (*SPAN_KEYS, "span.id"), _SPAN)
    own = {(key, trace_id) for key in TRACE_KEYS} | {(key, span_id) for key in SPAN_KEYS}
    attributes = {
        key: value
        for key, value in written.items()
        if not (isinstance(value, str) and (key, value.lower()) in own)
    }
    resource: dict[str, AttributeValue] = {}
    flattened: dict[str, None] = {}
    for name, value in entry.labels.items():
        resource[_RESOURCE.get(name, name)] = value
        if name not in _RESOURCE:
            flattened[name] = None
    for name, value in entry.metadata.items():
        if name in _OWN or name.startswith(READ):
            continue
        bare = name.removesuffix(_DOUBLE)
        double = bare in entry.labels  # and then it is no resource's: those are labels or not
        key = bare if double else _RESOURCE.get(name, name)
        if key != name and not double:
            resource[key] = value
        elif key not in attributes or text_of(attributes[key]) != value:
            attributes[key] = value
        else:
            continue
        flattened[key] = None
    if resource.get("service.name") == _NOBODY:
        del resource["service.name"]
    return LogLine(
        time=entry.time,
        service=_text(resource, "service.name") or _text(written, "service.name", "service_name"),
        instance=_text(resource, "service.instance.id", "instance", "pod")
        or _text(written, "service.instance.id", "service_instance_id"),
        severity=_severity(kept, written, otlp=otlp),
        body=entry.text if otlp else _text(written, *_BODIES) or entry.text,
        trace_id=trace_id,
        span_id=span_id,
        sampled=_sampled(kept, written, otlp=otlp) if trace_id else None,
        attributes=attributes,
        resource=resource,
        source=source,
        seen=seen,
        flattened=tuple(sorted(flattened)),
    )


def names_job(line: LogLine, job_id: str, keys: Iterable[str]) -> bool:
    """Whether a line carries a job's id, under one of the keys in either spelling."""
    for key in keys:
        values = [_at(line.attributes, key), line.attributes.get(label_name(key))]
        values.append(line.attributes.get(line.key_for(key)))
        values.append(line.resource.get(key))
        if any(value is not None and text_of(value) == job_id for value in values):
            return True
    return False


def _at(values: Attributes, key: str) -> AttributeValue:
    """Return what stands under a key, or under the map of its first part, None for nothing."""
    if key in values:
        return values[key]
    head, dot, rest = key.partition(".")
    inner = values.get(head)
    return _at(inner, rest) if dot and isinstance(inner, Mapping) else None


def _object(text: str) -> dict[str, AttributeValue]:
    """Return the fields of a line of JSON, none if it is no object."""
    if not text.lstrip().startswith("{"):
        return {}
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return {key: _value(value) for key, value in document.items()}


def _value(value: Any) -> AttributeValue:
    """Return a value of JSON as the model has it."""
    if isinstance(value, list):
        return tuple(map(_value, value))
    if isinstance(value, dict):
        return {key: _value(one) for key, one in value.items()}
    plain: AttributeValue = value
    return plain


def _id(
    kept: Mapping[str, str],
    written: Mapping[str, AttributeValue],
    keys: Sequence[str],
    valid: re.Pattern[str],
) -> str:
    """Return the id of a record's trace or span, empty if it has none that is valid."""
    for one in (*map(kept.get, keys), *(_at(written, key) for key in keys)):
        text = one.lower() if isinstance(one, str) else ""
        if valid.fullmatch(text) and text.strip("0"):
            return text
    return ""


def _text(values: Mapping[str, AttributeValue], *keys: str) -> str:
    """Return the first text that is there and not empty."""
    found = (values.get(key) for key in keys)
    return next((one for one in found if isinstance(one, str) and one), "")


def _severity(kept: Mapping[str, str], written: Mapping[str, AttributeValue], *, otlp: bool) -> str:
    """Return the severity's word: the record's own, else that of the line or stream.

    Of a line that is no JSON Loki's guess is taken: it looks for words such as `error`.
    """
    if otlp:
        number = kept.get("severity_number", "")
        return kept.get("severity_text", "") or severity_name(int(number) if _digits(number) else 0)
    guess = "" if written else kept.get("detected_level", "")
    words = {key.lower(): value for key, value in written.items()}
    word = _text(words, *_LEVELS) or kept.get("level", "") or guess
    return word.upper() if word != "unknown" else ""


def _sampled(
    kept: Mapping[str, str], written: Mapping[str, AttributeValue], *, otlp: bool
) -> bool | None:
    """Return the trace flag "sampled", None where nothing tells; Loki leaves out flags of 0."""
    flags = kept.get("flags", "0" if otlp else "")
    if _digits(flags):
        return bool(int(flags) & 1)
    hexadecimal = _text(written, "trace_flags", "traceFlags")
    if re.fullmatch("[0-9a-fA-F]{2}", hexadecimal):
        return bool(int(hexadecimal, 16) & 1)
    told = written.get("otelTraceSampled")
    return told if isinstance(told, bool) else None


def _digits(text: str) -> bool:
    """Whether a text is a whole number that is not negative."""
    return text.isascii() and text.isdigit()
