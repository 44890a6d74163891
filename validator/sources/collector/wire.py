"""The read API's answers as bytes, and back: the one place that knows their form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from validator.model import Exemplar, LogLine, Phase, Sample, Signal, Span, TraceRef
from validator.ports import Answer, Question
from validator.sources.collector.pieces import resource_logs, resource_spans
from validator.sources.collector.store import Found
from validator.sources.otlp import Oddities, log_of, origin_of, span_of
from validator.sources.otlp_json import to_json

_PART = 256 * 1024
"""So many bytes are sent at once."""


class NotAnAnswerError(ValueError):
    """The bytes are not what the read API answers."""


def head_of(found: Found) -> dict[str, Any]:
    """Return what an answer says beside its items."""
    return {
        "version": found.version,
        "full": not found.lost,
        "control_seen": found.control_seen,
        "traces": [{"trace_id": t.trace_id, "via": t.via} for t in found.traces],
        "findings": list(found.lost),
        "heard": list(found.heard),
        "items": len(found.items),
    }


def json_of(signal: Signal, found: Found) -> bytes:
    """Return an answer as JSON, its items as OTLP/JSON."""
    seen = []
    resources = []
    pieces = resource_spans(found.items) if signal is Signal.TRACES else resource_logs(found.items)
    for received, message in pieces:
        seen.append(received)
        resources.append(to_json(message))
    name = "resourceSpans" if signal is Signal.TRACES else "resourceLogs"
    return orjson.dumps({**head_of(found), "seen": seen, name: resources})


def protobuf_of(signal: Signal, found: Found) -> Iterator[bytes]:
    """Yield an answer as a line of JSON, then its items as one OTLP message.

    Batches are put one after the other, which OTLP's repeated fields allow.
    """
    runs: list[float] = []
    previous = None
    for item in found.items:
        if item.batch is not previous:
            previous = item.batch
            runs.append(item.batch.seen)
    yield orjson.dumps({**head_of(found), "seen": runs}) + b"\n"
    parts = bytearray()
    for part in _parts(signal, found):
        parts += part
        if len(parts) > _PART:
            yield bytes(parts)
            parts.clear()
    if parts:
        yield bytes(parts)


def _parts(signal: Signal, found: Found) -> Iterator[bytes]:
    """Yield the items of one batch after the other as an OTLP message of its own."""
    if signal is Signal.TRACES:
        for _, spans in resource_spans(found.items):
            yield TracesData(resource_spans=[spans]).SerializeToString()
    else:
        for _, logs in resource_logs(found.items):
            yield LogsData(resource_logs=[logs]).SerializeToString()


@dataclass(frozen=True, slots=True)
class Read:
    """An answer read back, and the version of the collector's memory that it is of."""

    answer: Answer
    version: int


def read(signal: Signal, body: bytes, source: str) -> Read:
    """Return what `protobuf_of` wrote; raises `NotAnAnswerError`."""
    line, _, rest = body.partition(b"\n")
    try:
        head = orjson.loads(line)
        oddities = Oddities()
        spans: tuple[Span, ...] = ()
        logs: tuple[LogLine, ...] = ()
        if signal is Signal.TRACES:
            spans = tuple(_spans(TracesData.FromString(rest), head["seen"], source, oddities))
        else:
            logs = tuple(_logs(LogsData.FromString(rest), head["seen"], source, oddities))
        _counted(len(spans) + len(logs), int(head["items"]))
        answer = Answer(
            spans=spans,
            logs=logs,
            traces=tuple(TraceRef(str(t["trace_id"]), str(t["via"])) for t in head["traces"]),
            full=bool(head["full"]),
            control_seen=bool(head["control_seen"]),
            findings=(*map(str, head["findings"]), *oddities.findings()),
            heard=tuple(map(str, head["heard"])),
        )
        return Read(answer, int(head["version"]))
    except NotAnAnswerError:
        raise
    except Exception as exc:  # whatever is wrong with foreign bytes, they are not an answer
        raise NotAnAnswerError(f"{type(exc).__name__}: {exc}"[:300]) from exc


def _counted(came: int, announced: int) -> None:
    """Make sure that all items came."""
    if came != announced:
        raise NotAnAnswerError(f"{announced} items were announced, {came} came")


def _spans(data: TracesData, seen: list[float], source: str, odd: Oddities) -> Iterator[Span]:
    """Yield the spans of an answer."""
    for received, resource in zip(seen, data.resource_spans, strict=True):
        for scope in resource.scope_spans:
            origin = origin_of(resource.resource, scope.scope, source, received)
            yield from (span_of(span, origin, odd) for span in scope.spans)


def _logs(data: LogsData, seen: list[float], source: str, odd: Oddities) -> Iterator[LogLine]:
    """Yield the log lines of an answer."""
    for received, resource in zip(seen, data.resource_logs, strict=True):
        for scope in resource.scope_logs:
            origin = origin_of(resource.resource, scope.scope, source, received)
            yield from (log_of(record, origin, odd) for record in scope.log_records)


def samples_json(samples: Iterable[Sample], lost: Iterable[str], version: int) -> bytes:
    """Return samples as JSON; values are strings, for JSON has neither NaN nor infinity."""
    findings = list(lost)
    rows = [
        {
            "metric": s.metric,
            "name": s.name,
            "type": s.type,
            "labels": dict(s.labels),
            "value": repr(s.value),
            "time": s.time,
            "exemplar": _exemplar_row(s.exemplar),
            "service": s.service,
            "instance": s.instance,
            "seen": s.seen,
        }
        for s in samples
    ]
    return orjson.dumps(
        {"version": version, "full": not findings, "findings": findings, "samples": rows}
    )


def _exemplar_row(exemplar: Exemplar | None) -> dict[str, Any] | None:
    """Return an exemplar as JSON's object."""
    if exemplar is None:
        return None
    return {
        "labels": dict(exemplar.labels),
        "value": repr(exemplar.value),
        "time": exemplar.time,
    }


def read_samples(body: bytes, source: str) -> Answer:
    """Return what `samples_json` wrote; raises `NotAnAnswerError`."""
    try:
        document = orjson.loads(body)
        samples = tuple(_sample(row, source) for row in document["samples"])
        findings = tuple(map(str, document["findings"]))
        return Answer(samples=samples, full=bool(document["full"]), findings=findings)
    except Exception as exc:  # whatever is wrong with foreign bytes, they are not an answer
        raise NotAnAnswerError(f"{type(exc).__name__}: {exc}"[:300]) from exc


def _sample(row: Mapping[str, Any], source: str) -> Sample:
    """Return one sample from its row."""
    shown = row["exemplar"]
    exemplar = (
        None
        if shown is None
        else Exemplar(_texts(shown["labels"]), float(shown["value"]), _time(shown["time"]))
    )
    return Sample(
        metric=str(row["metric"]),
        name=str(row["name"]),
        type=str(row["type"]),
        labels=_texts(row["labels"]),
        value=float(row["value"]),
        time=_time(row["time"]),
        exemplar=exemplar,
        service=str(row["service"]),
        instance=str(row["instance"]),
        phase=Phase.AFTER,
        source=source,
        seen=float(row["seen"]),
    )


def _time(value: Any) -> float | None:
    """Return a time, or None for none."""
    return None if value is None else float(value)


def _texts(labels: Mapping[str, Any]) -> dict[str, str]:
    """Return labels, their values as text."""
    return {str(key): str(value) for key, value in labels.items()}


QuestionParams = list[tuple[str, str]]


def question_params(question: Question) -> QuestionParams:
    """Return a question as the read API's query parameters."""
    params = [("trace_id", trace_id) for trace_id in sorted(question.trace_ids)]
    params.extend(("job_id_key", key) for key in question.job_id_keys)
    params.append(("job_id", question.job_id if question.job_id_keys else ""))
    params.append(("control", question.control))
    params.append(("since", repr(question.since)))
    params.append(("until", repr(question.until)))
    return params


def question_of(many: Callable[[str], list[str]], keys: Iterable[str]) -> Question:
    """Return the question of query parameters; raises `ValueError` saying what is wrong.

    `many` gives a parameter's values, `keys` are the job id keys when none are given.
    """
    one: dict[str, str] = {}
    for name in ("job_id", "control", "since", "until"):
        values = many(name)
        if len(values) > 1:
            raise ValueError(f"{name} is given more than once")
        one[name] = values[0] if values else ""
    ids = [trace_id.lower() for trace_id in many("trace_id")]
    for trace_id in (*ids, *filter(None, [one["control"]])):
        if len(trace_id) != 32 or set(trace_id) - set("0123456789abcdef"):
            raise ValueError(f"trace id {trace_id[:64]!r} is not 32 hex digits")
    question = Question(
        job_id=one["job_id"],
        job_id_keys=tuple(many("job_id_key")) or tuple(sorted(keys)),
        trace_ids=frozenset(ids),
        since=0.0,
        until=float("inf"),
        control=one["control"],
    )
    try:
        since = float(one["since"] or "0")
        until = float(one["until"] or "inf")
    except ValueError as exc:
        raise ValueError("since and until are Unix times in seconds") from exc
    return replace(question, since=since, until=until)
