"""The state directory: taken by one supervisor, and cleared of what an earlier one has left."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from typing import TYPE_CHECKING, Any

from pipeline.host import layout
from pipeline.host.errors import HostError

if TYPE_CHECKING:
    from pathlib import Path


def lock(state: Path) -> Any:
    """Take the state directory for this supervisor alone."""
    state.mkdir(parents=True, exist_ok=True)
    file = (state / "lock").open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise HostError(f"a pipeline is already running in {state}") from None
    return file


def clear(state: Path) -> None:
    """Remove what an earlier start has left, and nothing else."""
    for name in ("pipeline.json", "pipeline.env", "control.sock"):
        (state / name).unlink(missing_ok=True)
    for name in ("logs", "metrics", "tmp", *layout.REDIS):
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(state / name)
        (state / name).mkdir()
