"""Bringing the stack up: programs found, ports chosen, servers started, all of them healthy."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import httpx

from pipeline.host.control import pause
from pipeline.host.errors import HostError, tail
from pipeline.host.ports import Port, hold
from stack import processes, targets
from stack.errors import MissingError, StackError
from stack.servers import CONFIG, SERVERS, Server
from stack.state import State, Up, variables_of

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

READY_SECONDS: Final = 60.0
TRACES: Final = ("tempo", "jaeger")
"""Who takes the pipeline's spans: the first of these that there is."""


@dataclass(slots=True)
class _Starting:
    """A server that has been started and is not healthy yet."""

    server: Server
    process: subprocess.Popen[bytes]
    health: str
    log: Path


@dataclass(slots=True)
class Bringing:
    """Brings up, in `folder`, what the machine can have of the stack."""

    folder: Path
    say: Callable[[str], None]
    state: State = field(default_factory=State)
    _held: list[Port] = field(default_factory=list)

    def run(self, traces: str | None) -> State:
        """Bring it up; `traces` is who is to take the pipeline's spans, if that is not left to us.

        Raises `StackError` if nothing came up, or not what is to take the spans.
        """
        for name in ("logs", "prometheus/targets"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        found = self._programs()
        self._prometheus_files()
        starting = [self._start(server, program) for server, program in found]
        self._write_targets()
        self._wait(starting)
        self._write_targets()
        if not self.state.servers:
            raise StackError("nothing of the stack could be brought up")
        self.state.variables = variables_of(self.state.servers, self._takes_spans(traces))
        return self.state

    def _programs(self) -> list[tuple[Server, Path]]:
        """Return what there is a program for; note what there is none for."""
        found = []
        for server in SERVERS:
            try:
                if server.name == "tempo" and os.environ.get("TEMPO_URL"):
                    self.state.servers["tempo"] = _tempo_of_others(os.environ)
                else:
                    found.append((server, server.program(self.say)))
            except MissingError as error:
                self.state.missing[server.name] = str(error)
        return found

    def _prometheus_files(self) -> None:
        """Have Prometheus's files, as they are, beside targets of this machine's."""
        for name in ("prometheus.yaml", "rules"):
            link = self.folder / "prometheus" / name
            link.unlink(missing_ok=True)
            link.symlink_to(CONFIG / name)
        for left in (self.folder / "prometheus" / "targets").glob("*.json"):
            left.unlink()

    def _start(self, server: Server, program: Path) -> _Starting:
        """Start a server on its default ports, or on others where those are taken."""
        ports = {name: self._port(server, name, wanted) for name, wanted in server.ports.items()}
        data, log = self.folder / server.name, self.folder / "logs" / f"{server.name}.log"
        data.mkdir(exist_ok=True)
        log.unlink(missing_ok=True)
        line = [str(program), *server.arguments(ports, data)]
        command = processes.Command(line, server.variables(ports, data), log)
        process = processes.start(self.folder, command)
        url = f"http://127.0.0.1:{ports['http']}"
        otlp = None
        if server.otlp is not None:
            port, slash, path = server.otlp.partition("/")
            otlp = f"http://127.0.0.1:{ports[port]}{slash}{path}"
        self.state.servers[server.name] = Up(url, otlp, ports, str(program), process.pid, str(log))
        health = f"http://127.0.0.1:{ports[server.health_port]}{server.health}"
        return _Starting(server, process, health, log)

    def _port(self, server: Server, name: str, wanted: int) -> int:
        """Hold a port until the server has it; two sockets that do not listen could share one."""
        what = f"{server.name} ({name})"
        try:
            taken = any(port.number == wanted for port in self._held)
            port = hold(what, None if taken else str(wanted))
        except HostError:
            port = hold(what, None)
        self._held.append(port)
        return port.number

    def _wait(self, starting: Sequence[_Starting]) -> None:
        """Wait until each is healthy, has ended, or has had its time; note those that are not."""
        began, waiting = time.monotonic(), list(starting)
        with httpx.Client(timeout=2, trust_env=False) as client:
            while waiting:
                late = time.monotonic() - began > READY_SECONDS
                waiting = [one for one in waiting if not self._settled(one, client, late=late)]
                pause()
        for port in self._held:
            port.held.close()

    def _settled(self, one: _Starting, client: httpx.Client, *, late: bool) -> bool:
        """Tell whether nothing is to be waited for any more."""
        name, ended = one.server.name, one.process.poll()
        if ended is None and _healthy(client, one.health):
            up = self.state.servers[name]
            self.say(f"{name:<13} {up.url} (pid {up.pid})")
            return True
        if ended is None and not late:
            return False
        words = f"was not ready within {READY_SECONDS:g} s"
        if ended is not None:
            words = f"ended with code {ended}"
        one.process.kill()
        last = tail(one.log).splitlines()[-1].strip()
        self.state.missing[name] = f"{words}: {last} (log: {one.log})"
        del self.state.servers[name]
        return True

    def _write_targets(self) -> None:
        folder = self.folder / "prometheus" / "targets"
        targets.write(folder / "stack.json", targets.of_servers(self.state.servers))
        targets.write(folder / "alertmanager.json", targets.of_alertmanager(self.state.servers))

    def _takes_spans(self, wanted: str | None) -> str | None:
        """Return who takes the pipeline's spans."""
        if wanted is not None and wanted not in self.state.servers:
            raise StackError(f"{wanted}, which is to take the spans, is not up")
        return wanted or next((name for name in TRACES if name in self.state.servers), None)


def _tempo_of_others(variables: Mapping[str, str]) -> Up:
    """Return the Tempo that the variables name, if it is ready."""
    url = variables["TEMPO_URL"].rstrip("/")
    otlp = variables.get("TEMPO_OTLP_URL", "").rstrip("/")
    otlp = otlp or f"{urlsplit(url).scheme}://{urlsplit(url).hostname}:4318"
    with httpx.Client(timeout=5, trust_env=False) as client:
        if not _healthy(client, f"{url}/ready"):
            raise MissingError(f"TEMPO_URL names {url}, which does not answer /ready with 200")
    return Up(url, otlp, {})


def _healthy(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(url).status_code == 200
    except httpx.HTTPError:
        return False
