"""Vectors in PostgreSQL, by pgvector: a document is written in one transaction."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, LiteralString

import psycopg

from pipeline.embed_errors import StoreUnavailableError, UnfitTextError
from pipeline.vectors import Hit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from psycopg import Connection
    from psycopg_pool import ConnectionPool

    from pipeline.vectors import Entry, Origin

EXACT: Final = 5_000
"""A corpus of so many chunks is searched whole, in some milliseconds. The index knows nothing of
corpora: on its way to a small one it would pass over the vectors of all others."""
_WAIT: Final = "10s"
_SIZE: Final = "SELECT count(*) FROM (SELECT FROM vectors WHERE corpus_name = %s LIMIT %s) AS seen"
# Of vectors without any structure, the worst that there are, this finds more than 9 of 10.
_INDEXED: Final = (
    "SELECT set_config('hnsw.iterative_scan', 'strict_order', true),"
    " set_config('hnsw.ef_search', '200', true), set_config('statement_timeout', %s, true)"
)
_SELECT: Final[LiteralString] = (
    "SELECT id, content, 1 - (embedding <=> %(asked)s::vector), source_url"
    " FROM vectors WHERE corpus_name = %(corpus)s"
)
_NEAREST: Final[LiteralString] = (
    f"{_SELECT} ORDER BY embedding <=> %(asked)s::vector LIMIT %(limit)s"
)
# By a sum no index is ordered.
_EXACTLY: Final[LiteralString] = (
    f"{_SELECT} ORDER BY (embedding <=> %(asked)s::vector) + 0 LIMIT %(limit)s"
)
_INSERT: Final = (
    "INSERT INTO vectors"
    " (id, corpus_name, job_id, traffic, run_id, source_url, content, embedding, created_at)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, now())"
)
_OLDEST: Final = (
    "SELECT DISTINCT job_id FROM (SELECT job_id FROM vectors WHERE traffic = 'synthetic'"
    " AND created_at <= clock_timestamp() - %s * interval '1 second'"
    " ORDER BY created_at LIMIT %s) AS oldest"
)
_FREE: Final[LiteralString] = (
    "SELECT one FROM unnest(%s::uuid[]) AS one"
    " WHERE pg_try_advisory_xact_lock(hashtextextended('vectors of ' || one, 0))"
)
_LOCK: Final[LiteralString] = (
    "SELECT pg_advisory_xact_lock(hashtextextended('vectors of ' || one, 0))"
    " FROM unnest(%s::uuid[]) AS one"
)


class PgVectorStore:
    """Vectors in PostgreSQL.

    Who writes or removes a document holds a lock of its job's until the end of the transaction:
    rows that are not there yet could not be locked.
    """

    def __init__(self, pool: ConnectionPool, *, owned: bool = False, exact: int = EXACT) -> None:
        """Use the pool's connections; close the pool with the store if it is its own."""
        self._pool = pool
        self._owned = owned
        self._exact = exact

    def replace(self, origin: Origin, entries: Sequence[Entry]) -> None:
        """Make these the vectors of the job's document, in place of all that it had."""
        whose = (origin.mark.traffic, origin.mark.run_id)
        where = (origin.corpus_name, origin.job_id, *whose, origin.source_url)
        rows = [(entry.id, *where, entry.text, _literal(entry.vector)) for entry in entries]
        with self._transaction() as connection, connection.cursor() as cursor:
            _lock(connection, [origin.job_id])
            cursor.execute("DELETE FROM vectors WHERE job_id = %s", (origin.job_id,))
            cursor.executemany(_INSERT, rows)

    def nearest(self, corpus_name: str, vector: Sequence[float], limit: int) -> list[Hit]:
        """Return the nearest chunks of a corpus, best first."""
        asked = {"asked": _literal(vector), "corpus": corpus_name, "limit": limit}
        with self._transaction() as connection:
            size = _number(connection, _SIZE, corpus_name, self._exact + 1)
            rows = []
            if size > self._exact:
                connection.execute(_INDEXED, (_WAIT,))
                rows = connection.execute(_NEAREST, asked).fetchall()
            if len(rows) < min(size, limit):  # an index scan gives up after so many of others
                rows = connection.execute(_EXACTLY, asked).fetchall()
        return [Hit(*row) for row in rows]

    def remove_job(self, job_id: str) -> int:
        """Remove a job's vectors; return how many there were."""
        with self._transaction() as connection:
            _lock(connection, [job_id])
            return connection.execute("DELETE FROM vectors WHERE job_id = %s", (job_id,)).rowcount

    def remove_run(self, run_id: str) -> int:
        """Remove a synthetic run's vectors; return how many there were."""
        with self._transaction() as connection:
            jobs = _ids(
                connection,
                "SELECT DISTINCT job_id FROM vectors WHERE run_id = %s AND traffic = 'synthetic'",
                run_id,
            )
            _lock(connection, jobs)
            return connection.execute(
                "DELETE FROM vectors WHERE run_id = %s AND traffic = 'synthetic'"
                " AND job_id = ANY(%s::uuid[])",
                (run_id, jobs),
            ).rowcount

    def remove_older(self, age: float, limit: int) -> int:
        """Remove synthetic documents older than `age` seconds; return how many vectors that were.

        The rows of a document are all of the same moment. One that is being written is left.
        """
        with self._transaction() as connection:
            jobs = _ids(connection, _OLDEST, age, limit)
            return connection.execute(
                "DELETE FROM vectors WHERE job_id = ANY(%s::uuid[]) AND traffic = 'synthetic'"
                " AND created_at <= clock_timestamp() - %s * interval '1 second'",
                (_ids(connection, _FREE, jobs), age),
            ).rowcount

    def ping(self) -> None:
        """Return if the store answers."""
        with self._transaction() as connection:
            connection.execute("SELECT 1")

    def close(self) -> None:
        """Close the pool, if it was opened for the store."""
        if self._owned:
            self._pool.close()

    @contextmanager
    def _transaction(self) -> Iterator[Connection[Any]]:
        """Lend a connection for one transaction, and say in the port's words what went wrong."""
        try:
            with self._pool.connection() as connection:
                yield connection
        except psycopg.DataError as error:
            raise UnfitTextError(f"PostgreSQL cannot keep this: {error}") from error
        except psycopg.Error as error:
            raise StoreUnavailableError(f"PostgreSQL: {error}") from error


def _lock(connection: Connection[Any], jobs: Sequence[str]) -> None:
    """Wait until nobody else writes these jobs' documents; always in the same order."""
    connection.execute("SELECT set_config('lock_timeout', %s, true)", (_WAIT,))
    connection.execute(_LOCK, (sorted(jobs),))


def _ids(connection: Connection[Any], query: LiteralString, *values: Any) -> list[str]:
    return [str(row[0]) for row in connection.execute(query, values).fetchall()]


def _number(connection: Connection[Any], query: LiteralString, *values: Any) -> int:
    row = connection.execute(query, values).fetchone()
    return int(row[0]) if row else 0


def _literal(vector: Sequence[float]) -> str:
    return f"[{','.join(map(repr, vector))}]"
