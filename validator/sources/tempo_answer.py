"""What Tempo answers to a question for one trace, in each of its forms.

v2 answers `TraceByIDResponse`, v1 OTLP's `TracesData` (in JSON under `batches`), each as protobuf
or as protobuf's JSON, in which ids are base64. From `pkg/tempopb/tempo.proto` of Tempo 3.0.3.
"""

from __future__ import annotations

from typing import Any

import orjson
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.trace.v1 import trace_pb2

from validator.sources.otlp_json import NotOtlpError
from validator.sources.otlp_json_spans import spans_in
from validator.sources.otlp_spans import Decoded, spans_of

PROTOBUF, JSON = "application/protobuf", "application/json"
_PARTIAL = frozenset({1, "PARTIAL"})


def _response_class() -> type[Message]:
    """Return a class for `TraceByIDResponse`; `tempopb.Trace` is `TracesData` by another name."""
    file = descriptor_pb2.FileDescriptorProto(
        name="obs_validator/tempo_trace_by_id.proto",
        package="obs_validator.tempo",
        syntax="proto3",
        dependency=[trace_pb2.DESCRIPTOR.name],
    )
    kinds = descriptor_pb2.FieldDescriptorProto
    message = file.message_type.add(name="TraceByIDResponse")
    traces = f".{trace_pb2.TracesData.DESCRIPTOR.full_name}"
    for number, name, kind, type_name in (
        (1, "trace", kinds.TYPE_MESSAGE, traces),
        (3, "status", kinds.TYPE_INT32, ""),
        (4, "message", kinds.TYPE_STRING, ""),
    ):
        field = message.field.add(
            name=name, number=number, type=kind, label=kinds.LABEL_OPTIONAL, json_name=name
        )
        if type_name:
            field.type_name = type_name
    pool = descriptor_pool.Default()
    pool.Add(file)
    found = pool.FindMessageTypeByName("obs_validator.tempo.TraceByIDResponse")
    return message_factory.GetMessageClass(found)


_Response: Any = _response_class()


def read(body: bytes, media: str, source: str, seen: float, *, v2: bool) -> Decoded:
    """Return the spans of an answer; raises `NotOtlpError` if it is not one of Tempo's."""
    if media == PROTOBUF:
        try:
            if not v2:
                return spans_of(trace_pb2.TracesData.FromString(body).resource_spans, source, seen)
            answer = _Response.FromString(body)
        except DecodeError as exc:
            raise NotOtlpError(f"protobuf that cannot be read ({exc})") from exc
        if not answer.HasField("trace"):  # of a missing trace v2 gives an empty one
            raise NotOtlpError("protobuf without a trace")
        spans = spans_of(answer.trace.resource_spans, source, seen)
        return _told(spans, answer.status, answer.message)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise NotOtlpError(f"JSON that cannot be read ({exc})") from exc
    key = "trace" if v2 else "batches"
    if not isinstance(document, dict) or not isinstance(document.get(key), dict | list):
        raise NotOtlpError(f"JSON without {key!r}")
    if not v2:
        return spans_in(document[key], source, seen)
    trace = document[key]
    if not isinstance(trace, dict):
        raise NotOtlpError(f"JSON whose {key!r} is no trace")
    blocks = trace.get("resourceSpans", trace.get("batches", ()))
    return _told(spans_in(blocks, source, seen), document.get("status"), document.get("message"))


def _told(decoded: Decoded, status: Any, message: Any) -> Decoded:
    """Return what was decoded with what Tempo says of it: `PARTIAL` when a trace is too large."""
    if status not in _PARTIAL:
        return decoded
    said = f"the trace is PARTIAL: {str(message or 'no reason given')[:200]}"
    return Decoded(decoded.spans, whole=False, findings=(said, *decoded.findings))
