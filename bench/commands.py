"""What somebody waits for at a prompt: the help text, the demonstration, the pipeline."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Figure, percentile

_HELPS = 10
_DEMO_MOST = 60.0
_UP_MOST = 8.0
_PATIENCE = 180.0


def measure_help() -> Iterator[Figure]:
    """Measure how long the help text takes."""
    seconds = []
    for _ in range(_HELPS):
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "validator", "--help"], check=True, stdout=subprocess.DEVNULL
        )
        seconds.append(time.perf_counter() - began)
    how = f"median of {_HELPS} processes; the slowest {max(seconds):.3f} s"
    yield Figure("obs-validator --help", percentile(seconds, 0.5), "s", how, bound=0.3)


def measure_demo() -> Iterator[Figure]:
    """Measure the demonstration as a whole, and how soon a pipeline is healthy."""
    with tempfile.TemporaryDirectory(prefix="bench-demo-") as folder:
        report = Path(folder) / "report.html"
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "validator", "demo", "-o", str(report)],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_PATIENCE,
        )
        seconds = time.perf_counter() - began
    lines = done.stdout.strip().splitlines()
    told = "; ".join(lines[-2:-1])
    yield Figure("demo", seconds, "s", f"wall clock, once; it said: {told}", bound=_DEMO_MOST)
    yield Figure("demo: exit code", done.returncode, "", "", bound=0)
    healthy = re.search(r"healthy after ([0-9.]+) s", done.stdout)
    value = float(healthy[1]) if healthy else float("nan")
    how = "from the command's start of the pipeline until all of it is healthy, as the demo says"
    yield Figure("pipeline healthy, within the demo", value, "s", how, bound=_UP_MOST)
    yield _up()


def _up() -> Figure:
    """Measure from the start of `pipeline up` until the file stands that says it is healthy."""
    with tempfile.TemporaryDirectory(prefix="bench-pipeline-") as folder:
        Path(folder).chmod(0o755)  # the database's own user has to enter it
        began = time.perf_counter()
        command = [sys.executable, "-m", "pipeline", "up", "--state-dir", folder]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            last = ""
            for line in process.stdout:
                last = line.strip()
                if last.startswith("pipeline is up"):
                    break
            seconds = time.perf_counter() - began
            up = process.poll() is None and last.startswith("pipeline is up")
            process.terminate()
            process.stdout.read()
            process.wait(timeout=30)
    value = seconds if up else float("nan")
    how = f"`python -m pipeline up` until it says: {json.dumps(last)}"
    return Figure("pipeline healthy, by itself", value, "s", how, bound=_UP_MOST)
