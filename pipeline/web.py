"""What every web service of the pipeline has: health, metrics, telemetry, the gate of the mark."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import anyio.to_thread
from fastapi import FastAPI, Header, Response
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.utils import suppress_instrumentation
from prometheus_client.exposition import choose_encoder

from pipeline import clients, logs, mark, metrics, telemetry, unavailable
from pipeline.auth import Authenticator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import httpx
    from redis import Redis
    from starlette.types import ASGIApp, Receive, Scope, Send

    from pipeline.settings import Settings

Key = Annotated[str | None, Header(alias="X-API-Key")]


@dataclass(frozen=True, slots=True)
class Service:
    """What the endpoints of a service work with."""

    settings: Settings
    metrics: metrics.Metrics
    auth: Authenticator
    internal: httpx.Client
    cache: Redis


@dataclass(frozen=True, slots=True)
class Web:
    """A service, and the application that is to be served."""

    service: Service
    app: FastAPI
    closing: list[Callable[[], Any]]

    def asgi(self) -> ASGIApp:
        """Return the application behind the gate of the mark."""
        return MarkGate(self.app, self.service.auth)


class MarkGate:
    """Drops the mark of synthetic traffic unless the caller's key may set it.

    Stands before the instrumentation: a mark that is not believed must be on no span.
    """

    def __init__(self, app: ASGIApp, auth: Authenticator) -> None:
        """Guard the application."""
        self._app = app
        self._auth = auth

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, without a mark where it is not to be believed."""
        if scope["type"] == "http":
            scope = await self._checked(scope)
        await self._app(scope, receive, send)

    async def _checked(self, scope: Scope) -> Scope:
        headers = [(name, value.decode("latin-1")) for name, value in scope["headers"]]
        if not any(name == b"baggage" and mark.has_mark(value) for name, value in headers):
            return scope
        key = next((value for name, value in headers if name == b"x-api-key"), None)
        if await anyio.to_thread.run_sync(self._may_mark, key):
            return scope
        kept = [
            (name, mark.without_mark(value) if name == b"baggage" else value)
            for name, value in headers
        ]
        return {**scope, "headers": [(name, value.encode("latin-1")) for name, value in kept]}

    def _may_mark(self, key: str | None) -> bool:
        with suppress_instrumentation():
            return self._auth.may_mark(key)


def make(settings: Settings) -> Web:
    """Set this process up as a web service."""
    providers = telemetry.set_up(settings)
    logs.configure(settings, providers.handler())
    telemetry.instrument_clients(settings)
    measured = metrics.build(settings)
    cache, internal = clients.cache(settings), clients.internal(settings)
    auth = Authenticator(cache, internal, settings.url("membership"))
    closing: list[Callable[[], Any]] = [cache.close, internal.close]

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        for close in closing:
            with suppress(Exception):
                close()
        await anyio.to_thread.run_sync(providers.shutdown)

    app = FastAPI(title=settings.service_name, version=settings.version, lifespan=lifespan)
    service = Service(settings, measured, auth, internal, cache)
    _common(app, settings, measured)
    unavailable.add(app)
    FastAPIInstrumentor.instrument_app(
        app, excluded_urls="/health,/metrics", exclude_spans=["send", "receive"]
    )
    return Web(service, app, closing)


def _common(app: FastAPI, settings: Settings, measured: metrics.Metrics) -> None:
    @app.get("/health")
    def health() -> dict[str, str]:
        """Say that the service is up, and which it is."""
        return {
            "status": "ok",
            "service": settings.service_name,
            "instance": settings.instance,
            "version": settings.version,
        }

    @app.get("/metrics")
    def page(accept: Annotated[str, Header()] = "") -> Response:
        """Expose the metrics, with exemplars for who asks for OpenMetrics."""
        encoder, content_type = choose_encoder(accept)
        return Response(encoder(measured.registry), media_type=content_type)
