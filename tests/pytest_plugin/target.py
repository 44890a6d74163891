"""A small target of two services, and pytest as its users run it, in a process of its own."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from textwrap import dedent

import requests
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from pipeline.testing import poll_until
from tests.e2e.command import ROOT, free_port
from tests.sources.encode import pairs
from tests.sources.servers import Canned, serving

CONFIG = """\
targets:
  small:
    submit:
      http:
        url: "{url}/jobs"
        body: {{url: "{{{{ job.url }}}}", run: "{{{{ run.id }}}}"}}
        job_id: id
        follow:
          url: "{url}/jobs/{{{{ job.id }}}}"
          status: status
          running: [running]
          done: [done]
          failed: [failed]
          every: 20ms
        clean_up: {{method: DELETE, url: "{url}/runs/{{{{ run.id }}}}"}}
sources:
  collector: {{type: collector, http: "127.0.0.1:{port}", grpc: null, lag_budget: 500ms}}
  pages: {{type: scrape, pages: {{worker: "{url}/metrics"}}, lag_budget: 500ms, timeout: 500ms}}
"""
SUITE = """\
suite: small
target: small
job: {url: "https://example.com/suite"}
settle: 100ms
checks:
  - connected_trace: {services: [api, worker], edges: [api -> worker]}
    catches: a lost context
  - metric_labels: {metric: requests_seconds, label: operation, values: [write]}
    catches: a lost label
"""
PAGE = """\
# TYPE requests_seconds histogram
{lines}"""


@dataclass
class Target:
    """A job goes from the API to the worker; `broken` is what is wrong with the telemetry.

    `gone` is cleaned up; `held` keeps jobs running until it is cleared.
    """

    url: str = ""
    port: int = 0
    broken: set[str] = field(default_factory=set)
    jobs: dict[str, str] = field(default_factory=dict)
    runs: list[str] = field(default_factory=list)
    cleaned: list[str] = field(default_factory=list)
    sent_urls: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    taken: threading.Event = field(default_factory=threading.Event)

    def answer(self, handler: BaseHTTPRequestHandler) -> Canned:
        """Answer as a small API and as a page of metrics."""
        if handler.path == "/metrics":
            return self._page()
        if handler.path == "/cleaned":
            return Canned(body=json.dumps({"status": len(self.cleaned)}).encode())
        if handler.command == "DELETE":
            self.cleaned.append(handler.path.rpartition("/")[2])
            return Canned(status=500 if "cleaning" in self.broken else 204)
        if handler.command == "POST":
            return self._take(handler)
        job_id = handler.path.rpartition("/")[2]
        status = "running" if "held" in self.broken else self.jobs.get(job_id)
        return Canned(body=json.dumps({"status": status}).encode())

    def _page(self) -> Canned:
        if "page" in self.broken:
            return Canned(status=503)
        lines = "".join(
            f"requests_seconds_count{{{labels}}} {count}\n" for labels, count in self.counts.items()
        )
        return Canned(body=PAGE.format(lines=lines).encode(), media="text/plain")

    def _take(self, handler: BaseHTTPRequestHandler) -> Canned:
        if "refuses" in self.broken:
            return Canned(status=403, body=b"not you")
        body = json.loads(getattr(handler, "body", b"{}"))
        job_id = secrets.token_hex(4)
        self.runs.append(body["run"])
        self.sent_urls.append(body["url"])
        self.jobs[job_id] = "failed" if "fails" in self.broken else "done"
        label = "" if "label" in self.broken else 'operation="write",'
        key = f'{label}traffic="synthetic"'
        self.counts[key] = self.counts.get(key, 0) + 1
        _, trace, parent, _ = handler.headers["traceparent"].split("-")
        if "spans" not in self.broken:
            self._export(job_id, trace, parent)
        self.taken.set()
        return Canned(status=201, body=json.dumps({"id": job_id}).encode())

    def _export(self, job_id: str, trace: str, parent: str) -> None:
        """Send one trace of both services; or two, where the context is lost."""
        api, task = secrets.token_hex(8), secrets.token_hex(8)
        lost = "context" in self.broken
        attributes: dict[str, str] = {"job.id": job_id, "job.url": "u", "job.stage": "scraping"}
        if "attribute" in self.broken:
            attributes["job.stages"] = attributes.pop("job.stage")
        self._send("api", "POST /jobs", (trace, api, parent), {"job.id": job_id})
        if "worker" in self.broken:
            return
        if "second" in self.broken:
            first = (trace, secrets.token_hex(8), api)
            self._send("worker", "scrape_task", first, {"job.id": job_id, "job.url": "u"})
        where = (secrets.token_hex(16), task, "") if lost else (trace, task, api)
        self._send("worker", "scrape_task", where, attributes)

    def _send(
        self, service: str, name: str, ids: tuple[str, str, str], attributes: dict[str, str]
    ) -> None:
        now = time.time_ns()
        request = ExportTraceServiceRequest()
        resource = Resource(attributes=pairs({"service.name": service}))
        trace, span, parent = map(bytes.fromhex, ids)
        request.resource_spans.add(resource=resource).scope_spans.add().spans.add(
            trace_id=trace,
            span_id=span,
            parent_span_id=parent,
            name=name,
            start_time_unix_nano=now,
            end_time_unix_nano=now + 1_000_000,
            attributes=pairs(attributes),
        )
        requests.post(
            f"http://127.0.0.1:{self.port}/v1/traces",
            data=request.SerializeToString(),
            headers={"Content-Type": "application/x-protobuf"},
            timeout=5,
        ).raise_for_status()


@dataclass
class Said:
    """What pytest said, and its exit code."""

    code: int
    out: str

    def outcomes(self, **wanted: int) -> None:
        """Hold that so many tests passed, failed, had errors."""
        last = self.out.strip().splitlines()[-1]
        for word in ("passed", "failed", "error"):
            count = wanted.get(word, 0)
            assert (f"{count} {word}" in last) if count else (f" {word}" not in f" {last}"), (
                self.out
            )


@dataclass
class Bench:
    """A folder with tests, a configuration of a small target, and pytest to run them."""

    folder: Path
    target: Target
    ini: str = ""

    def configure(self, *, suite: bool = True, config: str = "") -> None:
        """Write what a user would."""
        text = config or CONFIG.format(url=self.target.url, port=self.target.port)
        (self.folder / "obs.yaml").write_text(text + 'suites: ["*.suite.yaml"]\n')
        if suite:
            (self.folder / "small.suite.yaml").write_text(SUITE)

    def command(self, *options: str) -> list[str]:
        """Return pytest's command line, as little of it as a user needs."""
        (self.folder / "pytest.ini").write_text(f"[pytest]\nfilterwarnings = error\n{self.ini}")
        # Plugins that others have brought import what they like.
        without = ("-p", "no:cacheprovider", "-p", "no:schemathesis")
        return [sys.executable, "-m", "pytest", *without, *options]

    def run(self, test: str, *options: str, config: bool = True, name: str = "test_it.py") -> Said:
        """Run a test file to its end."""
        (self.folder / name).write_text(dedent(test))
        given = ("--obs-validator-config", "obs.yaml") if config else ()
        done = subprocess.run(
            self.command(*given, *options, "test_it.py"),
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Said(done.returncode, done.stdout + done.stderr)

    def interrupted(self, test: str) -> Said:
        """Run a test file until the target has a job, then press Ctrl-C."""
        (self.folder / "test_it.py").write_text(dedent(test))
        process = subprocess.Popen(
            self.command("--obs-validator-config", "obs.yaml", "test_it.py"),
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            poll_until(self.target.taken.is_set, "a job", 30)
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=30)
        finally:
            process.kill()
        return Said(process.returncode, out)


@contextmanager
def bench(folder: Path) -> Iterator[Bench]:
    """Have a target, and a folder to run pytest in."""
    target = Target(port=free_port())
    with serving(target.answer) as served:
        target.url = served.url
        made = Bench(folder, target)
        made.configure()
        yield made
