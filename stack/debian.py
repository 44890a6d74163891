"""Programs out of Debian's packages, unpacked and not installed.

So it needs no root, and no service of the package starts by itself on the default ports.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from stack.cache import cache, once
from stack.errors import MissingError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


def unpacked(package: str, program: str, say: Callable[[str], None]) -> Path:
    """Return a program of a package, fetched now if it was not yet; raises `MissingError`."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise MissingError(f"not on PATH, and there is no apt-get for Debian's {package}")
    root = cache() / "debian" / package
    if not root.exists():
        say(f"fetching Debian's {package} once: {root}")
    found = once(root, lambda folder: _unpack(package, folder)) / "usr" / "bin" / program
    if not found.is_file():
        raise MissingError(f"Debian's {package} has no {program}")
    return found


def _unpack(package: str, folder: Path) -> Path:
    """Fetch and unpack in `folder`, with lists of our own where the machine's are of no use."""
    if _apt(folder, ["download", package]):
        own = _own_lists(folder)
        refused = _apt(folder, [*own, "update"]) or _apt(folder, [*own, "download", package])
        if refused:
            raise MissingError(f"not on PATH, and Debian's {package} cannot be had: {refused}")
    root = folder / "root"
    for archive in folder.glob(f"{package}_*.deb"):
        subprocess.run(["dpkg-deb", "-x", str(archive), str(root)], check=True)  # noqa: S607
    return root


def _own_lists(folder: Path) -> list[str]:
    """Return the options that keep apt's lists in `folder`, where anybody may write."""
    for name in ("lists/partial", "archives/partial"):
        (folder / name).mkdir(parents=True)
    return ["-o", f"Dir::State::Lists={folder}/lists", "-o", f"Dir::Cache={folder}"]


def _apt(folder: Path, arguments: Sequence[str]) -> str:
    """Run apt-get in `folder`; return why it failed, or nothing."""
    done = subprocess.run(
        ["apt-get", "-qq", *arguments],  # noqa: S607 - the machine's
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    words = [line for line in done.stderr.splitlines() if line.startswith("E:")]
    return (words[0] if words else f"code {done.returncode}") if done.returncode else ""
