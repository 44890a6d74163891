"""The container engine: docker, podman, or a command that takes the same words."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.testing import poll_until

STRICT = (
    *("--read-only", "--cap-drop", "ALL"),
    *("--security-opt", "no-new-privileges", "--no-healthcheck"),
)
"""How the image is meant to be run. What podman mounts writable by itself is left out too."""

Told = Callable[[str], None]
"""Takes a line with a figure; all are printed at the end."""

BASE = "docker.io/library/python:3.11-slim"


@dataclass(frozen=True)
class Ended:
    """A container that has ended; nothing that it says may be a stack trace."""

    code: int
    out: str
    err: str
    seconds: float

    def __post_init__(self) -> None:
        """Hold the promise that is the same for every command."""
        assert "Traceback" not in self.out + self.err, self.out + self.err


@dataclass
class Container:
    """A container that is going on."""

    engine: Engine
    name: str
    process: subprocess.Popen[str]
    out: Path
    err: Path

    def wait_for(self, text: str, seconds: float = 30) -> None:
        """Wait until it has printed `text`."""

        def look() -> bool:
            said = self.out.read_text() + self.err.read_text()
            assert self.process.poll() is None, f"it ended:\n{said}"
            return text in said

        poll_until(look, f"`{text}` in what it says", seconds)

    def signal(self, name: str) -> None:
        """Send its first process a signal."""
        self.engine.call("kill", "--signal", name, self.name)

    def healthy(self) -> tuple[bool, str]:
        """Ask what the image declares as its health check, within the container."""
        command = self.engine.health_check()
        done = self.engine.run(["exec", self.name, *command])
        return done.returncode == 0, done.stderr.strip()

    def ended(self, seconds: float) -> Ended:
        """Wait for its end; `seconds` of the answer are from now."""
        began = time.monotonic()
        code = self.process.wait(seconds)
        took = time.monotonic() - began
        return Ended(code, self.out.read_text(), self.err.read_text(), took)


@dataclass(frozen=True)
class Engine:
    """The command of an engine and the image under test."""

    words: tuple[str, ...]
    image: str
    folder: Path
    strict: tuple[str, ...] = field(default=STRICT)
    network: str = "host"

    @classmethod
    def given(cls, folder: Path) -> Engine:
        """Return the engine that the environment names."""
        words = tuple(shlex.split(os.environ["CONTAINERS"]))
        podman = "podman" in Path(words[-1]).name
        alone = ("--read-only-tmpfs=false",) if podman else ()
        return cls(words, os.environ["IMAGE"], folder, (*STRICT, *alone))

    def run(
        self, arguments: Sequence[str], seconds: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run the engine's command."""
        return subprocess.run(
            [*self.words, *arguments],
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def call(self, *arguments: str, seconds: float = 60) -> str:
        """Run the engine's command, which has to go well; return what it prints."""
        done = self.run(arguments, seconds)
        assert done.returncode == 0, f"{' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def inspect(self, image: str) -> dict[str, Any]:
        """Return what is known of an image; one that building did not keep is fetched."""
        if self.run(["image", "inspect", image]).returncode:
            self.call("pull", image, seconds=300)
        (found,) = json.loads(self.call("image", "inspect", image))
        assert isinstance(found, dict)
        return found

    def health_check(self) -> list[str]:
        """Return the command that the image declares."""
        found = self.inspect(self.image)
        check = found.get("Healthcheck") or found["Config"]["Healthcheck"]
        kind, *command = check["Test"]
        assert kind == "CMD"
        return [str(word) for word in command]

    def options(self, mounts: Mapping[Path, str], variables: Mapping[str, str]) -> list[str]:
        """Return the options of `run` for mounts and variables, whose values no `ps` shows."""
        listed = self.folder / f"{secrets.token_hex(4)}.env"
        listed.write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
        volumes = [x for path, where in mounts.items() for x in ("--volume", f"{path}:{where}")]
        return ["--env-file", str(listed), *volumes]

    def how(self) -> list[str]:
        """Return the options of `run` that are the same for every container."""
        return [*self.strict, "--network", self.network]

    def to_end(self, *arguments: str, options: Sequence[str] = (), seconds: float = 90) -> Ended:
        """Run the image to its end."""
        began = time.monotonic()
        words = [*self.how(), *options, self.image, *arguments]
        done = self.run(["run", "--rm", *words], seconds)
        return Ended(done.returncode, done.stdout, done.stderr, time.monotonic() - began)

    @contextmanager
    def running(self, *arguments: str, options: Sequence[str] = ()) -> Iterator[Container]:
        """Have a container of the image running; it is removed if it outlives the block."""
        name = f"obs-validator-test-{secrets.token_hex(4)}"
        out, err = self.folder / f"{name}.out", self.folder / f"{name}.err"
        words = ["run", "--rm", "--name", name, *self.how(), *options, self.image, *arguments]
        with out.open("w") as out_file, err.open("w") as err_file:
            process = subprocess.Popen(
                [*self.words, *words], stdout=out_file, stderr=err_file, text=True
            )
        try:
            yield Container(self, name, process, out, err)
        finally:
            if process.poll() is None:
                self.run(["rm", "--force", name])
                process.wait(30)
