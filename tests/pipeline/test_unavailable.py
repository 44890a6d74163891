"""While PostgreSQL is away callers are told to come again, and afterwards nothing is amiss."""

from __future__ import annotations

import shutil
import signal
from typing import TYPE_CHECKING

import psycopg
import pytest
from fastapi import FastAPI

from pipeline import clients, unavailable
from pipeline.host import database, embedded, health, ports
from pipeline.host.errors import ProcessFailedError
from pipeline.host.processes import end
from pipeline.settings import Settings
from tests.pipeline.asgi import Asking

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from psycopg_pool import ConnectionPool

    from pipeline.host.processes import Process

pytestmark = [pytest.mark.process, pytest.mark.req("P-12")]


class Machine:
    """A PostgreSQL that can be killed and started again."""

    def __init__(self, home: Path) -> None:
        """Make it and start it."""
        self._log = home / "postgres.log"
        self._made = embedded.prepare_postgres(home)
        database.wait_for_initdb(embedded.init_postgres(self._made, self._log))
        self._port = ports.hold("postgres", None)
        self.url = f"postgresql://postgres@127.0.0.1:{self._port.number}/postgres"
        self.start()

    def start(self) -> None:
        """Start it; killed, it has to wait for those that it left behind."""
        self._process = self._started()
        while True:
            try:
                health.wait_for({"postgres": self._process}, database.ServersUp(self.url, {}))
            except ProcessFailedError:
                self._process = self._started()
            else:
                return

    def end(self, number: signal.Signals) -> None:
        """End it."""
        end([self._process], number, 5)

    def close(self) -> None:
        """End it for good."""
        self.end(signal.SIGINT)
        self._port.held.close()
        shutil.rmtree(self._made.home)

    def _started(self) -> Process:
        return embedded.start_postgres(self._made, self._port, self._log)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Return a server of this file's own."""
    found = Machine(tmp_path_factory.mktemp("machine"))
    yield found
    found.close()


@pytest.fixture
def opened(machine: Machine) -> Iterator[ConnectionPool]:
    """Return a pool as the services open it, with several connections in it."""
    pool = clients.database(Settings("test", {"PIPELINE_DATABASE_URL": machine.url}))
    taken = [pool.getconn() for _ in range(4)]
    for connection in taken:
        pool.putconn(connection)
    yield pool
    pool.close()


def client(pool: ConnectionPool) -> Asking:
    """Return a client of a service with one endpoint that asks the database."""
    app = FastAPI()
    unavailable.add(app)

    @app.get("/one")
    def one() -> int:
        with pool.connection(timeout=1) as connection:
            row = connection.execute("SELECT 1").fetchone()
        return int(row[0]) if row else 0

    @app.get("/wrong")
    def wrong() -> None:
        with pool.connection() as connection:
            connection.execute("SELECT nothing")

    return Asking(app)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_after_a_restart_no_connection_is_stale(
    machine: Machine, opened: ConnectionPool, how: signal.Signals
) -> None:
    """Each of many requests at once is answered: none meets a connection of before."""
    machine.end(how)
    machine.start()
    asking = client(opened)
    assert [answer.status_code for answer in asking.many(8, "GET", "/one")] == [200] * 8


def test_while_it_is_away_callers_are_told_when_to_come(
    machine: Machine, opened: ConnectionPool
) -> None:
    """503 with Retry-After, in time; what is the service's own fault stays a 500."""
    asking = client(opened)
    assert asking.get("/wrong").status_code == 500
    machine.end(signal.SIGINT)
    try:
        answer = asking.get("/one")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
        assert answer.json() == {"detail": "the database cannot be reached: try again"}
    finally:
        machine.start()


def test_what_was_committed_survives_a_kill(machine: Machine) -> None:
    """Every insert that was acknowledged is there when the server is up again."""
    with psycopg.connect(machine.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (n integer)")
        connection.execute("TRUNCATE kept")
        for number in range(200):
            connection.execute("INSERT INTO kept VALUES (%s)", (number,))
        machine.end(signal.SIGKILL)
    machine.start()
    with psycopg.connect(machine.url) as connection:
        row = connection.execute("SELECT count(*) FROM kept").fetchone()
    assert row == (200,)
