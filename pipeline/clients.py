"""Clients that a process needs, opened after the instrumentation is in place."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Any, Final

import httpx
from opentelemetry.instrumentation.utils import suppress_instrumentation
from psycopg import OperationalError
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import ConnectionPool
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from pipeline import redis_policy

if TYPE_CHECKING:
    from psycopg import Connection

    from pipeline.settings import Settings

_TIME_LIMITS: Final = {
    "connect_timeout": 5,
    "tcp_user_timeout": 30_000,
    "options": "-c statement_timeout=30s -c idle_in_transaction_session_timeout=60s",
}
"""Of libpq, in seconds and milliseconds: no statement holds a thread, or a lock, without end."""


def database(settings: Settings, most: int = 8) -> ConnectionPool:
    """Return an open pool of at most so many connections; what the URL says itself counts."""
    url = settings.need("PIPELINE_DATABASE_URL")
    pool = ConnectionPool(
        url,
        kwargs={**_TIME_LIMITS, **conninfo_to_dict(url)},
        min_size=1,
        max_size=most,
        open=False,
        timeout=5,
        check=lambda connection: _still_there(connection, pool),
    )
    pool.open()
    return pool


def _still_there(connection: Connection[Any], pool: ConnectionPool) -> None:
    """Raise if the server has hung up, as it does when it is started anew.

    A connection that nobody uses has nothing to read unless that has happened: to ask the server
    each time would be a round trip for every request.
    """
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if not poll.poll(0):
        return
    with suppress_instrumentation():
        try:
            ConnectionPool.check_connection(connection)
        except OperationalError:
            pool.check()  # the others are no better, and each would make somebody wait
            raise


def cache(settings: Settings, *, checked: bool = False) -> Redis:
    """Return a client of the Redis that keeps caches and limits, once it is known to evict none.

    One can do without it: left to itself the library would try ten times more before it says that
    a server is down.
    """
    if not checked:
        redis_policy.require(settings, "PIPELINE_CACHE_URL")
    return Redis.from_url(
        settings.need("PIPELINE_CACHE_URL"),
        socket_timeout=2,
        socket_connect_timeout=2,
        retry=once(),
    )


def once() -> Retry:
    """Return how a Redis is asked once and not again."""
    return Retry(NoBackoff(), 0)


def inference(seconds: float) -> httpx.Client:
    """Return a client for the inference server: no key of ours, and nothing to be unpacked."""
    return httpx.Client(timeout=seconds, trust_env=False, headers={"Accept-Encoding": "identity"})


def broker(settings: Settings) -> Redis:
    """Return a client of the broker for what Celery does not do; it gives up within seconds."""
    return Redis.from_url(
        settings.need("PIPELINE_BROKER_URL"),
        socket_timeout=1,
        socket_connect_timeout=1,
        retry=Retry(NoBackoff(), 1),
    )


def internal(settings: Settings) -> httpx.Client:
    """Return a client for the pipeline's own services, with the key of a service."""
    return httpx.Client(
        timeout=30,
        trust_env=False,
        headers={"X-API-Key": settings.need("PIPELINE_SERVICE_KEY")},
    )
