"""What tests of vector stores share: documents, ways to age them, Qdrant in this process."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from psycopg_pool import ConnectionPool
from qdrant_client import QdrantClient, models

from pipeline.mark import Mark
from pipeline.vectors import DIMENSION, Entry, Origin, VectorStore, chunk_id
from pipeline.vectors.qdrant import QdrantVectorStore
from pipeline.vectors.qdrant_server import CHUNKS, MANIFESTS

SYNTHETIC = Mark("synthetic", "run-1")


@dataclass(frozen=True, slots=True)
class Kept:
    """A store, and what its port does not offer: to make all of a job older, and to count."""

    store: VectorStore
    age: Callable[[str, float], None]
    rows: Callable[[], int]


def vector(seed: object) -> list[float]:
    """Return a direction that follows from the seed."""
    source = random.Random(repr(seed))
    return [source.gauss(0, 1) for _ in range(DIMENSION)]


def origin(corpus: str = "corpus", mark: Mark = SYNTHETIC, job_id: str = "") -> Origin:
    """Return where a document comes from: a job of its own, if none is named."""
    return Origin(job_id or str(uuid4()), corpus, "http://site.test/page", mark)


def entries(whose: Origin, texts: Sequence[str]) -> list[Entry]:
    """Return the chunks of a document; each has its text's direction."""
    return [Entry(chunk_id(whose.job_id, at), text, vector(text)) for at, text in enumerate(texts)]


def write(store: VectorStore, whose: Origin, *texts: str) -> None:
    """Write a document."""
    store.replace(whose, entries(whose, texts))


def texts(store: VectorStore, corpus: str = "corpus") -> list[str]:
    """Return the texts of all chunks of a corpus, in the order of their places."""
    found = store.nearest(corpus, vector("anything"), 100)
    return [hit.text for hit in sorted(found, key=lambda hit: hit.chunk_id)]


class Calls:
    """A client of Qdrant in this process that tells of each call before it is made.

    Points are written one at a time, as a server might while others read; the local Qdrant is for
    one thread, so calls take turns.
    """

    def __init__(self, client: QdrantClient, before: Callable[[str], None]) -> None:
        """Call the client, after `before` was told the name of the call."""
        self._client = client
        self._before = before
        self._turn = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        """Return the call of that name."""

        def call(*given: Any, **named: Any) -> Any:
            if name == "upsert" and len(given[1]) > 1:
                return [call(given[0], [point], **named) for point in given[1]][-1]
            self._before(name)
            with self._turn:
                return getattr(self._client, name)(*given, **named)

        return call


def qdrant(
    client: QdrantClient,
    before: Callable[[str], None] = lambda _: None,
    clock: Callable[[], float] = time.time,
) -> Any:
    """Return a store on a client in this process, for whom indexes are nothing."""
    calls: Any = Calls(client, before)
    return QdrantVectorStore(calls, indexed=False, clock=clock)


def of_qdrant(client: QdrantClient) -> Kept:
    """Return a store on a client, whose documents can be aged and counted."""

    def age(job_id: str, seconds: float) -> None:
        same = models.FieldCondition(key="job_id", match=models.MatchValue(value=job_id))
        where = models.Filter(must=[same])
        for name in (CHUNKS, MANIFESTS):
            found, _ = client.scroll(name, where, limit=1_000)
            for point in found:
                old = {"created_at": (point.payload or {})["created_at"] - seconds}
                client.set_payload(name, old, [point.id])

    return Kept(qdrant(client), age, lambda: client.count(CHUNKS).count)


def of_postgres(store: VectorStore, pool: ConnectionPool) -> Kept:
    """Return a store on a pool, whose documents can be aged and counted."""

    def age(job_id: str, seconds: float) -> None:
        with pool.connection() as connection:
            connection.execute(
                "UPDATE vectors SET created_at = created_at - %s * interval '1 second'"
                " WHERE job_id = %s",
                (seconds, job_id),
            )

    def rows() -> int:
        with pool.connection() as connection:
            found = connection.execute("SELECT count(*) FROM vectors").fetchone()
        return int(found[0]) if found else 0

    return Kept(store, age, rows)
