"""A running pipeline for tests and demonstrations: started as a user would, seen from outside.

What it tells of spans and logs is what OpenTelemetry's own console exporter wrote.
"""

from __future__ import annotations

import json
import os
import secrets
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

CONSOLE: Final = {"OTEL_TRACES_EXPORTER": "console", "OTEL_LOGS_EXPORTER": "console"}
_COMMAND: Final = (sys.executable, "-m", "pipeline")
_STEP: Final = 0.01
_T = TypeVar("_T")


class TimedOutError(AssertionError):
    """What was waited for did not come."""


def poll_until(look: Callable[[], _T | None], what: str, seconds: float = 30.0) -> _T:
    """Look until there is something and return it."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise TimedOutError(f"{what} did not come within {seconds:g} s; last seen: {found!r}")
        select.select([], [], [], _STEP)


@dataclass(frozen=True, slots=True)
class Submitted:
    """A job that was taken, and the trace that it was asked to be in."""

    job_id: str
    trace_id: str
    nonce: str


class RunningPipeline:
    """One pipeline, in a process of its own."""

    def __init__(self, state: Path, env: Mapping[str, str] | None = None) -> None:
        """Start it; wait with `wait_until_up`."""
        self.state = state
        self._out = state.with_name(f"{state.name}.out")
        given = {**os.environ, **CONSOLE, **(env or {})}
        with self._out.open("wb") as out:
            self.process = subprocess.Popen(
                [*_COMMAND, "up", "--end-with-parent", "--state-dir", str(state)],
                stdout=out,
                stderr=out,
                env=given,
            )
        self.client = httpx.Client(timeout=10, trust_env=False)
        self._read: dict[Path, tuple[int, list[dict[str, Any]]]] = {}

    def wait_until_up(self, seconds: float = 60.0) -> None:
        """Wait for the line that says so; the process must not end before it."""

        def look() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"the pipeline ended:\n{self.said()}")
            return "pipeline is up" in self.said()

        poll_until(look, "a healthy pipeline", seconds)

    def said(self) -> str:
        """Return what `up` has printed."""
        return self._out.read_text()

    def stop(self) -> int:
        """End it as Ctrl-C does; return its exit code."""
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)

    def description(self) -> dict[str, Any]:
        """Return pipeline.json."""
        found: dict[str, Any] = json.loads((self.state / "pipeline.json").read_text())
        return found

    def url(self, service: str) -> str:
        """Return the URL of a service."""
        return str(self.description()["services"][service]["url"])

    def key(self, whose: str) -> dict[str, str]:
        """Return the header with somebody's key."""
        return {"X-API-Key": self.description()["keys"][whose]}

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the pipeline against this one."""
        return subprocess.run(
            [*_COMMAND, *arguments, "--state-dir", str(self.state)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def submit(
        self, page: str, *, run_id: str | None = "run", whose: str = "validator"
    ) -> Submitted:
        """Submit a page of the site as a job of a corpus of its own."""
        nonce, trace_id = secrets.token_hex(8), secrets.token_hex(16)
        headers = {
            **self.key(whose),
            "traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01",
        }
        if run_id is not None:
            headers["baggage"] = f"traffic=synthetic,obs_validator.run_id={run_id}"
        url = f"{self.description()['urls'][page]}?nonce={nonce}"
        body = {"url": url, "corpus_name": f"corpus-{nonce}"}
        answer = self.client.post(f"{self.url('orchestrator')}/jobs", json=body, headers=headers)
        answer.raise_for_status()
        return Submitted(answer.json()["job_id"], trace_id, nonce)

    def job(self, job_id: str, whose: str = "validator") -> dict[str, Any]:
        """Return a job as its caller sees it."""
        answer = self.client.get(
            f"{self.url('orchestrator')}/jobs/{job_id}", headers=self.key(whose)
        )
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def ended(self, job_id: str, whose: str = "validator", seconds: float = 60) -> dict[str, Any]:
        """Wait for a job's end and return the job."""

        def look() -> dict[str, Any] | None:
            job = self.job(job_id, whose)
            return job if job["status"] in {"done", "failed"} else None

        return poll_until(look, f"the end of job {job_id}", seconds)

    def metrics(self, service: str) -> str:
        """Return a service's page of metrics."""
        url = self.description()["services"][service]["metrics_url"]
        return self.client.get(url).text

    def spans(self, trace_id: str | None = None) -> list[dict[str, Any]]:
        """Return the spans that all processes exported, of one trace or of all."""
        found = [
            line
            for path in sorted((self.state / "logs").glob("*.log"))
            for line in self._objects(path)
            if "context" in line and "kind" in line
        ]
        if trace_id is None:
            return found
        return [span for span in found if span["context"]["trace_id"] == f"0x{trace_id}"]

    def wait_for_span(self, trace_id: str, name: str) -> list[dict[str, Any]]:
        """Wait until a span of this name and all parents were exported; return the trace."""

        def look() -> list[dict[str, Any]] | None:
            spans = self.spans(trace_id)
            ids = {span["context"]["span_id"] for span in spans}
            roots = [span for span in spans if span["parent_id"] not in ids]
            named = any(span["name"] == name for span in spans)
            return spans if named and len(roots) == 1 else None

        return poll_until(look, f"the span {name} of trace {trace_id}, which has one root,")

    def wait_for_span_of_job(self, job_id: str, name: str) -> dict[str, Any]:
        """Wait until a span of this name was exported for a job, in whatever trace."""

        def look() -> dict[str, Any] | None:
            for span in self.spans():
                if span["name"] == name and span["attributes"].get("job.id") == job_id:
                    return span
            return None

        return poll_until(look, f"the span {name} of job {job_id}")

    def records(self, process: str) -> list[dict[str, Any]]:
        """Return the log records that a process exported."""
        path = self.state / "logs" / f"{process}.log"
        return [line for line in self._objects(path) if "body" in line and "severity_text" in line]

    def lines(self, process: str) -> list[dict[str, Any]]:
        """Return the log lines that a process wrote itself."""
        return [
            line
            for line in self._objects(self.state / "logs" / f"{process}.log")
            if "event" in line
        ]

    def _objects(self, path: Path) -> list[dict[str, Any]]:
        """Return the JSON objects of a log; only what is new is read, and whole lines of it."""
        offset, found = self._read.setdefault(path, (0, []))
        with path.open("rb") as file:
            file.seek(offset)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        for line in whole.splitlines():
            if line.startswith(b"{"):
                found.append(_parsed(path, line))
        self._read[path] = (offset + len(whole), found)
        return found


def _parsed(path: Path, line: bytes) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(line)
    except ValueError as error:
        raise AssertionError(f"{path} has a line that is no JSON: {line!r}") from error
    return found
