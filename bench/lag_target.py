"""A tiny real target: takes jobs over HTTP and sends what they leave over OTLP/HTTP, in steps.

`python -m bench.lag_target OTLP_URL` prints its own address and ends with its standard input.
"""

from __future__ import annotations

import http.client
import json
import random
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from bench.lag_steps import Job, Step, steps_of

_MOST_LISTED = 8.0
"""Seconds for which a job is listed for the observer."""


@dataclass(slots=True)
class Jobs:
    """The jobs that were taken; `otlp` is where their telemetry goes."""

    otlp: str
    known: dict[str, Job] = field(default_factory=dict)

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
        )
        steps = steps_of(job, random.Random(number))
        self.known[job.id] = job
        threading.Thread(target=self._work, args=(job, steps), daemon=True).start()
        return job

    def _work(self, job: Job, steps: list[Step]) -> None:
        """Send each step when it is due; the job's end is a time, and needs nobody."""
        where = urlsplit(self.otlp)
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=30)
        wait = threading.Event().wait
        for step in steps:
            wait(max(0.0, job.begun + step.at - time.monotonic()))
            headers = {"Content-Type": "application/x-protobuf"}
            connection.request("POST", f"/v1/{step.signal}", step.body, headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise RuntimeError(f"the collector answered {answer.status}")
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
                "status": job.status(time.monotonic()),
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
        """Say what became of a job, or list them all."""
        job = self.jobs.known.get(self.path.rpartition("/")[2])
        if job is not None:
            self._answer(200, {"status": job.status(time.monotonic())})
        else:
            self._answer(200, self.jobs.listed())

    def _answer(self, status: int, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
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
    handler = type("Handler", (_Handler,), {"jobs": Jobs(sys.argv[1])})
    server = _Server(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
