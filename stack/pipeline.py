"""The reference pipeline that exports to the stack, and whose pages Prometheus scrapes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from stack import targets
from stack.errors import StackError
from stack.processes import MARK

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_COMMAND: Final = (sys.executable, "-m", "pipeline")
_SECONDS: Final = 90


def start(folder: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """Start a pipeline of the stack in `folder`; return its addresses and keys as variables."""
    state = folder / "pipeline"
    done = subprocess.run(
        [*_COMMAND, "up", "--detach", "--state-dir", str(state)],
        env={**os.environ, **variables, MARK: str(folder)},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode:
        raise StackError(done.stderr.strip() or f"the pipeline ended with {done.returncode}")
    scrape(folder, "pipeline", state)
    lines = (state / "pipeline.env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def scrape(folder: Path, name: str, state: Path) -> None:
    """Have Prometheus of the stack in `folder` scrape the pipeline whose state is in `state`."""
    description = json.loads((state / "pipeline.json").read_text(encoding="utf-8"))
    path = folder / "prometheus" / "targets" / f"{name}.json"
    targets.write(path, targets.of_pipeline(description))


def end(folder: Path) -> None:
    """End the pipeline in order, if there is one: its database has files outside of `folder`."""
    state = folder / "pipeline"
    if (state / "control.sock").exists():
        subprocess.run(
            [*_COMMAND, "down", "--state-dir", str(state)],
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
