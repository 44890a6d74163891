"""One running pipeline for all process tests; switches are turned off after each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.services import stubs
from pipeline.settings import Settings
from pipeline.testing import RunningPipeline
from tests.pipeline import local, servers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg_pool import ConnectionPool
    from redis import Redis


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPipeline]:
    """Return a pipeline whose spans and logs go to the console exporter."""
    found = RunningPipeline(tmp_path_factory.mktemp("pipeline") / "state")
    try:
        found.wait_until_up()
        yield found
    finally:
        found.stop()


@pytest.fixture
def whole(running: RunningPipeline) -> Iterator[RunningPipeline]:
    """Return the pipeline with all switches off, and turn them off afterwards."""
    yield running
    if running.description()["faults"]:
        mended = running.command("mend")
        assert mended.returncode == 0, mended.stderr


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Postgres]:
    """Return a PostgreSQL server of this test process."""
    with servers.postgres(tmp_path_factory.mktemp("postgres") / "server") as found:
        yield found


@pytest.fixture
def pool(postgres: servers.Postgres) -> Iterator[ConnectionPool]:
    """Return connections to a database with the pipeline's tables, all of them empty."""
    with servers.pool(postgres.new()) as found:
        yield found


@pytest.fixture(scope="session")
def _one_database(postgres: servers.Postgres) -> Iterator[ConnectionPool]:
    """Return connections to one database for all tests of vectors: making one takes time."""
    with servers.pool(postgres.new()) as found:
        yield found


@pytest.fixture
def no_vectors(_one_database: ConnectionPool) -> ConnectionPool:
    """Return connections to a database that has no vectors."""
    with _one_database.connection() as connection:
        connection.execute("TRUNCATE vectors")
    return _one_database


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the URL of a Redis server of this test process."""
    with servers.redis(tmp_path_factory.mktemp("redis") / "server") as found:
        yield found


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    """Return a client of that server, which is empty."""
    with servers.client(redis_url) as found:
        yield found


@pytest.fixture(scope="session")
def _inference() -> Iterator[str]:
    """Return the URL of an inference stub."""
    with local.served(stubs.inference(Settings("inference", {}))) as url:
        yield url


@pytest.fixture
def stub(_inference: str) -> str:
    """Return the URL of an inference stub, which behaves."""
    local.behave(_inference, "ok")
    return _inference
