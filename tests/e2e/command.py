"""The command in a process of its own, and a pipeline that exports to where it listens."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg

from pipeline.testing import RunningPipeline, poll_until
from validator.evidence_io import load_runs
from validator.model import Run

ROOT = Path(__file__).resolve().parents[2]
OTLP = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_LOGS_EXPORTER": "otlp"}
MARK = "OBS_VALIDATOR_E2E"
"""A variable that everything a command starts inherits, by which it can be found afterwards."""

SLOW = """\
suite: slow
ring: 2
target: pipeline
job: {page: "/slow?seconds=7&of="}  # and the nonce; longer than a busy machine takes to press
deadline: 30s
checks:
  - job_outcome: {state: passed}
    catches: a test of what an interrupt does in the middle of a job
"""


@dataclass
class Said:
    """What a command came to; nothing that it says may be a stack trace."""

    code: int
    out: str
    err: str

    def __post_init__(self) -> None:
        """Hold the promise that is the same for every command."""
        assert "Traceback" not in self.out + self.err, self.out + self.err


def free_port() -> int:
    """Return a port that nobody has, outside of what the kernel hands out by itself."""
    first = 20000 + os.getpid() * 7 % 10000
    for number in range(first, first + 500):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", number))
            except OSError:
                continue
            return number
    raise AssertionError("no port is free")


@dataclass
class Running:
    """A command that is going on."""

    process: subprocess.Popen[str]
    out: Path
    err: Path
    mark: str
    since: float = field(default_factory=time.monotonic)

    def said(self) -> str:
        """Return everything that it has printed by now."""
        return self.out.read_text() + self.err.read_text()

    def wait_for(self, text: str, seconds: float = 30) -> None:
        """Wait until it has printed `text`."""

        def look() -> bool:
            assert self.process.poll() is None, f"it ended:\n{self.said()}"
            return text in self.said()

        poll_until(look, f"`{text}` in what it says", seconds)

    def end(self, number: signal.Signals, seconds: float = 30) -> Said:
        """Send it a signal and wait for its end."""
        self.process.send_signal(number)
        return self.ended(seconds)

    def end_by_thread(self, number: signal.Signals, seconds: float = 30) -> Said:
        """Send a signal as the kernel may: to a thread of it that is not the main one."""
        tasks = sorted(int(task.name) for task in Path(f"/proc/{self.process.pid}/task").iterdir())
        last = tasks[-1]
        assert last != self.process.pid, "it has one thread"
        assert ctypes.CDLL(None).tgkill(self.process.pid, last, int(number)) == 0
        return self.ended(seconds)

    def ended(self, seconds: float = 30) -> Said:
        """Wait for its end."""
        code = self.process.wait(seconds)
        return Said(code, self.out.read_text(), self.err.read_text())

    def family(self) -> set[int]:
        """Return the ids of every process that it started, and that they started, by now."""
        try:
            return {
                child.pid for child in psutil.Process(self.process.pid).children(recursive=True)
            }
        except psutil.NoSuchProcess:
            return set()

    def left_behind(self) -> list[str]:
        """Return the processes that have inherited its mark and still run."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self.mark and _runs(process):
                    found.append(f"{process.pid} {' '.join(process.cmdline())}")
            except psutil.Error:
                continue
        return found


def _runs(process: psutil.Process) -> bool:
    return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)


def command(*arguments: str) -> list[str]:
    """Return the command line."""
    return [sys.executable, "-m", "validator", *arguments]


def given(more: Mapping[str, str]) -> dict[str, str]:
    """Return the environment: the tree under test is the one that these tests are in."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


@contextmanager
def running(folder: Path, name: str, env: Mapping[str, str], *args: str) -> Iterator[Running]:
    """Have a command running in `folder`; it is killed if it outlives the block."""
    out, err, mark = folder / f"{name}.out", folder / f"{name}.err", f"{folder}/{name}"
    with out.open("w") as out_file, err.open("w") as err_file:
        process = subprocess.Popen(
            command(*args),
            cwd=folder,
            env=given({**env, MARK: mark}),
            stdout=out_file,
            stderr=err_file,
            text=True,
        )
    try:
        yield Running(process, out, err, mark)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


@dataclass
class Checked:
    """A `check` that has ended: its report, and the runs that it stored."""

    said: Said
    report: dict[str, Any]
    runs: tuple[Run, ...]
    evidence: Path

    def verdicts(self) -> dict[tuple[str, str], tuple[str, str]]:
        """Return status and code of each verdict by suite and name."""
        return {
            (run["suite"], verdict["name"]): (verdict["status"], verdict["code"])
            for run in self.report["runs"]
            for verdict in run["verdicts"]
        }

    def failed(self) -> set[tuple[str, str]]:
        """Return which checks failed."""
        return {key for key, (status, _) in self.verdicts().items() if status == "fail"}


@dataclass
class Stage:
    """A pipeline, a folder with the shipped configuration, and the command to run in it."""

    pipeline: RunningPipeline
    folder: Path
    port: int
    variables: Mapping[str, str] = field(default_factory=dict)
    count: int = 0

    def configure(self) -> None:
        """Write the configuration as it is shipped, but for the port; and suites for tests."""
        shipped = (ROOT / "suites" / "obs-validator.yaml").read_text()
        local = shipped.replace("127.0.0.1:4318", f"127.0.0.1:{self.port}")
        local = "\n".join(x for x in local.splitlines() if not x.strip().startswith("grpc:"))
        assert str(self.port) in local
        (self.folder / "obs-validator.yaml").write_text(
            local.replace(
                f"    http: 127.0.0.1:{self.port}",
                f"    http: 127.0.0.1:{self.port}\n    grpc: null",
            )
        )
        for suite in (ROOT / "suites").glob("pipeline*.yaml"):
            shutil.copy(suite, self.folder)
        (self.folder / "a-slow.yaml").write_text(SLOW)
        remote = (self.folder / "obs-validator.yaml").read_text()
        remote = remote.replace("type: collector", "type: remote_collector")
        remote = remote.replace(
            f"    http: 127.0.0.1:{self.port}\n    grpc: null",
            f"    url: http://127.0.0.1:{self.port}",
        )
        (self.folder / "remote.yaml").write_text(remote)
        lines = (self.pipeline.state / "pipeline.env").read_text().splitlines()
        self.variables = dict(line.split("=", 1) for line in lines if "=" in line)

    def run(self, *arguments: str, code: int | None = None) -> Said:
        """Run a command to its end."""
        done = subprocess.run(
            command(*arguments),
            cwd=self.folder,
            env=given(self.variables),
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        said = Said(done.returncode, done.stdout, done.stderr)
        assert code is None or said.code == code, said
        return said

    def check(self, *arguments: str, code: int) -> Checked:
        """Run `check`, with its report and its evidence in files."""
        self.count += 1
        report, evidence = self.folder / f"{self.count}.json", self.folder / f"{self.count}.d"
        said = self.run(
            "check", *arguments, "-o", str(report), "--save-evidence", str(evidence), code=code
        )
        runs = tuple(load_runs(evidence))
        return Checked(said, json.loads(report.read_text()), runs, evidence)

    @contextmanager
    def running(self, name: str, *arguments: str) -> Iterator[Running]:
        """Have a command running."""
        with running(self.folder, name, self.variables, *arguments) as found:
            yield found

    def broken(self, *switches: str) -> None:
        """Have exactly these switches on."""
        done = self.pipeline.command("break", *switches)
        assert done.returncode == 0, done.stderr

    def rows(self, run_id: str) -> dict[str, int]:
        """Return how many rows of a run there are in each table of the pipeline."""
        url = self.pipeline.description()["servers"]["postgres"]["url"]
        with psycopg.connect(url) as database:
            return {
                table: _count(database, table, run_id) for table in ("jobs", "documents", "vectors")
            }


def _count(database: psycopg.Connection[Any], table: str, run_id: str) -> int:
    queries = {
        "jobs": b"SELECT count(*) FROM jobs WHERE run_id = %s",
        "vectors": b"SELECT count(*) FROM vectors WHERE run_id = %s",
        "documents": b"SELECT count(*) FROM documents JOIN jobs ON jobs.id = documents.job_id"
        b" WHERE run_id = %s",
    }
    row = database.execute(queries[table], (run_id,)).fetchone()
    assert row is not None
    return int(row[0])
