"""What the collector reads of a message when it comes in, and of an item when it is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

from validator.model import Signal
from validator.sources.collector.items import Batch, Item, Piece
from validator.sources.collector.losses import Mark
from validator.sources.otlp import text_of, valid_id, value_of


def marks_of(pairs: Iterable[KeyValue], keys: frozenset[str]) -> tuple[Mark, ...]:
    """Return the attributes among `keys`, their values as text.

    As text, so that a job's id sent as a number is found too, and can be told to be one.
    """
    return tuple((pair.key, text_of(value_of(pair.value))) for pair in pairs if pair.key in keys)


def span_piece(span: Span, keys: frozenset[str], shared: tuple[Mark, ...]) -> Piece:
    """Return a valid span as the store takes it; `shared` are the marks of its resource."""
    return Piece(
        trace=span.trace_id,
        data=span.SerializeToString(),
        marks=span_marks(span, keys, shared),
        links=tuple({k.trace_id: None for k in span.links if valid_id(k.trace_id, 16)}),
    )


def span_marks(span: Span, keys: frozenset[str], shared: tuple[Mark, ...]) -> tuple[Mark, ...]:
    """Return the marks of a span and of its resource, each once."""
    own = marks_of(span.attributes, keys)
    return tuple(dict.fromkeys((*own, *shared))) if shared else own


def log_piece(record: LogRecord, keys: frozenset[str], shared: tuple[Mark, ...]) -> Piece:
    """Return a log record as the store takes it."""
    return Piece(
        trace=record.trace_id if valid_id(record.trace_id, 16) else b"",
        data=record.SerializeToString(),
        marks=log_marks(record, keys, shared),
    )


def log_marks(
    record: LogRecord, keys: frozenset[str], shared: tuple[Mark, ...]
) -> tuple[Mark, ...]:
    """Return the marks of a record: of its attributes, its structured body and its resource."""
    body = marks_of(record.body.kvlist_value.values, keys)
    return tuple(dict.fromkeys((*marks_of(record.attributes, keys), *body, *shared)))


def marks_in(item: Item, keys: frozenset[str]) -> tuple[Mark, ...]:
    """Return the marks of an item that is held, under any keys."""
    shared = marks_of(Resource.FromString(item.batch.resource).attributes, keys)
    if item.signal is Signal.TRACES:
        return span_marks(Span.FromString(item.data), keys, shared)
    return log_marks(LogRecord.FromString(item.data), keys, shared)


def resource_spans(items: Iterable[Item]) -> Iterator[tuple[float, ResourceSpans]]:
    """Yield items as OTLP has them, with the time of receipt; each run of one batch at once."""
    for batch, run in _runs(items):
        message = ResourceSpans(resource=Resource.FromString(batch.resource))
        scope = message.scope_spans.add(scope=InstrumentationScope.FromString(batch.scope))
        for item in run:
            scope.spans.add().MergeFromString(item.data)
        yield batch.seen, message


def resource_logs(items: Iterable[Item]) -> Iterator[tuple[float, ResourceLogs]]:
    """Yield items as OTLP has them, with the time of receipt; each run of one batch at once."""
    for batch, run in _runs(items):
        message = ResourceLogs(resource=Resource.FromString(batch.resource))
        scope = message.scope_logs.add(scope=InstrumentationScope.FromString(batch.scope))
        for item in run:
            scope.log_records.add().MergeFromString(item.data)
        yield batch.seen, message


def _runs(items: Iterable[Item]) -> Iterator[tuple[Batch, list[Item]]]:
    """Yield neighbours of the same batch together."""
    run: list[Item] = []
    for item in items:
        if run and run[-1].batch is not item.batch:
            yield run[-1].batch, run
            run = []
        run.append(item)
    if run:
        yield run[-1].batch, run
