"""OTLP over gRPC, on the same event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor
from typing import NoReturn

import grpc
import grpc.aio

from validator.errors import ConfigError
from validator.model import Signal
from validator.sources.collector.ingest import Ingest
from validator.sources.collector.limits import MIB, Limits
from validator.sources.otlp_json import NotOtlpError

_SERVICES = {
    Signal.TRACES: "opentelemetry.proto.collector.trace.v1.TraceService",
    Signal.LOGS: "opentelemetry.proto.collector.logs.v1.LogsService",
    Signal.METRICS: "opentelemetry.proto.collector.metrics.v1.MetricsService",
}

_BEYOND = 4 * MIB
"""So many bytes beyond the limit gRPC hands over all the same, so that the refusal is ours."""

Context = grpc.aio.ServicerContext[bytes, bytes]
Handler = Callable[[AsyncIterator[bytes], Context], Awaitable[bytes]]


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
            ("grpc.max_receive_message_length", self._limits.body + _BEYOND),
            ("grpc.so_reuseport", 0),  # else two collectors would share the port in silence
        )
        server = grpc.aio.server(options=options, maximum_concurrent_rpcs=64)
        server.add_generic_rpc_handlers(
            tuple(
                grpc.method_handlers_generic_handler(
                    service,
                    {"Export": grpc.stream_unary_rpc_method_handler(self._handler(signal))},
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
        """Return what answers the requests of one signal.

        It reads the one message as a stream's first, for so it hears of a message that never
        came: one that gRPC itself refused, or whose sender went away.
        """

        async def export(messages: AsyncIterator[bytes], context: Context) -> bytes:
            async for body in messages:
                return await self._taken(signal, body, context)
            why = f"none came whole: more than {self._limits.body} bytes, or the sender went away"
            return await self._refused(signal, grpc.StatusCode.INVALID_ARGUMENT, why, context)

        return export

    async def _taken(self, signal: Signal, body: bytes, context: Context) -> bytes:
        """Take a request in and return the answer."""
        if len(body) > self._limits.body:
            why = f"the body of {len(body)} bytes is more than {self._limits.body}"
            return await self._refused(signal, grpc.StatusCode.RESOURCE_EXHAUSTED, why, context)
        loop = asyncio.get_running_loop()
        try:
            message = await loop.run_in_executor(
                self._thread, lambda: self._ingest.take(signal, body, as_json=False)
            )
        except NotOtlpError as exc:
            code = grpc.StatusCode.INVALID_ARGUMENT
            return await self._refused(signal, code, str(exc), context)
        return message.SerializeToString()

    async def _refused(
        self, signal: Signal, code: grpc.StatusCode, why: str, context: Context
    ) -> NoReturn:
        """Remember that a whole request was refused, and answer so."""
        self._ingest.refused(signal, why)
        await context.abort(code, why)
