"""The built-in collector as a source, read in process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2

from validator.model import LogLine, Signal, Span
from validator.ports import Answer, Probed, Question
from validator.sources.base import SourceBase
from validator.sources.collector.client import probe_status
from validator.sources.collector.items import Batch, Item
from validator.sources.collector.server import Collector
from validator.sources.collector.store import Found
from validator.sources.control import plant
from validator.sources.http import Http
from validator.sources.otlp import Oddities, Origin, log_of, origin_of, span_of

_REMEMBERED = 8
"""So many jobs' items stay decoded between questions."""


@dataclass(slots=True)
class _Decoded:
    """What the last answer about one job held, decoded."""

    spans: dict[Item, Span] = field(default_factory=dict)
    logs: dict[Item, LogLine] = field(default_factory=dict)
    span_oddities: Oddities = field(default_factory=Oddities)
    log_oddities: Oddities = field(default_factory=Oddities)
    lock: threading.Lock = field(default_factory=threading.Lock)


class CollectorSource(SourceBase):
    """Reads a collector of this process. It does not start or stop it: its owner does."""

    kind = "collector"

    def __init__(self, name: str, collector: Collector, http: Http, lag_budget: float) -> None:
        """Read `collector`; `http` sends control records to it the way that telemetry comes."""
        super().__init__(name, http, lag_budget)
        self._collector = collector
        self._lock = threading.Lock()
        self._decoded: OrderedDict[tuple[str, frozenset[str]], _Decoded] = OrderedDict()

    def close(self) -> None:
        """Let go of the connection for control records and of what is decoded."""
        super().close()
        with self._lock:
            self._decoded.clear()

    def plant(self, trace_id: str) -> None:
        """Send a span and a log record of trace `trace_id` over OTLP/HTTP."""
        plant(self._http, self._collector.endpoint, trace_id)

    def probe(self) -> Probed:
        """Ask for the collector's status, over HTTP as its senders do."""
        return probe_status(self._http, self._collector.endpoint)

    def on_change(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake` after each change; return what ends that."""
        return self._collector.store.subscribe(wake)

    def traces(self, question: Question) -> Answer:
        """Return the spans of the job."""
        found = self._collector.store.ask(Signal.TRACES, question)
        memory = self._memory(question)
        with memory.lock:
            origins = _Origins(self._name)
            known, odd = memory.spans, memory.span_oddities
            memory.spans = {
                item: known.get(item)
                or span_of(trace_pb2.Span.FromString(item.data), origins(item.batch), odd)
                for item in found.items
            }
            return _answer(found, odd, spans=tuple(memory.spans.values()))

    def logs(self, question: Question) -> Answer:
        """Return the log lines of the job."""
        found = self._collector.store.ask(Signal.LOGS, question)
        memory = self._memory(question)
        with memory.lock:
            origins = _Origins(self._name)
            known, odd = memory.logs, memory.log_oddities
            memory.logs = {
                item: known.get(item)
                or log_of(LogRecord.FromString(item.data), origins(item.batch), odd)
                for item in found.items
            }
            return _answer(found, odd, logs=tuple(memory.logs.values()))

    def samples(self, metrics: frozenset[str]) -> Answer:
        """Return the latest samples of these families, and `target_info`."""
        samples, lost = self._collector.metrics.ask(metrics, self._name)
        return Answer(samples=tuple(samples), full=not lost, findings=tuple(lost))

    def _memory(self, question: Question) -> _Decoded:
        """Return what is decoded for a job; the traces asked for tell jobs without id apart."""
        key = (question.job_id, frozenset() if question.job_id else question.trace_ids)
        with self._lock:
            memory = self._decoded.setdefault(key, _Decoded())
            self._decoded.move_to_end(key)
            if len(self._decoded) > _REMEMBERED:
                self._decoded.popitem(last=False)
            return memory


class _Origins:
    """Decodes what the items of a batch share once for each answer."""

    def __init__(self, source: str) -> None:
        """Decode for answers of `source`."""
        self._source = source
        self._known: dict[Batch, Origin] = {}

    def __call__(self, batch: Batch) -> Origin:
        """Return what the items of `batch` share."""
        origin = self._known.get(batch)
        if origin is None:
            origin = self._known[batch] = origin_of(
                Resource.FromString(batch.resource),
                InstrumentationScope.FromString(batch.scope),
                self._source,
                batch.seen,
            )
        return origin


def _answer(
    found: Found,
    oddities: Oddities,
    *,
    spans: tuple[Span, ...] = (),
    logs: tuple[LogLine, ...] = (),
) -> Answer:
    """Return an answer with what the store says of itself."""
    return Answer(
        spans=spans,
        logs=logs,
        traces=found.traces,
        full=not found.lost,
        control_seen=found.control_seen,
        findings=(*found.lost, *oddities.findings()),
        heard=found.heard,
    )
