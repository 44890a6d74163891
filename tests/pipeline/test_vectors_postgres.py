"""pgvector: one transaction for a document, and an index that knows nothing of corpora."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from pipeline.embed_errors import StoreUnavailableError, UnfitTextError
from pipeline.settings import Settings
from pipeline.testing import poll_until
from pipeline.vectors import DIMENSION, Entry, Hit, chunk_id
from pipeline.vectors.choose import open_store
from pipeline.vectors.postgres import EXACT, PgVectorStore
from tests.pipeline.stores import entries, origin, texts, vector, write

pytestmark = [pytest.mark.process, pytest.mark.req("P-01", "P-08")]


@pytest.fixture
def store(no_vectors: ConnectionPool) -> PgVectorStore:
    """Return an empty store."""
    return PgVectorStore(no_vectors)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("nul \0", [1.0] * DIMENSION),
        ("no number", [math.nan] * DIMENSION),
        ("short", [1.0]),
    ],
)
def test_a_document_of_which_one_row_fails_is_not_written_at_all(
    store: PgVectorStore, text: str, numbers: list[float]
) -> None:
    """What was there stays; the error is one that no other attempt would mend."""
    whose = origin()
    write(store, whose, "a0", "a1", "a2")
    broken = [*entries(whose, ["b0", "b1"]), Entry(chunk_id(whose.job_id, 2), text, numbers)]
    with pytest.raises(UnfitTextError, match="PostgreSQL cannot keep this"):
        store.replace(whose, broken)
    assert texts(store) == ["a0", "a1", "a2"]


def test_a_write_that_is_ended_half_way_shows_nothing(
    store: PgVectorStore, no_vectors: ConnectionPool
) -> None:
    """The server ends its connection before the last row: an error, and what was there stays."""
    whose = origin()
    write(store, whose, "a0", "a1")
    last = chunk_id(whose.job_id, 2)

    def end_the_one_who_waits(looking: psycopg.Connection) -> bool:
        query = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return bool(looking.execute(query).fetchall())

    with (
        ThreadPoolExecutor(1) as threads,
        psycopg.connect(str(no_vectors.conninfo)) as holding,
        psycopg.connect(str(no_vectors.conninfo), autocommit=True) as looking,
    ):
        # Somebody else is about to write a row of that id, so the write waits at its last one.
        row = (last, whose.job_id, [0.5] * DIMENSION)
        holding.execute(
            "INSERT INTO vectors (id, corpus_name, job_id, traffic, source_url, content, embedding)"
            " VALUES (%s, 'other', %s, 'user', '', '', %s)",
            row,
        )
        writing = threads.submit(write, store, whose, "b0", "b1", "b2")
        poll_until(lambda: end_the_one_who_waits(looking), "a write that waits")
        with pytest.raises(StoreUnavailableError, match="PostgreSQL"):
            writing.result(10)
        holding.rollback()
    assert texts(store) == ["a0", "a1"]


def test_a_server_that_is_gone_is_told(no_vectors: ConnectionPool) -> None:
    """Nobody listens: an error of the port's, and not the library's."""
    with ConnectionPool(no_vectors.conninfo, min_size=0, max_size=1, timeout=0.2) as pool:
        pool.close()
        with pytest.raises(StoreUnavailableError, match="PostgreSQL"):
            PgVectorStore(pool).nearest("corpus", vector("a"), 5)


def test_pgvector_is_what_is_chosen_unless_another_is_named(no_vectors: ConnectionPool) -> None:
    """A pool that is lent stays open; one that the store has opened goes with it."""
    settings = Settings("search", {"PIPELINE_DATABASE_URL": str(no_vectors.conninfo)})
    whose = origin()
    own, lent = open_store(settings), open_store(settings, no_vectors)
    write(own, whose, "a")
    assert texts(lent) == ["a"]
    own.close()
    lent.close()
    with pytest.raises(StoreUnavailableError):
        texts(own)
    assert texts(lent) == ["a"]


def _fill(store: PgVectorStore, corpus: str, count: int) -> None:
    for number in range(0, count, 100):
        size = min(100, count - number)
        write(store, origin(corpus), *(f"{corpus} {number + at}" for at in range(size)))


def _exactly(pool: ConnectionPool, corpus: str, asked: list[float], limit: int) -> list[str]:
    """Return the ids of the nearest, as a scan of the whole table has them."""
    with pool.connection() as connection:
        rows = connection.execute(
            "SELECT id FROM vectors WHERE corpus_name = %s"
            " ORDER BY 1 - (embedding <=> %s::vector) DESC LIMIT %s",
            (corpus, str(asked), limit),
        ).fetchall()
    return [row[0] for row in rows]


def _scans(pool: ConnectionPool, index: str = "nearest_vectors") -> int:
    """Return how often an index was used by transactions that have ended."""
    with pool.connection() as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
    with pool.connection() as connection:
        row = connection.execute(
            "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = %s", (index,)
        ).fetchone()
    return int(row[0]) if row else 0


def _ids(hits: list[Hit]) -> list[str]:
    return [hit.chunk_id for hit in hits]


def _recall(store: PgVectorStore, pool: ConnectionPool, corpus: str, limit: int) -> float:
    """Return the share of the nearest that are found; those found have to be in their order."""
    found, right = 0, 0
    for number in range(10):
        asked = vector(("sought", number))
        hits = store.nearest(corpus, asked, limit)
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        expected = _exactly(pool, corpus, asked, limit)
        assert len(hits) == len(expected)
        found += len(set(_ids(hits)) & set(expected))
        right += len(expected)
    return found / right


def test_an_index_scan_gives_all_results_in_order(no_vectors: ConnectionPool) -> None:
    """Of a corpus among others it finds nearly all of the nearest, and never too few."""
    # The planner would rather look at so few rows one by one.
    forced = "-c enable_sort=off -c enable_seqscan=off -c enable_bitmapscan=off"
    url = f"{no_vectors.conninfo}?options={quote(forced)}"
    with ConnectionPool(url, min_size=1, max_size=1) as pool:
        store = PgVectorStore(pool, exact=50)
        for corpus, count in (("foreign", 500), ("large", 120), ("small", 30)):
            _fill(store, corpus, count)
        before = _scans(pool)
        for asked in (vector("sought"), vector("foreign 1")):
            found = _ids(store.nearest("small", asked, 100))
            assert found == _exactly(pool, "small", asked, 100)
            assert store.nearest("nobody's", asked, 100) == []
        assert _scans(pool) == before
        by_corpus = _scans(pool, "vectors_of_corpus")
        assert _recall(store, pool, "large", 10) >= 0.95
        assert _recall(store, pool, "large", 100) >= 0.95
        assert _scans(pool) == before + 20
        # Once for the size and once for the comparison: the corpus never had to be searched whole.
        assert _scans(pool, "vectors_of_corpus") == by_corpus + 40


@pytest.mark.slow
def test_a_corpus_among_many_others_gives_all_its_results_in_order(
    no_vectors: ConnectionPool,
) -> None:
    """The same as the planner likes it: a small corpus whole, a large one by the index."""
    with ConnectionPool(no_vectors.conninfo, min_size=1, max_size=1) as pool:
        store = PgVectorStore(pool)
        with pool.connection() as connection:
            connection.execute("DROP INDEX nearest_vectors")
        for corpus, count in (("foreign", 4_000), ("large", EXACT + 500), ("small", 150)):
            _fill(store, corpus, count)
        with pool.connection() as connection:
            connection.execute(
                "CREATE INDEX nearest_vectors ON vectors USING hnsw (embedding vector_cosine_ops)"
            )
            connection.execute("ANALYZE vectors")
        asked = vector("sought")
        assert _ids(store.nearest("small", asked, 100)) == _exactly(pool, "small", asked, 100)
        assert _recall(store, pool, "large", 10) >= 0.9
        assert _recall(store, pool, "large", 100) >= 0.9
        assert _scans(pool) >= 10  # for a hundred the planner may rather look at all
