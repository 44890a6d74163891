"""Vectors behind one port; pgvector is behind it by default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg_pool import ConnectionPool

    from pipeline.mark import Mark

DIMENSION: Final = 64


@dataclass(frozen=True, slots=True)
class Origin:
    """Where chunks come from: a job's document, in a corpus, and whose traffic that is."""

    job_id: str
    corpus_name: str
    source_url: str
    mark: Mark


@dataclass(frozen=True, slots=True)
class Entry:
    """A chunk with its vector; the id is that of its place, so that it is written once."""

    id: str
    text: str
    vector: Sequence[float]


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that search has found."""

    chunk_id: str
    text: str
    score: float
    source_url: str


class VectorStore(Protocol):
    """What keeps vectors and finds the nearest."""

    def upsert(self, origin: Origin, entries: Sequence[Entry]) -> None:
        """Write the entries; one that is there already is replaced."""

    def nearest(self, corpus_name: str, vector: Sequence[float], limit: int) -> list[Hit]:
        """Return the nearest chunks of a corpus, best first."""

    def remove_job(self, job_id: str) -> int:
        """Remove a job's vectors; return how many there were."""

    def remove_run(self, run_id: str) -> int:
        """Remove a synthetic run's vectors; return how many there were."""

    def remove_older(self, age: float, limit: int) -> int:
        """Remove at most `limit` synthetic vectors older than `age` seconds; return how many."""


class PgVectorStore:
    """Vectors in PostgreSQL."""

    def __init__(self, pool: ConnectionPool) -> None:
        """Use the pool's connections."""
        self._pool = pool

    def upsert(self, origin: Origin, entries: Sequence[Entry]) -> None:
        """Write the entries; one that is there already is replaced."""
        whose = (origin.mark.traffic, origin.mark.run_id)
        where = (origin.corpus_name, origin.job_id, *whose, origin.source_url)
        rows: list[tuple[Any, ...]] = [
            (entry.id, *where, entry.text, _literal(entry.vector)) for entry in entries
        ]
        with self._pool.connection() as connection, connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO vectors"
                " (id, corpus_name, job_id, traffic, run_id, source_url, content, embedding)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (id) DO UPDATE SET"
                " content = EXCLUDED.content, embedding = EXCLUDED.embedding,"
                " source_url = EXCLUDED.source_url",
                rows,
            )

    def nearest(self, corpus_name: str, vector: Sequence[float], limit: int) -> list[Hit]:
        """Return the nearest chunks of a corpus, best first."""
        asked = _literal(vector)
        with self._pool.connection() as connection:
            rows = connection.execute(
                "SELECT id, content, 1 - (embedding <=> %s::vector), source_url FROM vectors"
                " WHERE corpus_name = %s ORDER BY embedding <=> %s::vector LIMIT %s",
                (asked, corpus_name, asked, limit),
            ).fetchall()
        return [Hit(*row) for row in rows]

    def remove_job(self, job_id: str) -> int:
        """Remove a job's vectors; return how many there were."""
        with self._pool.connection() as connection:
            return connection.execute("DELETE FROM vectors WHERE job_id = %s", (job_id,)).rowcount

    def remove_run(self, run_id: str) -> int:
        """Remove a synthetic run's vectors; return how many there were."""
        with self._pool.connection() as connection:
            return connection.execute(
                "DELETE FROM vectors WHERE run_id = %s AND traffic = 'synthetic'", (run_id,)
            ).rowcount

    def remove_older(self, age: float, limit: int) -> int:
        """Remove at most `limit` synthetic vectors older than `age` seconds; return how many."""
        with self._pool.connection() as connection:
            return connection.execute(
                "DELETE FROM vectors WHERE id IN (SELECT id FROM vectors"
                " WHERE traffic = 'synthetic'"
                " AND created_at <= clock_timestamp() - %s * interval '1 second'"
                " ORDER BY created_at LIMIT %s FOR UPDATE SKIP LOCKED)",
                (age, limit),
            ).rowcount


def chunk_id(job_id: str, index: int) -> str:
    """Return the id of a chunk by its place in its job's document."""
    return f"{job_id}:{index:05d}"


def _literal(vector: Sequence[float]) -> str:
    return f"[{','.join(map(repr, vector))}]"
