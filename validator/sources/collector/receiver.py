"""OTLP over HTTP, as the OTLP specification has it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from concurrent.futures import Executor

import orjson
from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import code_pb2
from google.rpc.status_pb2 import Status
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from validator.model import Signal
from validator.sources.collector.body import (
    BadEncodingError,
    Budget,
    Inflater,
    TooLargeError,
    read_body,
)
from validator.sources.collector.ingest import Ingest
from validator.sources.collector.limits import Limits
from validator.sources.otlp_json import NotOtlpError

PROTOBUF = "application/x-protobuf"
JSON = "application/json"

_CODES = {
    400: code_pb2.INVALID_ARGUMENT,
    413: code_pb2.RESOURCE_EXHAUSTED,
    415: code_pb2.INVALID_ARGUMENT,
    503: code_pb2.UNAVAILABLE,
}


class RefusedError(Exception):
    """A request that is not taken: the HTTP status and why."""

    def __init__(self, status: int, why: str) -> None:
        """Answer with `status`, saying `why`."""
        super().__init__(why)
        self.status = status
        self.why = why


class HttpReceiver:
    """Takes OTLP/HTTP requests; the reading is on the loop, the taking in on one thread."""

    def __init__(self, ingest: Ingest, limits: Limits, thread: Executor) -> None:
        """Hand what comes to `ingest`, on `thread`."""
        self._ingest = ingest
        self._limits = limits
        self._thread = thread
        self._budget = Budget(limits.in_flight)

    def routes(self) -> list[Route]:
        """Return the paths of the specification."""
        return [
            Route("/v1/traces", self._traces, methods=["POST"]),
            Route("/v1/logs", self._logs, methods=["POST"]),
            Route("/v1/metrics", self._metrics, methods=["POST"]),
        ]

    async def _traces(self, request: Request) -> Response:
        """Take spans."""
        return await self._receive(Signal.TRACES, request)

    async def _logs(self, request: Request) -> Response:
        """Take log records."""
        return await self._receive(Signal.LOGS, request)

    async def _metrics(self, request: Request) -> Response:
        """Take metrics."""
        return await self._receive(Signal.METRICS, request)

    async def _receive(self, signal: Signal, request: Request) -> Response:
        """Take one request and answer in its own encoding."""
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        as_json = media == JSON
        try:
            message = await self._taken(signal, request, media)
        except asyncio.CancelledError:  # the server stops, and somebody stalled in mid-request
            self._ingest.refused(signal, "the collector stopped in the middle of it")
            return Response(status_code=503)
        except RefusedError as exc:
            await _drain(request, self._limits.body * 12)
            if exc.status != 503:
                self._ingest.refused(signal, f"{exc.status}: {exc.why}")
            status = Status(code=_CODES[exc.status], message=exc.why)
            response = _rendered(status, as_json=as_json, status_code=exc.status)
            if exc.status == 503:
                response.headers["Retry-After"] = "1"
            return response
        return _rendered(message, as_json=as_json, status_code=200)

    async def _taken(self, signal: Signal, request: Request, media: str) -> Message:
        """Read a request's body and take it in."""
        if media not in {PROTOBUF, JSON}:
            raise RefusedError(415, f"Content-Type {media!r} is neither {PROTOBUF} nor {JSON}")
        as_json = media == JSON
        if self._budget.exhausted:
            raise RefusedError(503, "too many bytes are being received at once; send again later")
        body = await self._body(request, as_json=as_json)
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(
                self._thread, lambda: self._ingest.take(signal, body, as_json=as_json)
            )
        except NotOtlpError as exc:
            raise RefusedError(400, str(exc)) from exc
        finally:
            self._budget.use(-len(body))

    async def _body(self, request: Request, *, as_json: bool) -> bytes:
        """Read a request's body, decompressed and within the limits."""
        inflated = self._limits.json if as_json else self._limits.inflated
        encoding = request.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in {"gzip", "identity", ""}:
            raise RefusedError(415, f"Content-Encoding {encoding!r} is neither gzip nor identity")
        plain = encoding != "gzip"
        limit = min(self._limits.body, inflated) if plain else self._limits.body
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > limit:
            raise RefusedError(413, f"the body of {length} bytes is more than {limit}")
        try:
            return await read_body(
                request.stream(),
                inflater=None if plain else Inflater(inflated),
                limit=limit,
                budget=self._budget,
            )
        except TooLargeError as exc:
            raise RefusedError(413, str(exc)) from exc
        except BadEncodingError as exc:
            raise RefusedError(400, str(exc)) from exc
        except ClientDisconnect as exc:
            raise RefusedError(400, "the sender went away in the middle of the body") from exc


async def _drain(request: Request, bound: int) -> None:
    """Read on without keeping anything, so that a sender that is still sending gets the answer."""
    drained = 0
    with contextlib.suppress(ClientDisconnect, RuntimeError):
        stream: AsyncIterator[bytes] = request.stream()
        async for chunk in stream:
            drained += len(chunk)
            if drained > bound:
                return


def _rendered(message: Message, *, as_json: bool, status_code: int) -> Response:
    """Return a message as a response."""
    if as_json:
        body = orjson.dumps(json_format.MessageToDict(message))
        return Response(body, status_code, media_type=JSON)
    return Response(message.SerializeToString(), status_code, media_type=PROTOBUF)
