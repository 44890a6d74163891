"""OTLP over gRPC, on the same event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor

import grpc
import grpc.aio

from validator.errors import ConfigError
from validator.model import Signal
from validator.sources.collector.ingest import Ingest
from validator.sources.collector.limits import Limits
from validator.sources.otlp_json import NotOtlpError

_SERVICES = {
    Signal.TRACES: "opentelemetry.proto.collector.trace.v1.TraceService",
    Signal.LOGS: "opentelemetry.proto.collector.logs.v1.LogsService",
    Signal.METRICS: "opentelemetry.proto.collector.metrics.v1.MetricsService",
}

Handler = Callable[[bytes, "grpc.aio.ServicerContext[bytes, bytes]"], Awaitable[bytes]]


class GrpcReceiver:
    """Takes OTLP/gRPC requests as bytes and hands them to the same ingest as HTTP."""

    def __init__(self, ingest: Ingest, limits: Limits, thread: Executor) -> None:
        """Hand what comes to `ingest`, on `thread`."""
        self._ingest = ingest
        self._limits = limits
        self._thread = thread
        self._server: grpc.aio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen and return the port; raises `ConfigError` when it cannot be had."""
        options = (
            ("grpc.max_receive_message_length", self._limits.body),
            ("grpc.so_reuseport", 0),  # else two collectors would share the port in silence
        )
        server = grpc.aio.server(options=options, maximum_concurrent_rpcs=64)
        server.add_generic_rpc_handlers(
            tuple(
                grpc.method_handlers_generic_handler(
                    service,
                    {"Export": grpc.unary_unary_rpc_method_handler(self._handler(signal))},
                )
                for signal, service in _SERVICES.items()
            )
        )
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            taken = server.add_insecure_port(address)
        except RuntimeError as exc:
            raise ConfigError(
                f"the collector cannot listen for OTLP/gRPC on {address}; end what listens "
                "there, or take another port (`grpc:` of the source, or "
                "--grpc-port; 0 is a free one)"
            ) from exc
        await server.start()
        self._server = server
        return taken

    async def stop(self) -> None:
        """Let go of the port."""
        if self._server is not None:
            await self._server.stop(0.5)
            self._server = None

    def _handler(self, signal: Signal) -> Handler:
        """Return what answers the requests of one signal."""

        async def export(body: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            loop = asyncio.get_running_loop()
            try:
                message = await loop.run_in_executor(
                    self._thread, lambda: self._ingest.take(signal, body, as_json=False)
                )
            except NotOtlpError as exc:
                self._ingest.refused(signal, str(exc))
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(exc))
            return message.SerializeToString()

        return export
