"""Where programs are kept that the machine did not have: made once, by one at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def cache() -> Path:
    """Return the folder of the cache, outside of every repository."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "obs-validator"


def once(path: Path, make: Callable[[Path], Path]) -> Path:
    """Return `path`, which `make` makes in a folder that it is given unless it is there.

    Whoever asks for the same meanwhile waits; what is half made is never seen under that name.
    """
    if path.exists():
        return path
    with _lock(path), _workshop(path) as folder:
        if not path.exists():
            make(folder).rename(path)
    return path


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _workshop(path: Path) -> Iterator[Path]:
    """Yield a new folder on the same file system, gone afterwards.

    Left behind by somebody who was killed, it is removed by the next, who has the lock.
    """
    for left in path.parent.glob(f".{path.name}.making-*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.making-", dir=path.parent) as folder:
        yield Path(folder)
