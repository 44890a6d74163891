"""Services and stubs in this process, served over HTTP: for tests of one part."""

from __future__ import annotations

import http.client
import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager

import httpx
import uvicorn
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor
from opentelemetry.instrumentation.redis import RedisInstrumentor
from starlette.types import ASGIApp

from pipeline.services import stubs
from pipeline.settings import Settings
from pipeline.testing import poll_until

KEYS = {"user": "user-key", "validator": "validator-key", "service": "service-key"}
ENV = {f"PIPELINE_{name.upper()}_KEY": key for name, key in KEYS.items()}


@contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """Serve an application on a free port until the block ends; yield its URL."""
    config = uvicorn.Config(
        app,
        port=0,
        log_config=None,
        access_log=False,
        loop="asyncio",
        http="h11",
        ws="none",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        poll_until(lambda: server.started or not thread.is_alive(), "a server that listens")
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


@contextmanager
def service(
    make: Callable[[Settings], ASGIApp], name: str, env: Mapping[str, str]
) -> Iterator[httpx.Client]:
    """Serve a service; yield a client of it. What it sets up for its process is undone."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    broker = {"PIPELINE_BROKER_URL": env["PIPELINE_CACHE_URL"]}
    settings = Settings(name, {**ENV, **broker, **env})
    try:
        with served(make(settings)) as url, httpx.Client(base_url=url, trust_env=False) as client:
            yield client
    finally:
        root.handlers[:], root.level = handlers, level
        for instrumentor in (HTTPXClientInstrumentor, PsycopgInstrumentor, RedisInstrumentor):
            instrumentor().uninstrument()
        CeleryInstrumentor().uninstrument()  # type: ignore[no-untyped-call]


@contextmanager
def others() -> Iterator[dict[str, str]]:
    """Serve the stubs of other people's systems; yield the variables that name them."""
    settings = Settings("stub", ENV)
    with served(stubs.membership(settings)) as one, served(stubs.inference(settings)) as other:
        yield {"PIPELINE_MEMBERSHIP_URL": one, "PIPELINE_INFERENCE_URL": other}


def key(whose: str) -> dict[str, str]:
    """Return the header with somebody's key."""
    return {"X-API-Key": KEYS[whose]}


def behave(url: str, mode: str, **told: float) -> None:
    """Have the inference stub at the URL behave like this."""
    status, said = _asked(url, "POST", "/behaviour", json.dumps({"mode": mode, **told}))
    assert status == 200, said


def counts(url: str) -> tuple[int, int]:
    """Return how many requests the inference stub has had, and of how many texts."""
    _, said = _asked(url, "GET", "/counts")
    found = json.loads(said)
    return found["requests"], found["texts"]


def _asked(url: str, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
    """Ask without a client of httpx: making one reads the certificates of the world."""
    with closing(http.client.HTTPConnection(url.removeprefix("http://"), timeout=5)) as connection:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
