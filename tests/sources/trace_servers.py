"""Servers that speak the APIs of Tempo and of Jaeger, over rows that a test gives them.

What they answer is what the recordings show: `test_tempo.py` and `test_jaeger.py` hold the clients
to those. They are for what recordings cannot show, such as a trace that grows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from tests.sources import encode
from tests.sources.conftest import http
from tests.sources.encode import Row
from tests.sources.servers import Canned, Served, serving
from validator.model import Signal
from validator.sources.control import Control
from validator.sources.http import Bounds
from validator.sources.jaeger import JaegerSource
from validator.sources.otlp_json import to_json
from validator.sources.tempo import TempoSource
from validator.sources.trace_store import Lags, TraceStore

LAGS = Lags(1.0, 30.0)
NO_ROUTE = Canned(404, b"404 page not found\n", "text/plain; charset=utf-8")


@dataclass
class Store:
    """A running server, what it holds, and what is `broken` about it by path."""

    served: Served
    rows: list[Row] = field(default_factory=list)
    indexed: bool = True
    broken: dict[str, Canned] = field(default_factory=dict)

    def whole(self, trace_id: str) -> TracesData:
        """Return a trace."""
        rows = [row for row in self.rows if row.trace == trace_id]
        return TracesData(resource_spans=encode.traces(rows).resource_spans)

    def found(self, values: set[str]) -> list[str]:
        """Return the traces with a span that has an attribute, or a service, of these values."""
        found = {
            row.trace: None
            for row in self.rows
            if self.indexed and values & {row.service, *map(str, row.attributes.values())}
        }
        return list(found)

    def asked(self, part: str) -> list[str]:
        """Return the requests with `part` in their path."""
        return [one for one in self.served.requests if part in one]


def _answering(
    store: Store, answer: Callable[[str, Mapping[str, list[str]]], Canned]
) -> Callable[[BaseHTTPRequestHandler], Canned]:
    def script(handler: BaseHTTPRequestHandler) -> Canned:
        if handler.command == "POST":
            request = ExportTraceServiceRequest.FromString(store.served.bodies[-1])
            for block in request.resource_spans:
                for span in block.scope_spans[0].spans:
                    store.rows.append(Row(span.trace_id.hex(), service="obs-validator"))
            return Canned()
        asked = urlsplit(handler.path)
        for path, canned in store.broken.items():
            if asked.path.startswith(path):
                return canned
        return answer(asked.path, parse_qs(asked.query))

    return script


def _tempo(store: Store) -> Callable[[str, Mapping[str, list[str]]], Canned]:
    def answer(path: str, query: Mapping[str, list[str]]) -> Canned:
        if path.startswith("/api/v2/traces/"):
            trace = store.whole(path.rpartition("/")[2].rjust(32, "0")).SerializeToString()
            body = message(1, trace) + message(2, b"")
            return Canned(body=body, media="application/protobuf")
        if path == "/api/search":
            values = set(re.findall(r'"((?:[^"\\]|\\.)*)"', query["q"][0]))
            ids = [one.lstrip("0") for one in store.found(values)]
            return Canned(body=orjson.dumps({"traces": [{"traceID": one} for one in ids]}))
        return NO_ROUTE

    return answer


def message(number: int, body: bytes) -> bytes:
    """Return a field of protobuf that holds bytes, text or a message."""
    length, left = b"", len(body)
    while left > 127:
        length += bytes([left % 128 + 128])
        left //= 128
    return bytes([number * 8 + 2]) + length + bytes([left]) + body


def _jaeger(store: Store) -> Callable[[str, Mapping[str, list[str]]], Canned]:
    def answer(path: str, query: Mapping[str, list[str]]) -> Canned:
        if path.startswith("/api/v3/traces/"):
            trace = store.whole(path.rpartition("/")[2])
            if not trace.resource_spans:
                missing = b'{"error":{"httpCode":404,"message":"trace not found"}}\n'
                return Canned(404, missing, "text/plain; charset=utf-8")
            return Canned(body=orjson.dumps({"result": to_json(trace)}), media="text/plain")
        data: list[Any] = []
        if path == "/api/services":
            data = sorted({row.service for row in store.rows})
        elif path == "/api/traces":
            tags = orjson.loads(query.get("tags", ["{}"])[0]).values()
            ids = store.found(set(tags) or set(query["service"]))
            services = {row.trace: row.service for row in store.rows}
            data = [{"traceID": one} for one in ids if services[one] == query["service"][0]]
        return Canned(body=orjson.dumps({"data": data, "errors": None}))

    return answer


KINDS = {"tempo": (_tempo, TempoSource), "jaeger": (_jaeger, JaegerSource)}


@contextmanager
def trace_store(kind: str, *, control: bool = False) -> Iterator[tuple[TraceStore, Store]]:
    """Run a server of this kind, and give a source that reads it."""
    answer, source_class = KINDS[kind]
    store = Store(Served("", []))
    with serving(_answering(store, answer(store))) as served:
        store.served = served
        way_in = Control(served.url, http("control"), (Signal.TRACES,)) if control else None
        bounds = Bounds(timeout=5, attempts=1, rate=1e6)
        source = source_class(kind, served.url, http(kind, bounds), LAGS, way_in)
        yield source, store
        source.close()
