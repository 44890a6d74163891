"""PostgreSQL and Redis for tests of one part, without the pipeline around it."""

from __future__ import annotations

import secrets
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg_pool import ConnectionPool
from redis import Redis

from pipeline.host import database, embedded, health, ports
from pipeline.host.processes import end


class Postgres:
    """A server with a database that has the pipeline's tables, to be copied for each test."""

    def __init__(self, port: int) -> None:
        """Make the tables in the database that comes with the server."""
        self._base = f"postgresql://postgres@127.0.0.1:{port}"
        database.create(f"{self._base}/postgres")

    def new(self) -> str:
        """Return the URL of a new database with empty tables."""
        name = f"test_{secrets.token_hex(6)}"
        with psycopg.connect(f"{self._base}/template1", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE postgres".encode())
        return f"{self._base}/{name}"


@contextmanager
def postgres(home: Path) -> Iterator[Postgres]:
    """Run a server until the block ends."""
    home.mkdir()
    log = home / "postgres.log"
    made = embedded.prepare_postgres(home)
    database.wait_for_initdb(embedded.init_postgres(made, log))
    port = ports.hold("postgres", None)
    process = embedded.start_postgres(made, port, log)
    url = f"postgresql://postgres@127.0.0.1:{port.number}/postgres"
    try:
        health.wait_for({"postgres": process}, database.ServersUp(url, {}))
        yield Postgres(port.number)
    finally:
        end([process], signal.SIGINT, 5)
        port.held.close()
        shutil.rmtree(made.home)


@contextmanager
def redis(home: Path, wanted: str | None = None) -> Iterator[str]:
    """Run a server until the block ends, on a port of its own or the wanted one; yield its URL."""
    home.mkdir()
    port = ports.hold("redis", wanted)
    process = embedded.start_redis("redis", port, home / "redis.log")
    try:
        health.wait_for({"redis": process}, database.ServersUp("", {"redis": port}))
        yield f"redis://127.0.0.1:{port.number}/0"
    finally:
        end([process], signal.SIGKILL, 5)
        port.held.close()


@contextmanager
def pool(url: str) -> Iterator[ConnectionPool]:
    """Open a pool of connections until the block ends."""
    with ConnectionPool(url, min_size=1, max_size=12, open=True, timeout=10) as found:
        yield found


@contextmanager
def client(url: str) -> Iterator[Redis]:
    """Open a client of an empty Redis until the block ends."""
    found = Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2)
    found.flushdb()
    try:
        yield found
    finally:
        found.close()
