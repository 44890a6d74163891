"""Clients that a process needs, opened after the instrumentation is in place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
from psycopg_pool import ConnectionPool
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

if TYPE_CHECKING:
    from pipeline.settings import Settings


def database(settings: Settings) -> ConnectionPool:
    """Return an open pool of connections to PostgreSQL."""
    pool = ConnectionPool(
        settings.need("PIPELINE_DATABASE_URL"), min_size=1, max_size=8, open=False, timeout=10
    )
    pool.open()
    return pool


def cache(settings: Settings) -> Redis:
    """Return a client of the Redis that keeps caches and limits, which one can do without.

    Left to itself the library would try ten times more before it says that a server is down.
    """
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


def internal(settings: Settings) -> httpx.Client:
    """Return a client for the pipeline's own services, with the key of a service."""
    return httpx.Client(
        timeout=30,
        trust_env=False,
        headers={"X-API-Key": settings.need("PIPELINE_SERVICE_KEY")},
    )
