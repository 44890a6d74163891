"""What every vector store promises: the same suite over pgvector and Qdrant."""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from psycopg_pool import ConnectionPool
from qdrant_client import QdrantClient

from pipeline.embed_errors import WriteConflictError
from pipeline.mark import Mark
from pipeline.vectors import Origin, VectorStore
from pipeline.vectors.postgres import PgVectorStore
from tests.pipeline.stores import (
    Kept,
    entries,
    of_postgres,
    of_qdrant,
    origin,
    texts,
    vector,
    write,
)

pytestmark = [pytest.mark.process, pytest.mark.req("P-01", "P-08")]


@pytest.fixture(params=["pgvector", "qdrant"])
def kept(request: pytest.FixtureRequest) -> Iterator[Kept]:
    """Return each store in turn, empty."""
    if request.param == "pgvector":
        pool: ConnectionPool = request.getfixturevalue("no_vectors")
        yield of_postgres(PgVectorStore(pool), pool)
        return
    client = QdrantClient(":memory:")
    yield of_qdrant(client)
    client.close()


@pytest.fixture
def store(kept: Kept) -> VectorStore:
    """Return the store alone."""
    return kept.store


def _cosine(left: list[float], right: list[float]) -> float:
    product = sum(one * other for one, other in zip(left, right, strict=True))
    return product / math.hypot(*left) / math.hypot(*right)


def test_the_nearest_come_first_with_their_cosine(store: VectorStore) -> None:
    """Hits have all their fields, are ordered by score, and are no more than were asked for."""
    whose = origin()
    words = [f"text {number}" for number in range(40)]
    write(store, whose, *words)
    asked = vector("text 7")
    expected = sorted(((_cosine(vector(word), asked), word) for word in words), reverse=True)
    for limit in (1, 5, 40, 100):
        hits = store.nearest("corpus", asked, limit)
        assert [hit.text for hit in hits] == [word for _, word in expected[:limit]]
        assert [hit.score for hit in hits] == pytest.approx(
            [score for score, _ in expected[:limit]], abs=1e-5
        )
    (best,) = store.nearest("corpus", asked, 1)
    assert best.chunk_id == f"{whose.job_id}:00007"
    assert best.source_url == whose.source_url
    assert best.score == pytest.approx(1, abs=1e-6)


def test_a_corpus_is_searched_alone_and_an_unknown_one_is_empty(store: VectorStore) -> None:
    """What is in other corpora is not found, however near it is."""
    assert store.nearest("nobody's", vector("a"), 5) == []
    write(store, origin("one"), "a", "b")
    write(store, origin("two"), "c")
    assert texts(store, "one") == ["a", "b"]
    assert texts(store, "two") == ["c"]
    assert store.nearest("nobody's", vector("a"), 5) == []


def test_a_document_that_is_written_again_is_there_once(kept: Kept) -> None:
    """Each chunk is one row, with the content that was written last; those gone are gone."""
    whose = origin()
    for words in (["a", "b", "c"], ["a", "b", "c"], ["d", "e"], [], ["f", "g", "h", "i"]):
        write(kept.store, whose, *words)
        assert texts(kept.store) == words
        assert kept.rows() == len(words)
    moved = Origin(whose.job_id, "elsewhere", "http://other.test", whose.mark)
    write(kept.store, moved, "j")
    assert (texts(kept.store), texts(kept.store, "elsewhere")) == ([], ["j"])


def test_a_job_is_removed_with_all_that_it_has(kept: Kept) -> None:
    """The number of vectors is told; another job's stay; twice is harmless."""
    mine, other = origin(), origin()
    write(kept.store, mine, "a", "b")
    write(kept.store, other, "c")
    assert kept.store.remove_job(mine.job_id) == 2
    assert kept.store.remove_job(mine.job_id) == 0
    assert texts(kept.store) == ["c"]
    write(kept.store, mine, "d")
    assert texts(kept.store) == ["c", "d"] or texts(kept.store) == ["d", "c"]


def test_a_run_is_removed_and_no_other(kept: Kept) -> None:
    """Of a run all documents go; those of other runs, of none, and of users stay."""
    marks = [Mark("synthetic", "gone"), Mark("synthetic", "kept"), Mark("synthetic"), Mark()]
    for mark in marks:
        for number in range(2):
            write(kept.store, origin(f"{mark.traffic} {mark.run_id} {number}", mark), "a", "b")
    assert kept.store.remove_run("gone") == 4
    assert kept.store.remove_run("gone") == 0
    assert kept.rows() == 12
    for mark in marks:
        left = texts(kept.store, f"{mark.traffic} {mark.run_id} 1")
        assert left == ([] if mark.run_id == "gone" else ["a", "b"])


def test_old_synthetic_documents_are_removed_whole(kept: Kept) -> None:
    """Until so many vectors are gone; a young one and a user's, however old, stay."""
    old = [origin(f"old {number}") for number in range(3)]
    young, user = origin("young"), origin("user", Mark())
    for whose in (*old, young, user):
        write(kept.store, whose, "a", "b", "c")
    for whose in (*old, user):
        kept.age(whose.job_id, 3600)
    assert kept.store.remove_older(7200, 100) == 0
    assert kept.store.remove_older(600, 4) == 6
    left = [texts(kept.store, whose.corpus_name) for whose in old]
    assert sorted(left) == [[], [], ["a", "b", "c"]]
    assert kept.store.remove_older(600, 4) == 3
    assert kept.store.remove_older(600, 4) == 0
    assert texts(kept.store, "young") == texts(kept.store, "user") == ["a", "b", "c"]
    assert kept.store.remove_older(0, 100) == 3
    assert kept.rows() == 3


def test_a_document_is_as_old_as_its_last_write(kept: Kept) -> None:
    """Written again it is young."""
    whose = origin()
    write(kept.store, whose, "a", "b")
    kept.age(whose.job_id, 3600)
    write(kept.store, whose, "c")
    assert kept.store.remove_older(600, 100) == 0
    assert texts(kept.store) == ["c"]


def _written_for_sure(store: VectorStore, whose: Origin, words: list[str]) -> None:
    """Write as a worker does: where another write came between, once more."""
    for attempt in range(20):
        try:
            return store.replace(whose, entries(whose, words))
        except WriteConflictError:
            threading.Event().wait(random.uniform(0, 0.01 * 1.5**attempt))
    raise AssertionError("never written")


def test_writes_and_reads_at_once_see_whole_documents(kept: Kept) -> None:
    """Four write one job's document at once, of different lengths: it is always one of them."""
    whose = origin()
    versions = [[f"{name}{at}" for at in range(3 + size)] for size, name in enumerate("abcd")]
    write(kept.store, whose, *versions[0])
    done = threading.Event()
    seen: list[list[str]] = []

    def read() -> None:
        while not done.is_set():
            seen.append(texts(kept.store))

    with ThreadPoolExecutor(6) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        try:
            for _ in range(2):
                list(pool.map(lambda words: _written_for_sure(kept.store, whose, words), versions))
        finally:
            done.set()
        for reader in readers:
            reader.result()
    assert len(seen) >= 2
    assert [one for one in seen if one not in versions] == []
    last = texts(kept.store)
    assert last in versions
    write(kept.store, whose, "z")
    assert kept.rows() == 1  # and what the others have left is gone


def test_qdrant_on_disk_has_it_all_when_it_is_opened_again(tmp_path: Path) -> None:
    """What was written, rewritten and removed is so for the next process."""
    whose, gone = origin(), origin()
    for words in (["a", "b", "c"], ["d", "e"]):
        client = QdrantClient(path=str(tmp_path / "qdrant"))
        store = of_qdrant(client).store
        write(store, whose, *words)
        write(store, gone, "x")
        assert store.remove_job(gone.job_id) == 1
        client.close()
    client = QdrantClient(path=str(tmp_path / "qdrant"))
    kept = of_qdrant(client)
    assert (texts(kept.store), kept.rows()) == (["d", "e"], 2)
    client.close()


def test_scores_of_both_stores_are_the_same(no_vectors: ConnectionPool) -> None:
    """What is found and how near it is does not depend on the store."""
    client = QdrantClient(":memory:")
    both = (PgVectorStore(no_vectors), of_qdrant(client).store)
    whose = origin()
    for one in both:
        write(one, whose, *(f"text {number}" for number in range(60)))
    left, right = (one.nearest("corpus", vector("sought"), 20) for one in both)
    assert [hit.chunk_id for hit in left] == [hit.chunk_id for hit in right]
    assert [hit.score for hit in left] == pytest.approx([hit.score for hit in right], abs=1e-6)
