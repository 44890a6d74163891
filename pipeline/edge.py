"""What stands around the endpoints of a service: the access log, and errors without secrets."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import MutableHeaders

from pipeline import logs, mark, visit
from pipeline.metrics import observe

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from pipeline.metrics import Metrics

MOST_BYTES: Final = 16 * 1024 * 1024
"""The largest body that is taken: a page of 10 MB, with what JSON puts around it."""
_MOST_ERRORS: Final = 20
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_UNLOGGED: Final = ("/health", "/live", "/ready", "/metrics")


class AccessLog:
    """Puts the visit's headers on the answer, measures it, and writes a line of nginx's shape.

    Polls that went well have no line: they would drown the rest.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        """Stand around the application; observe what it takes."""
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request and write its line."""
        own = visit.current()
        if scope["type"] != "http" or scope["path"] in _UNLOGGED or own is None:
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        status, size = 500, 0

        async def noted(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update(own.headers)
            size += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            took = time.perf_counter() - begun
            labels = _labels(scope, own, status)
            observe(self._metrics.http_seconds, took, **labels)
            if own.auth is not None:
                cache, seconds = own.auth
                found = {"cache": cache, "traffic": labels["traffic"]}
                observe(self._metrics.auth_seconds, seconds, **found)
            if scope["method"] != "GET" or status >= 400:
                line = {"status": status, "body_bytes_sent": size, "traffic": labels["traffic"]}
                _write(scope, own, round(took, 6), line)


def _labels(scope: Scope, own: visit.Visit, status: int) -> dict[str, str]:
    """Return labels of which there are only so many; a validator's polls carry no mark."""
    route = getattr(scope.get("route"), "path", "unmatched")
    known = scope["method"] in _METHODS
    validates = own.caller is not None and own.caller.role == "validator"
    return {
        "http_request_method": scope["method"] if known else "_OTHER",
        "http_route": route,
        "http_response_status_code": str(status),
        "traffic": mark.SYNTHETIC if validates else mark.current().traffic,
    }


def _write(scope: Scope, own: visit.Visit, seconds: float, line: dict[str, Any]) -> None:
    logs.get("access").info(
        "access",
        remote_addr=own.address,
        request_method=scope["method"],
        uri=scope["path"],
        request_time=seconds,
        limit_req_status="REJECTED" if own.limited else "PASSED",
        caller_id=own.caller.caller_id if own.caller else None,
        **line,
    )


def plain_errors(app: FastAPI) -> None:
    """Have a body that does not fit answered with where and why, and not with itself.

    FastAPI's own answer repeats the input: the whole of it, a key too, and a NaN is no JSON.
    """

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        found: list[dict[str, Any]] = [
            {
                "loc": [_printable(part) for part in one["loc"]],
                "msg": one["msg"],
                "type": one["type"],
            }
            for one in error.errors()[:_MOST_ERRORS]
        ]
        return JSONResponse({"detail": found}, 422)


def _printable(part: str | int) -> str | int:
    return part if isinstance(part, int) else part[:100].encode(errors="replace").decode()
