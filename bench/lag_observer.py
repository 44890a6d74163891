"""Notes when each piece of evidence of each job could first be read; knows nothing of the loop.

`python -m bench.lag_observer TARGET COLLECTOR` looks every few milliseconds, over the target's
API and the collector's documented read API, until its standard input ends; then it prints what
it saw as JSON.
"""

from __future__ import annotations

import http.client
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from bench.lag_truth import Sighting, Witnessed

_PAUSE = 0.004


@dataclass(frozen=True, slots=True)
class Listed:
    """A job as the target lists it; `first` is one of `spans`."""

    id: str
    traces: tuple[str, ...]
    first: str
    spans: tuple[str, ...]
    lines: tuple[str, ...]
    status: str


class Eyes(Protocol):
    """How the observer sees; two threads look, each with eyes of its own."""

    def jobs(self) -> Iterable[Listed]:
        """Return the jobs that the target has, with their status."""
        ...

    def version(self) -> int:
        """Return a number that differs after each change of the collector's memory."""
        ...

    def readable(self, jobs: Iterable[Listed], signal: str) -> set[str]:
        """Return the ids of the spans, or the bodies of the lines, that can be read of jobs."""
        ...


@dataclass(slots=True)
class _Ends:
    """When each job's end was seen."""

    last: float
    seen: dict[str, Sighting] = field(default_factory=dict)


@dataclass(slots=True)
class _Pieces:
    """What has been seen of one signal of one job, and when it was last looked for."""

    job: Listed
    signal: str
    wanted: tuple[str, ...]
    looked: float
    seen: dict[str, Sighting] = field(default_factory=dict)


@dataclass(slots=True)
class Watch:
    """Looks, again and again. `now` is the machine's monotonic clock.

    `look_at_target` and `look_at_collector` may be called by a thread each.
    """

    eyes: Eyes
    now: Callable[[], float]
    ends: _Ends = field(init=False)
    listed: dict[str, tuple[Listed, float]] = field(default_factory=dict)
    pieces: dict[tuple[str, str], _Pieces] = field(default_factory=dict)
    version: int = -1
    began: float = field(init=False)

    def __post_init__(self) -> None:
        """Begin to look: what comes was not there before."""
        self.began = self.now()
        self.ends = _Ends(self.began)

    def look_at_target(self) -> None:
        """Look once which jobs there are and which have ended."""
        start = self.now()
        listed = list(self.eyes.jobs())
        by = self.now()
        for job in listed:
            if job.status == "done" and job.id not in self.ends.seen:
                self.ends.seen[job.id] = Sighting(self.ends.last, by)
            # Of a job that was not there at the last look, nothing could be read then.
            self.listed.setdefault(job.id, (job, self.ends.last))
        self.ends.last = start

    def look_at_collector(self) -> None:
        """Look once for what is not yet seen, if anything has changed since the last look."""
        fresh = self._new_jobs()
        wanted = [one for one in self.pieces.values() if len(one.seen) < len(one.wanted)]
        if not wanted:
            return
        start = self.now()
        version = self.eyes.version()
        if version == self.version and not fresh:
            for one in wanted:
                one.looked = start
            return
        self.version = version
        for signal in ("traces", "logs"):
            self._look_for([one for one in wanted if one.signal == signal], signal)

    def _look_for(self, wanted: list[_Pieces], signal: str) -> None:
        if not wanted:
            return
        start = self.now()
        found = self.eyes.readable([one.job for one in wanted], signal)
        by = self.now()
        for one in wanted:
            for piece in found.intersection(one.wanted):
                one.seen.setdefault(piece, Sighting(one.looked, by))
            one.looked = start

    def _new_jobs(self) -> bool:
        listed = tuple(self.listed.values())
        new = [(job, last) for job, last in listed if (job.id, "logs") not in self.pieces]
        for job, last in new:
            for signal, wanted in (("traces", job.spans), ("logs", job.lines)):
                self.pieces[job.id, signal] = _Pieces(job, signal, wanted, last)
        return bool(new)

    def witnessed(self) -> dict[str, Witnessed]:
        """Return what was seen of every job of which all was seen."""
        found = {}
        for job_id, end in self.ends.seen.items():
            spans, lines = self.pieces[job_id, "traces"], self.pieces[job_id, "logs"]
            if all(len(one.seen) == len(one.wanted) for one in (spans, lines)):
                found[job_id] = Witnessed(
                    end=end,
                    first=spans.seen[spans.job.first],
                    spans=tuple(spans.seen.values()),
                    lines=tuple(lines.seen.values()),
                )
        return found


class HttpEyes:
    """Sees over the target's API and the collector's read API."""

    def __init__(self, target: str, collector: str) -> None:
        """Keep a connection to each."""
        self._target = _connection(target)
        self._collector = _connection(collector)

    def jobs(self) -> list[Listed]:
        """Return the jobs that the target has, with their status."""
        return [
            Listed(
                id=job["id"],
                traces=tuple(job["traces"]),
                first=job["first"],
                spans=tuple(job["spans"]),
                lines=tuple(job["lines"]),
                status=job["status"],
            )
            for job in json.loads(_get(self._target, "/jobs"))
        ]

    def version(self) -> int:
        """Return the version of the collector's memory."""
        return int(json.loads(_get(self._collector, "/api/v1/status"))["version"])

    def readable(self, jobs: Iterable[Listed], signal: str) -> set[str]:
        """Return what can be read of one signal of jobs."""
        query = [("trace_id", trace_id) for job in jobs for trace_id in job.traces]
        query += [("encoding", "protobuf"), ("signal", signal)]
        path = f"/api/v1/evidence?{urlencode(query)}"
        _, _, body = _get(self._collector, path).partition(b"\n")
        return _spans(body) if signal == "traces" else _lines(body)


def _connection(url: str) -> http.client.HTTPConnection:
    where = urlsplit(url)
    return http.client.HTTPConnection(where.hostname or "", where.port, timeout=30)


def _get(connection: http.client.HTTPConnection, path: str) -> bytes:
    connection.request("GET", path)
    # What is acknowledged late is seen late where a server writes its answer in parts.
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{path} answered {answer.status}")
    return body


def _spans(body: bytes) -> set[str]:
    return {
        span.span_id.hex()
        for resource in TracesData.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    }


def _lines(body: bytes) -> set[str]:
    return {
        record.body.string_value
        for resource in LogsData.FromString(body).resource_logs
        for scope in resource.scope_logs
        for record in scope.log_records
    }


def written(seen: Mapping[str, Witnessed]) -> str:
    """Return what was seen as JSON."""
    return json.dumps({job: asdict(one) for job, one in seen.items()})


def read_back(text: str) -> dict[str, Witnessed]:
    """Return what `written` wrote."""

    def sightings(many: list[dict[str, Any]]) -> tuple[Sighting, ...]:
        return tuple(Sighting(**one) for one in many)

    return {
        job: Witnessed(
            end=Sighting(**one["end"]),
            first=Sighting(**one["first"]),
            spans=sightings(one["spans"]),
            lines=sightings(one["lines"]),
        )
        for job, one in json.loads(text).items()
    }


def main() -> None:
    """Watch until standard input ends, then print what was seen."""
    ended = threading.Event()
    watch = Watch(HttpEyes(sys.argv[1], sys.argv[2]), time.monotonic)

    def again(look: Callable[[], None]) -> None:
        while not ended.wait(_PAUSE):
            look()

    looks = (watch.look_at_target, watch.look_at_collector)
    threads = [threading.Thread(target=again, args=(look,)) for look in looks]
    for thread in threads:
        thread.start()
    print("watching", flush=True)
    sys.stdin.read()
    ended.set()
    for thread in threads:
        thread.join()
    print(written(watch.witnessed()), flush=True)


if __name__ == "__main__":
    main()
