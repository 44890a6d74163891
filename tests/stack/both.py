"""The same pipeline twice: one exports to the built-in collector, one to the real backends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.testing import RunningPipeline
from stack import state
from tests.e2e.command import OTLP, ROOT, Checked, Said, Stage, command, free_port, given
from validator.evidence_io import load_runs

FOLDER = ROOT / ".stack"
SECONDS = 1500
"""Loki and Jaeger are built once, which takes minutes on two cores."""


@dataclass(slots=True)
class Real:
    """A stack that is up, with its pipeline, and the command that asks the backends."""

    folder: Path
    up: state.State
    count: int = 0

    def broken(self, *switches: str) -> None:
        """Have exactly these switches on, also where somebody has left others on."""
        assert self.up.pipeline is not None
        described = json.loads((Path(self.up.pipeline) / "pipeline.json").read_text())
        if described["faults"] != sorted(switches):
            word = "break" if switches else "mend"
            done = _run("pipeline", word, *switches, "--state-dir", self.up.pipeline)
            assert done.returncode == 0, done.stderr

    def check(self) -> Checked:
        """Run `check`, with its report and its evidence in files."""
        self.count += 1
        report, evidence = self.folder / f"{self.count}.json", self.folder / f"{self.count}.d"
        config = ROOT / "stack" / "obs-validator.yaml"
        files = ("-o", str(report), "--save-evidence", str(evidence))
        done = subprocess.run(
            command("check", "--config", str(config), *files),
            cwd=self.folder,
            env=given(self.up.variables),
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        said = Said(done.returncode, done.stdout, done.stderr)
        assert report.is_file(), said
        return Checked(said, json.loads(report.read_text()), tuple(load_runs(evidence)), evidence)


@contextmanager
def real(folder: Path) -> Iterator[Real]:
    """Have the stack of this clone: the one that is up, else one that goes again afterwards."""
    ours = not _is_up()
    if ours:
        done = _run("stack", "up", "--state-dir", str(FOLDER))
        assert done.returncode == 0, done.stderr
        sys.stderr.write(done.stdout)
    try:
        found = state.read(FOLDER)
        assert found is not None
        assert found.pipeline is not None, "the stack is up without a pipeline: make stack-down"
        running = Real(folder, found)
        yield running
        running.broken()
    finally:
        if ours:
            _run("stack", "down", "--state-dir", str(FOLDER))


@contextmanager
def embedded(folder: Path) -> Iterator[Stage]:
    """Have a pipeline that exports to where the commands listen."""
    port = free_port()
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
    pipeline = RunningPipeline(folder / "state", {**OTLP, **endpoint})
    try:
        pipeline.wait_until_up(60)
        stage = Stage(pipeline, folder, port)
        stage.configure()
        (folder / "a-slow.yaml").unlink()
        yield stage
    finally:
        pipeline.stop()


def _is_up() -> bool:
    return _run("stack", "status", "--state-dir", str(FOLDER)).returncode == 0


def _run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a module of this clone, without what an earlier stack has left in the environment."""
    env: Mapping[str, str] = {
        name: value for name, value in os.environ.items() if not name.startswith("OTEL_")
    }
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
