"""A Jaeger that is really running, where the machine has one."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

CACHE = Path.home() / ".cache" / "obs-validator" / "bin"
_NAMES = ("jaeger-1.62.0", "jaeger-all-in-one", "all-in-one")
_PORTS = (
    "query.http-server.host-port",
    "collector.otlp.http.host-port",
    "collector.otlp.grpc.host-port",
    "query.grpc-server.host-port",
    "collector.http-server.host-port",
    "collector.grpc-server.host-port",
    "admin.http.host-port",
    "http-server.host-port",
    "processor.zipkin-compact.server-host-port",
    "processor.jaeger-compact.server-host-port",
    "processor.jaeger-binary.server-host-port",
)


def binary() -> Path | None:
    """Return Jaeger 1's all-in-one, from the PATH or from what was built before."""
    for name in _NAMES:
        found = shutil.which(name) or shutil.which(name, path=str(CACHE))
        if found:
            return Path(found)
    return None


@dataclass(frozen=True)
class Jaeger:
    """Where a running Jaeger is asked, and where it takes OTLP."""

    url: str
    otlp: str


@contextmanager
def running(path: Path, log: Path) -> Iterator[Jaeger]:
    """Run a Jaeger on loopback until the block ends."""
    ports = _free_ports(len(_PORTS))
    flags = [f"--{flag}=127.0.0.1:{port}" for flag, port in zip(_PORTS, ports, strict=True)]
    with log.open("wb") as output:
        process = subprocess.Popen([path, *flags], stdout=output, stderr=output)
    jaeger = Jaeger(f"http://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}")
    try:
        _wait(jaeger, process, log)
        yield jaeger
    finally:
        process.terminate()
        process.wait(timeout=20)


def _free_ports(count: int) -> list[int]:
    """Return ports of loopback that nobody has."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _wait(jaeger: Jaeger, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return when it takes spans and answers questions."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            requests.get(f"{jaeger.url}/api/services", timeout=5).raise_for_status()
            requests.post(
                f"{jaeger.otlp}/v1/traces",
                headers={"Content-Type": "application/x-protobuf"},
                timeout=5,
            ).raise_for_status()
        except requests.RequestException:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.05)
        else:
            return
    raise AssertionError(f"Jaeger did not come up:\n{log.read_text()[-2000:]}")
