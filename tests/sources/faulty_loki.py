"""A made-up Loki for the trials: what it has comes by the clock, and it answers as a real one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from tests.sources.servers import Canned
from tests.traces import EPOCH, JOB, TRACE
from validator.testing import FakeClock

_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True)
class Logged:
    """A line: readable from `at` (in seconds from the start); its time is `at` less `lag`."""

    at: float
    service: str
    metadata: Mapping[str, str]
    body: str = "working"
    lag: float = 0.1

    @property
    def time(self) -> int:
        """Return its own time in nanoseconds."""
        return int((EPOCH + self.at - self.lag) * _NANOSECONDS)


def record(at: float, service: str, body: str, severity: str = "INFO", **more: str) -> Logged:
    """Return a line of the job as it came over OTLP; `trace` and `job` may say otherwise."""
    trace, job = more.pop("trace", TRACE), more.pop("job", JOB)
    kept = {"severity_text": severity, "observed_timestamp": "1", **more}
    kept |= {"trace_id": trace, "flags": "1"} if trace else {}
    kept |= {"job_id": job} if job else {}
    return Logged(at, service, kept, body)


def json_line(at: float, service: str, body: str, severity: str = "info", **more: str) -> Logged:
    """Return a line of the job that was written as JSON."""
    fields = {"message": body, "level": severity, "trace_id": TRACE, "job.id": JOB, **more}
    return Logged(at, service, {}, json.dumps({key: one for key, one in fields.items() if one}))


@dataclass
class FakeLoki:
    """Answers queries for the ids that stand in them, within the window that is asked for."""

    clock: FakeClock
    rows: list[Logged]
    planted: list[Logged] = field(default_factory=list)

    def answer(self, request: requests.PreparedRequest, *, elsewhere: bool) -> Canned:
        """Return the answer; another tenant has streams of its own, and takes what is planted."""
        parts = urlsplit(str(request.url))
        if parts.path == "/otlp/v1/logs":
            if not elsewhere:
                assert isinstance(request.body, bytes)
                self._plant(request.body)
            return Canned(204, media="application/json")
        asked = {key: values[0] for key, values in parse_qs(parts.query).items()}
        if parts.path.endswith("/values"):
            return _good([] if elsewhere else sorted({row.service for row in self._readable()}))
        rows = [] if elsewhere else self._found(asked)
        streams = [
            {
                "stream": {"service_name": row.service},
                "values": [[str(row.time), row.body, {"structuredMetadata": dict(row.metadata)}]],
            }
            for row in rows[: int(asked["limit"])]
        ]
        data = {"resultType": "streams", "encodingFlags": ["categorize-labels"], "result": streams}
        return _good(data)

    def _found(self, asked: Mapping[str, str]) -> list[Logged]:
        start, end, query = int(asked["start"]), int(asked["end"]), asked["query"]
        rows = [row for row in self._readable() if start <= row.time < end]
        return sorted((row for row in rows if _named(row, query)), key=lambda row: row.time)

    def _readable(self) -> list[Logged]:
        elapsed = self.clock.time - EPOCH
        return [row for row in (*self.rows, *self.planted) if row.at <= elapsed]

    def _plant(self, body: bytes) -> None:
        sent = ExportLogsServiceRequest.FromString(body)
        for resource in sent.resource_logs:
            for one in resource.scope_logs[0].log_records:
                at = self.clock.time - EPOCH + 0.2
                kept = {"trace_id": one.trace_id.hex(), "severity_text": "INFO"}
                self.planted.append(Logged(at, "obs-validator", kept, "control record", 0.2))


def _named(row: Logged, query: str) -> bool:
    """Whether an id of the query is one of the line's."""
    fields: dict[str, Any] = dict(row.metadata)
    if row.body.startswith("{"):
        fields |= json.loads(row.body)
    ids = {fields.get("trace_id"), fields.get("job_id"), fields.get("job.id")} - {None}
    return any(str(one).replace("-", "\\\\-") in query for one in ids)


def _good(data: object) -> Canned:
    return Canned(body=json.dumps({"status": "success", "data": data}).encode())
