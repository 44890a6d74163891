"""From an OTLP request to the store, and the answer that the sender gets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from validator.model import Signal
from validator.ports import Clock
from validator.sources.collector.items import Batch
from validator.sources.collector.losses import owners_of
from validator.sources.collector.metrics import MetricStore
from validator.sources.collector.pieces import log_piece, marks_of, span_piece
from validator.sources.collector.store import Store
from validator.sources.otlp import span_fault, valid_id
from validator.sources.otlp_json import NotOtlpError, parse_json

_KNOWN_BYTES = 4096
"""So many distinct resources and scopes are kept once for all their batches."""


class Once:
    """Keeps one copy of equal bytes: resources and scopes come again with every batch."""

    def __init__(self) -> None:
        """Know no bytes yet."""
        self._known: dict[bytes, bytes] = {}

    def __call__(self, data: bytes) -> bytes:
        """Return the copy that is kept of `data`."""
        if len(self._known) > _KNOWN_BYTES:
            self._known.clear()
        return self._known.setdefault(data, data)


@dataclass(frozen=True, slots=True)
class Stores:
    """Where a request goes."""

    items: Store
    metrics: MetricStore
    clock: Clock


class Ingest:
    """Takes OTLP requests in; HTTP and gRPC share it. One thread at a time may call it."""

    def __init__(self, stores: Stores) -> None:
        """Put what comes into `stores`."""
        self._store = stores.items
        self._metrics = stores.metrics
        self._clock = stores.clock
        self._once = Once()

    def take(self, signal: Signal, body: bytes, *, as_json: bool) -> Message:
        """Take one request in and return the answer, with what was rejected and why.

        Raises `NotOtlpError` when the body is not what it should be; then nothing of it was taken.
        """
        take: Callable[[bytes, bool], Message] = {
            Signal.TRACES: self._take_traces,
            Signal.LOGS: self._take_logs,
            Signal.METRICS: self._take_metrics,
        }[signal]
        return take(body, as_json)

    def refused(self, signal: Signal, why: str) -> None:
        """Remember that a whole request was refused."""
        if signal is Signal.METRICS:
            self._metrics.refuse(why)
            self._store.touch()
        else:
            self._store.refuse_request(signal, why)

    def _take_traces(self, body: bytes, as_json: bool) -> Message:
        """Take spans in."""
        request = ExportTraceServiceRequest()
        _parse(request, body, as_json)
        response = ExportTraceServiceResponse()
        faults: list[str] = []
        seen = self._clock.now()
        for resource in request.resource_spans:
            shared = marks_of(resource.resource.attributes, self._store.job_id_keys)
            described = self._once(resource.resource.SerializeToString())
            for scope in resource.scope_spans:
                pieces = []
                for span in scope.spans:
                    fault = span_fault(span)
                    piece = span_piece(span, self._store.job_id_keys, shared)
                    if fault:
                        faults.append(f"span {span.name!r}: {fault}")
                        trace = piece.trace if valid_id(piece.trace, 16) else b""
                        owners = owners_of(trace, piece.marks, piece.links)
                        self._store.refuse(Signal.TRACES, owners)
                    else:
                        pieces.append(piece)
                batch = Batch(described, self._once(scope.scope.SerializeToString()), seen)
                self._store.add(Signal.TRACES, batch, pieces)
        if faults:
            response.partial_success.rejected_spans = len(faults)
            response.partial_success.error_message = _told(faults)
        return response

    def _take_logs(self, body: bytes, as_json: bool) -> Message:
        """Take log records in; the specification calls none of them invalid."""
        request = ExportLogsServiceRequest()
        _parse(request, body, as_json)
        seen = self._clock.now()
        keys = self._store.job_id_keys
        for resource in request.resource_logs:
            shared = marks_of(resource.resource.attributes, keys)
            described = self._once(resource.resource.SerializeToString())
            for scope in resource.scope_logs:
                batch = Batch(described, self._once(scope.scope.SerializeToString()), seen)
                pieces = [log_piece(record, keys, shared) for record in scope.log_records]
                self._store.add(Signal.LOGS, batch, pieces)
        return ExportLogsServiceResponse()

    def _take_metrics(self, body: bytes, as_json: bool) -> Message:
        """Take metrics in: the latest point of each series."""
        request = ExportMetricsServiceRequest()
        _parse(request, body, as_json)
        response = ExportMetricsServiceResponse()
        faults = self._metrics.add(request.resource_metrics, self._clock.now())
        self._store.touch()
        if faults:
            response.partial_success.rejected_data_points = len(faults)
            response.partial_success.error_message = _told(faults)
        return response


def _parse(message: Message, body: bytes, as_json: bool) -> None:
    """Fill `message` from a body; an empty one is an empty request."""
    if as_json and body:
        parse_json(body, message)
        return
    try:
        message.ParseFromString(body)
    except DecodeError as exc:
        raise NotOtlpError(f"not an OTLP protobuf message: {exc}") from exc


def _told(faults: list[str]) -> str:
    """Return a message about the first few faults."""
    more = f"; and {len(faults) - 3} more" if len(faults) > 3 else ""
    return "; ".join(faults[:3]) + more
