"""The database of a new pipeline: waiting for the servers, making the tables."""

from __future__ import annotations

import socket
from importlib import resources
from typing import TYPE_CHECKING

import psycopg

from pipeline.host import health
from pipeline.host.errors import ProcessFailedError
from pipeline.host.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.host.ports import Port
    from pipeline.host.processes import Process


class ServersUp:
    """Tells whether PostgreSQL and Redis take clients."""

    def __init__(self, database_url: str, redis: Mapping[str, Port]) -> None:
        """Look at the database by its URL, at the Redis servers by their ports."""
        self._database_url = database_url
        self._redis = redis

    def __call__(self, name: str) -> bool:
        """Tell whether the server of this name takes clients."""
        if name == "postgres":
            return _takes_queries(self._database_url)
        return _answers_ping(self._redis[name].number)


def wait_for_initdb(process: Process) -> None:
    """Wait until the data directory is there."""
    if not wait_until(process.ended, health.SECONDS):
        raise ProcessFailedError("initdb", f"did not end within {health.SECONDS:g} s", process.log)
    if process.exit_code:
        process.check()


def create(database_url: str) -> None:
    """Make the tables."""
    sql = resources.files("pipeline").joinpath("schema.sql").read_bytes()
    with psycopg.connect(database_url) as connection:
        connection.execute(sql)


def _takes_queries(database_url: str) -> bool:
    try:
        with psycopg.connect(database_url, connect_timeout=2) as connection:
            connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def _answers_ping(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
