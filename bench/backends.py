"""Real backends as processes of the benchmark's own, and sources whose requests are counted.

They run with the configuration of `stack/`, on free ports of loopback.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from bench.lag_truth import LAG_BUDGET
from pipeline.host.ports import hold
from stack import processes
from stack.cache import cache
from stack.errors import MissingError
from stack.servers import CONFIG, SERVERS, Server
from validator.clock import SystemClock
from validator.model import Signal
from validator.sources.connection import BoundedAdapter
from validator.sources.control import Control
from validator.sources.http import Bounds, Http, make_session
from validator.sources.jaeger import JaegerSource
from validator.sources.loki import LokiSource, Streams
from validator.sources.prometheus import PrometheusSource
from validator.sources.tempo import TempoSource
from validator.sources.trace_store import Lags, TraceStore

_READY_SECONDS = 60.0
_TEMPO = "tempo-3.0.3"
_LIKE_PRODUCTION: Mapping[str, Mapping[str, str]] = {
    "tempo": {
        "TEMPO_TRACE_IDLE": "5s",
        "TEMPO_FLUSH_PERIOD": "5s",
        "TEMPO_BLOCK_DURATION": "30s",
    }
}
"""What the stack declares so that a search finds soon, as Tempo 3 has it by default: with blocks of
5 s a trace is looked for in six times as many, and each answer takes the longer."""
_KINDS: Mapping[str, type[TraceStore]] = {"jaeger": JaegerSource, "tempo": TempoSource}
_SEARCH_LAG = 30.0


@dataclass(frozen=True, slots=True)
class Backend:
    """A running backend: where it is asked, and where it takes OTLP (without `/v1/...`)."""

    name: str
    url: str
    otlp: str


@contextmanager
def running(*names: str, scraped: Sequence[str] = ()) -> Iterator[dict[str, Backend]]:
    """Run these backends until the block ends.

    `scraped` are host and port of what Prometheus is to scrape every second. A Tempo that is named
    by TEMPO_URL and TEMPO_OTLP_URL is used, and left running.
    """
    found: dict[str, Backend] = {}
    with tempfile.TemporaryDirectory(prefix="bench-stack-") as folder, ExitStack() as ending:
        state = Path(folder)
        ending.callback(processes.end_all, state)
        for name in names:
            if name == "tempo" and (of_others := _tempo_of_others()):
                found[name] = of_others
                continue
            server = next(one for one in SERVERS if one.name == name)
            data = state / name
            data.mkdir()
            if name == "prometheus":
                _prometheus_files(data, scraped)
            found[name] = _start(server, state, data)
        yield found


def trace_stores() -> list[str]:
    """Return which trace stores this machine can run: Jaeger, and Tempo where there is one."""
    return ["jaeger", *(["tempo"] if _tempo_of_others() or _tempo_program() else [])]


def _tempo_of_others() -> Backend | None:
    url, otlp = (os.environ.get(name, "").rstrip("/") for name in ("TEMPO_URL", "TEMPO_OTLP_URL"))
    return Backend("tempo", url, otlp) if url and otlp else None


def _tempo_program() -> Path | None:
    found = shutil.which("tempo") or shutil.which(_TEMPO, path=str(cache() / "bin"))
    return Path(found) if found else None


def _program(server: Server) -> Path:
    """Return a server's program; what is built the first time takes minutes."""
    if server.name == "tempo":
        program = _tempo_program()
        if program is None:
            raise MissingError(f"no tempo on PATH and no {cache() / 'bin' / _TEMPO}")
        return program
    return server.program(print)


def _prometheus_files(data: Path, scraped: Sequence[str]) -> None:
    for name in ("prometheus.yaml", "rules"):
        (data / name).symlink_to(CONFIG / name)
    (data / "targets").mkdir()
    at = ", ".join(f'"{one}"' for one in scraped)
    targets = f'[{{"targets": [{at}], "labels": {{"job": "bench"}}}}]'
    (data / "targets" / "pipeline-bench.json").write_text(targets)


def _start(server: Server, state: Path, data: Path) -> Backend:
    """Start a server on free ports and return when it is healthy."""
    program, log = _program(server), state / f"{server.name}.log"
    held = {name: hold(f"{server.name} ({name})", None) for name in server.ports}
    ports = {name: port.number for name, port in held.items()}
    line = [str(program), *server.arguments(ports, data)]
    variables = {**server.variables(ports, data), **_LIKE_PRODUCTION.get(server.name, {})}
    command = processes.Command(line, variables, log)
    process = processes.start(state, command)
    health = f"http://127.0.0.1:{ports[server.health_port]}{server.health}"
    deadline = time.monotonic() + _READY_SECONDS
    pause = threading.Event()
    while not _healthy(health):
        if process.poll() is not None or time.monotonic() > deadline:
            raise MissingError(f"{server.name} is not ready:\n{log.read_text()[-2000:]}")
        pause.wait(0.05)
    for port in held.values():
        port.held.close()
    otlp = ""
    if server.otlp is not None:
        port_name, slash, path = server.otlp.partition("/")
        otlp = f"http://127.0.0.1:{ports[port_name]}{slash}{path}"
    return Backend(server.name, f"http://127.0.0.1:{ports['http']}", otlp)


def _healthy(url: str) -> bool:
    try:
        return requests.get(url, timeout=2, proxies={"http": ""}).status_code == 200
    except requests.RequestException:
        return False


class _CountingAdapter(BoundedAdapter):
    """Counts every request that goes out, whatever becomes of it."""

    def __init__(self, counts: Counter[str], name: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._counts, self._of = counts, name

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        self._counts[self._of] += 1
        return super().send(*args, **kwargs)


@dataclass(slots=True)
class Counted:
    """Makes sources of one lane, whose runs follow each other, and counts what they ask.

    `counts` are the HTTP requests to each backend, by its name: questions, those beside them, and
    the writing and reading of control records.
    """

    counts: Counter[str] = field(default_factory=Counter)

    def traces(self, backend: Backend) -> TraceStore:
        """Return what reads a trace store."""
        lags = Lags(LAG_BUDGET, _SEARCH_LAG)
        control = self._control(backend, Signal.TRACES)
        return _KINDS[backend.name]("traces", backend.url, self._http(backend), lags, control)

    def logs(self, backend: Backend) -> LokiSource:
        """Return what reads a Loki."""
        streams = Streams(backend.url, control=self._control(backend, Signal.LOGS))
        return LokiSource("logs", self._http(backend), LAG_BUDGET, streams)

    def metrics(self, backend: Backend, lag_budget: float) -> PrometheusSource:
        """Return what reads a Prometheus."""
        return PrometheusSource("metrics", backend.url, self._http(backend), lag_budget)

    def _control(self, backend: Backend, signal: Signal) -> Control:
        return Control(backend.otlp, self._http(backend), (signal,))

    def _http(self, backend: Backend) -> Http:
        session = make_session()
        session.mount("http://", _CountingAdapter(self.counts, backend.name, pool_maxsize=16))
        return Http(backend.name, session, SystemClock(), Bounds(timeout=5.0))
