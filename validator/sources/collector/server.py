"""The collector as a server: sockets, a thread with an event loop, a clean start and stop."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import uvicorn
from starlette.applications import Starlette

from validator.errors import ConfigError
from validator.ports import Clock
from validator.sources.collector.api import ReadApi
from validator.sources.collector.grpc_receiver import GrpcReceiver
from validator.sources.collector.ingest import Ingest, Stores
from validator.sources.collector.limits import Limits
from validator.sources.collector.metrics import MetricStore
from validator.sources.collector.receiver import HttpReceiver
from validator.sources.collector.store import Store
from validator.waiting import until_ended


@dataclass(frozen=True, slots=True)
class Listen:
    """Where the collector listens; port 0 means a free one, a gRPC port of None no gRPC."""

    host: str = "127.0.0.1"
    http_port: int = 4318
    grpc_port: int | None = 4317


class Collector:
    """The built-in collector. `start` returns once it listens, `stop` once it has ended."""

    def __init__(
        self,
        clock: Clock,
        listen: Listen,
        limits: Limits,
        job_id_keys: Iterable[str] = ("job.id", "job_id"),
    ) -> None:
        """Listen at `listen` once started; index what names a job under `job_id_keys`."""
        self.store = Store(limits, job_id_keys, clock)
        self.metrics = MetricStore(limits, clock)
        self.clock = clock
        self._listen = listen
        self._limits = limits
        self._serving: _Serving | None = None
        self._thread: threading.Thread | None = None

    @property
    def endpoint(self) -> str:
        """Return the base URL of OTLP/HTTP and of the read API."""
        return f"http://{_url_host(self._listen.host)}:{self._running().http_port}"

    @property
    def grpc_endpoint(self) -> str:
        """Return the target of OTLP/gRPC, empty if there is none."""
        port = self._running().grpc_port
        return f"{_url_host(self._listen.host)}:{port}" if port else ""

    def _running(self) -> _Serving:
        """Return what serves; it is an error of ours to ask before `start`."""
        if self._serving is None:
            raise RuntimeError("the collector has not been started")
        return self._serving

    def start(self) -> None:
        """Listen; raises `ConfigError` when a port cannot be had."""
        if self._thread is not None:
            return
        serving = _Serving(self, self._listen, self._limits)
        thread = threading.Thread(target=serving.run, name="collector", daemon=True)
        thread.start()
        serving.ready.wait()
        if serving.failure is not None:
            thread.join()
            raise serving.failure
        self._serving, self._thread = serving, thread

    def stop(self) -> None:
        """End it; what it holds can still be asked for in process."""
        if self._thread is not None and self._serving is not None:
            self._serving.end()
            self._thread.join()
            self._thread = None

    def wait(self) -> None:
        """Return when it has ended (by `stop` in another thread, or by a failure)."""
        thread = self._thread
        if thread is not None:
            until_ended(thread)


class _Server(uvicorn.Server):
    """uvicorn, telling when it listens."""

    def __init__(self, config: uvicorn.Config, ready: threading.Event) -> None:
        """Set `ready` when it listens."""
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell."""
        await super().startup(sockets)
        self._ready.set()


class _Serving:
    """One run of the collector's event loop."""

    def __init__(self, collector: Collector, listen: Listen, limits: Limits) -> None:
        """Prepare; nothing listens before `run`."""
        self._listen = listen
        self._pool = ThreadPoolExecutor(1, "collector-ingest")
        stores = Stores(collector.store, collector.metrics, collector.clock)
        ingest = Ingest(stores)
        self._api = ReadApi(stores)
        receiver = HttpReceiver(ingest, limits, self._pool)
        self._grpc = GrpcReceiver(ingest, limits, self._pool)
        app = Starlette(routes=[*receiver.routes(), *self._api.routes()])
        self.ready = threading.Event()
        self.failure: ConfigError | None = None
        self.http_port = 0
        self.grpc_port = 0
        config = uvicorn.Config(
            app,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=2,
        )
        self._server = _Server(config, self.ready)
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self) -> None:
        """Serve until `end`, on the calling thread."""
        try:
            asyncio.run(self._serve())
        except ConfigError as exc:
            self.failure = exc
        finally:
            self._pool.shutdown()
            self.ready.set()

    def end(self) -> None:
        """Ask the loop to end; any thread may."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._api.release)
        self._server.should_exit = True

    async def _serve(self) -> None:
        """Take the ports, then serve both protocols."""
        self._loop = asyncio.get_running_loop()
        with _bound(self._listen.host, self._listen.http_port) as http:
            self.http_port = http.getsockname()[1]
            if self._listen.grpc_port is not None:
                self.grpc_port = await self._grpc.start(self._listen.host, self._listen.grpc_port)
            self._api.begin()
            try:
                await self._server.serve(sockets=[http])
            finally:
                self._api.end()
                await self._grpc.stop()


def _bound(host: str, port: int) -> socket.socket:
    """Return a socket that has taken the port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named asyncio sets TCP_NODELAY, without it answers wait 40 ms for an ack.
    taken = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((host, port))
        taken.listen(2048)
    except OSError as exc:
        taken.close()
        raise ConfigError(
            f"the collector cannot listen for OTLP/HTTP on {host}:{port}: {exc.strerror}; "
            "end what listens there, or take another port (`http:` of the source, or "
            "--http-port; 0 is a free one). Two checks at once share an `obs-validator collector`"
        ) from exc
    return taken


def _url_host(host: str) -> str:
    """Return a host to connect to, as a URL has it."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104
    return f"[{reachable}]" if ":" in reachable else reachable
