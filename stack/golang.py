"""Programs built as Go modules, for machines whose package manager does not have them.

Each has a folder in `go/` with a go.mod: the one place where its version is pinned. Go's
module proxy and checksum database are the supply; `go install` refuses both programs because
their own go.mod has replace lines, which ours repeats.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stack.cache import cache, once
from stack.errors import MissingError

if TYPE_CHECKING:
    from collections.abc import Callable

BUILD = Path(__file__).resolve().parent / "go"


@dataclass(frozen=True, slots=True)
class Program:
    """A program of Go, as its go.mod says; `stamp` is what makes it tell its version."""

    name: str
    package: str
    version: str
    go: str
    stamp: str
    how_long: str

    @property
    def path(self) -> Path:
        """Where it is kept once it is built."""
        return cache() / "bin" / f"{self.name}-{self.version}"


def _program(name: str, stamp: str, how_long: str) -> Program:
    """Read a program's go.mod."""
    text = (BUILD / name / "go.mod").read_text(encoding="utf-8")
    package = re.search(r"^tool (\S+)$", text, re.MULTILINE)
    version = re.search(r"^require \S+ v(\S+)$", text, re.MULTILINE)
    go = re.search(r"^go (\S+)$", text, re.MULTILINE)
    if package is None or version is None or go is None:
        raise MissingError(f"{BUILD / name / 'go.mod'} has no line `go`, `tool` or `require`")
    return Program(name, package[1], version[1], go[1], stamp, how_long)


def loki() -> Program:
    """Return how Loki is built."""
    return _program(
        "loki", "github.com/grafana/loki/v3/pkg/util/build.Version={version}", "6 minutes"
    )


def jaeger() -> Program:
    """Return how Jaeger's all-in-one is built."""
    stamp = "github.com/jaegertracing/jaeger/pkg/version.latestVersion=v{version}"
    return _program("jaeger", stamp, "2 minutes")


def built(program: Program, say: Callable[[str], None]) -> Path:
    """Return the program, built now if it was not yet; raises `MissingError`."""
    if not program.path.exists():
        _need_go(program)
        say(
            f"building {program.name} {program.version} once, about {program.how_long}"
            f" on two cores: {program.path}"
        )
    return once(program.path, lambda folder: _build(program, folder))


def _need_go(program: Program) -> None:
    """Refuse a machine without Go, or with one that is too old and may not fetch a newer one."""
    needs = f"building {program.name} {program.version} needs Go {program.go} or newer"
    if shutil.which("go") is None:
        raise MissingError(f"not on PATH, and {needs}, which is not on PATH either")
    done = subprocess.run(
        ["go", "version"],  # noqa: S607 - the user's Go
        cwd=BUILD / program.name,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise MissingError(f"not on PATH, and {needs}: {_last(done.stderr)}")


def _build(program: Program, folder: Path) -> Path:
    """Build in `folder`, at the lowest priority; return the binary."""
    shutil.copy(BUILD / program.name / "go.mod", folder)
    binary, log = folder / program.name, cache() / f"build-{program.name}.log"
    flags = f"-s -w -X {program.stamp.format(version=program.version)}"
    command = ["go", "build", "-mod=mod", "-trimpath", "-buildvcs=false", f"-ldflags={flags}"]
    with log.open("wb") as out:
        done = subprocess.run(
            ["nice", "-n", "19", *command, "-o", str(binary), program.package],  # noqa: S607
            cwd=folder,
            env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            check=False,
        )
    if done.returncode:
        last = _last(log.read_text(errors="replace")) or f"it ended with code {done.returncode}"
        raise MissingError(f"building {program.name} failed: {last} (all of it in {log})")
    return binary


def _last(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
