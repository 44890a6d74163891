"""A tiny real target: takes jobs over HTTP and sends what they leave over OTLP/HTTP, in steps.

`python -m bench.lag_target TRACES_URL [LOGS_URL]`, both without `/v1/...`, prints its own address
and ends with its standard input. It has a page of metrics, on which it counts jobs that say under
which name.
"""

from __future__ import annotations

import http.client
import json
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from bench import lag_truth
from bench.lag_steps import QUICK, SHAPES, Job, Step, steps_of

NOWHERE = "-"
"""In place of a URL: nothing is sent."""

_MOST_LISTED = 8.0
"""Seconds for which a job is listed for the observer."""


@dataclass(slots=True)
class Jobs:
    """The jobs that were taken; `otlp` is where their telemetry goes, by signal."""

    otlp: Mapping[str, str]
    known: dict[str, Job] = field(default_factory=dict)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, asked: dict[str, object], traceparent: str) -> Job:
        """Take a job and let it begin."""
        number = int(str(asked["number"]))
        trace_id, parent_id = traceparent.split("-")[1:3]
        job = Job(
            id=f"job-{number}-{trace_id[:8]}",
            scenario=str(asked["scenario"]),
            trace_id=trace_id,
            parent_id=parent_id,
            begun=time.monotonic(),
            late=float(str(asked.get("late", 0))),
        )
        shape = SHAPES[str(asked.get("shape", QUICK))]
        steps = steps_of(job, random.Random(number), shape)
        self.known[job.id] = job
        self._count(job, str(asked.get("metric", "")))
        if NOWHERE not in self.otlp.values():
            threading.Thread(target=self._work, args=(job, steps), daemon=True).start()
        return job

    def _count(self, job: Job, metric: str) -> None:
        """Count a job's reads and writes; a scenario has the writes forgotten."""
        forgotten = {"write"} if job.scenario == lag_truth.SERVICE else set()
        with self.lock:
            for operation in {"read", "write"} - forgotten if metric else ():
                self.counts[metric, operation] += 1

    def page(self) -> str:
        """Return the page of metrics."""
        with self.lock:
            lines = [
                f'{metric}_total{{operation="{operation}",traffic="synthetic"}} {count}'
                for (metric, operation), count in sorted(self.counts.items())
            ]
        names = sorted({metric for metric, _ in self.counts})
        return "\n".join([*(f"# TYPE {name}_total counter" for name in names), *lines, ""])

    def _work(self, job: Job, steps: list[Step]) -> None:
        """Send each step when it is due; the job's end is a time, and needs nobody."""
        connections = {}
        for signal, url in self.otlp.items():
            where = urlsplit(url)
            connections[signal] = (
                http.client.HTTPConnection(where.hostname or "", where.port, timeout=30),
                where.path,
            )
        wait = threading.Event().wait
        for step in steps:
            wait(max(0.0, job.begun + step.at - time.monotonic()))
            connection, path = connections[step.signal]
            headers = {"Content-Type": "application/x-protobuf"}
            job.sent.update(dict.fromkeys(step.pieces, time.monotonic()))
            connection.request("POST", f"{path}/v1/{step.signal}", step.body, headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status not in {200, 204}:
                raise RuntimeError(f"what takes {step.signal} answered {answer.status}")
        for connection, _ in connections.values():
            connection.close()

    def listed(self) -> list[dict[str, object]]:
        """Return every young job as the observer needs it."""
        oldest = time.monotonic() - _MOST_LISTED
        return [
            {
                "id": job.id,
                "traces": job.traces,
                "first": job.first,
                "spans": job.spans,
                "lines": job.lines,
                "sent": dict(job.sent),
                "status": job.status(time.monotonic()),
                "ended": job.begun + job.ends,
            }
            for job in tuple(self.known.values())
            if job.begun >= oldest
        ]


class _Handler(BaseHTTPRequestHandler):
    """`POST /jobs`, `GET /jobs/ID`, and `GET /jobs` for the observer."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    jobs: Jobs

    def do_POST(self) -> None:
        """Take a job."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        job = self.jobs.take(body, self.headers["traceparent"])
        self._answer(202, {"job_id": job.id})

    def do_GET(self) -> None:
        """Say what became of a job, or list them all; the page of metrics is here, too."""
        if self.path == "/metrics":
            self._write(200, "text/plain; version=0.0.4", self.jobs.page().encode())
            return
        job = self.jobs.known.get(self.path.rpartition("/")[2])
        if job is not None:
            self._answer(200, {"status": job.status(time.monotonic())})
        else:
            self._answer(200, self.jobs.listed())

    def _answer(self, status: int, document: object) -> None:
        self._write(status, "application/json", json.dumps(document).encode())

    def _write(self, status: int, media: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing of each request."""


class _Server(ThreadingHTTPServer):
    """A thread for each connection, none of which outlives the process."""

    daemon_threads = True
    request_queue_size = 128


def main() -> None:
    """Serve until standard input ends."""
    traces, logs = sys.argv[1], sys.argv[-1]
    otlp = {"traces": traces, "logs": logs}
    handler = type("Handler", (_Handler,), {"jobs": Jobs(otlp)})
    server = _Server(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
