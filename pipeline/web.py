"""What every web service of the pipeline has: who calls, health, metrics, telemetry, the gate."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import anyio.to_thread
from fastapi import FastAPI, Header, Response
from fastapi.responses import PlainTextResponse
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.utils import suppress_instrumentation
from prometheus_client.exposition import choose_encoder

from pipeline import (
    breaker,
    clients,
    edge,
    health,
    logs,
    mark,
    metrics,
    telemetry,
    unavailable,
    visit,
)
from pipeline.auth import Authenticator, CallerContext, Membership
from pipeline.cache import Cache
from pipeline.health import Dependencies
from pipeline.rates import RateLimiter

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
    rates: RateLimiter
    internal: httpx.Client
    cache: Redis
    dependencies: Dependencies

    def admit(self, key: str | None) -> CallerContext:
        """Return whose key it is, once the call is counted: 401, 503, or 429 for too many."""
        caller = self.auth.caller(key)
        self.rates.take(caller)
        return caller


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
    """Begins the visit, and drops the mark of synthetic traffic unless the key may set it.

    Stands before the instrumentation: a mark that is not believed must be on no span.
    """

    def __init__(self, app: ASGIApp, auth: Authenticator) -> None:
        """Guard the application."""
        self._app = app
        self._auth = auth

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, without a mark where it is not to be believed."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with visit.begin((scope.get("client") or ("",))[0]):
            await self._app(await self._checked(scope), receive, send)

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
    service = _service(settings)
    closing: list[Callable[[], Any]] = [
        service.dependencies.close,
        service.cache.close,
        service.internal.close,
    ]

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        for close in closing:
            with suppress(Exception):
                close()
        await anyio.to_thread.run_sync(providers.shutdown)

    app = FastAPI(
        title=settings.service_name,
        version=settings.version,
        lifespan=lifespan,
        max_body_size=int(settings.number("PIPELINE_MAX_BODY_BYTES", edge.MOST_BYTES)),
    )
    health.add(app, settings, service.dependencies)
    _metrics(app, service.metrics)
    edge.plain_errors(app)
    unavailable.add(app)
    app.add_middleware(edge.AccessLog, metrics=service.metrics)
    FastAPIInstrumentor.instrument_app(
        app, excluded_urls="/health,/live,/ready,/metrics", exclude_spans=["send", "receive"]
    )
    return Web(service, app, closing)


def _service(settings: Settings) -> Service:
    measured = metrics.build(settings)
    cache, internal = clients.cache(settings), clients.internal(settings)
    careful = breaker.watched("cache", measured, breaker.Limits(open_seconds=5))
    url = settings.url("membership")
    limits = breaker.Limits.of(settings)
    membership = Membership(internal, url, breaker.watched("membership", measured, limits))
    known = Dependencies()
    known.add("cache", health.redis(cache))
    known.add("membership", health.service(internal, url, "/health"))
    return Service(
        settings=settings,
        metrics=measured,
        auth=Authenticator(Cache(cache, careful), membership),
        rates=RateLimiter(settings, careful, measured),
        internal=internal,
        cache=cache,
        dependencies=known,
    )


def _metrics(app: FastAPI, measured: metrics.Metrics) -> None:
    @app.get("/metrics", response_class=PlainTextResponse)
    def page(accept: Annotated[str, Header()] = "") -> Response:
        """Expose the metrics, with exemplars for who asks for OpenMetrics."""
        encoder, content_type = choose_encoder(accept)
        return Response(encoder(measured.registry), media_type=content_type)
