"""Vectors behind one port: PostgreSQL with pgvector by default, or Qdrant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    """A chunk that search has found; the score is the cosine of its angle to what was sought."""

    chunk_id: str
    text: str
    score: float
    source_url: str


class VectorStore(Protocol):
    """What keeps vectors and finds the nearest.

    Of a document readers see all vectors or none, at any moment and whatever ends a write early.
    Each call raises StoreUnavailableError where the store cannot do it now.
    """

    def replace(self, origin: Origin, entries: Sequence[Entry]) -> None:
        """Make these the vectors of the job's document, in place of all that it had.

        Of two writes at once the document is one's or the other's; the one that was not written
        returned earlier, or raises WriteConflictError.
        """

    def nearest(self, corpus_name: str, vector: Sequence[float], limit: int) -> list[Hit]:
        """Return the nearest chunks of a corpus, best first."""

    def remove_job(self, job_id: str) -> int:
        """Remove a job's vectors; return how many there were."""

    def remove_run(self, run_id: str) -> int:
        """Remove a synthetic run's vectors; return how many there were."""

    def remove_older(self, age: float, limit: int) -> int:
        """Remove synthetic documents older than `age` seconds; return how many vectors that were.

        Documents go whole, until `limit` vectors or more are gone: fewer means that none is left.
        """

    def ping(self) -> None:
        """Return if the store answers."""

    def close(self) -> None:
        """Close what was opened for the store alone."""


def chunk_id(job_id: str, index: int) -> str:
    """Return the id of a chunk by its place in its job's document."""
    return f"{job_id}:{index:05d}"
