"""Jobs and their outbox in a database of a test's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from pipeline import jobs
from pipeline.mark import Mark

if TYPE_CHECKING:
    from psycopg_pool import ConnectionPool


def new_job(mark: Mark | None = None) -> jobs.NewJob:
    """Return a request for a job of its own."""
    return jobs.NewJob(uuid4(), "user", "http://site.test/a", "corpus", mark or Mark())


def inserted(pool: ConnectionPool, mark: Mark | None = None) -> UUID:
    """Insert a job; return its id."""
    job, is_new = jobs.JobStore(pool).insert(new_job(mark))
    assert is_new
    return job.id


def rows(pool: ConnectionPool, columns: str = "action") -> list[tuple[Any, ...]]:
    """Return the outbox, oldest first."""
    with pool.connection() as connection:
        query = f"SELECT {columns} FROM outbox ORDER BY id"  # noqa: S608 - a test's own
        return connection.execute(query.encode()).fetchall()


def count(pool: ConnectionPool, table: str) -> int:
    """Return how many rows a table has."""
    with pool.connection() as connection:
        query = f"SELECT count(*) FROM {table}"  # noqa: S608 - a test's own
        row = connection.execute(query.encode()).fetchone()
    assert row
    return int(row[0])
