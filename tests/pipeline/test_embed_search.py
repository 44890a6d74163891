"""Chunking, embedding-api and search over HTTP, with real stores and stubs of other people's."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
from psycopg_pool import ConnectionPool
from redis import Redis
from starlette.types import Receive, Scope, Send

from pipeline import api, text
from pipeline.services import chunking, embedding_api, search
from tests.pipeline import local

pytestmark = [pytest.mark.process, pytest.mark.req("P-01", "P-08")]


@dataclass(frozen=True, slots=True)
class World:
    """The services, and what is behind them."""

    chunking: httpx.Client
    embedding: httpx.Client
    search: httpx.Client
    pool: ConnectionPool
    inference: str

    def embed(self, *chunks: str, whose: str = "service", **given: Any) -> httpx.Response:
        """Embed chunks, of a new job if none is given."""
        body = {"job_id": str(uuid4()), "corpus_name": "corpus", "chunks": list(chunks), **given}
        return self.embedding.post("/embed", json=body, headers=local.key(whose))

    def found(self, query: str, corpus: str = "corpus", limit: int = 100) -> list[dict[str, Any]]:
        """Return the results of a search."""
        body = {"query": query, "corpus_name": corpus, "limit": limit}
        answer = self.search.post("/search", json=body, headers=local.key("user"))
        assert answer.status_code == 200, answer.text
        results: list[dict[str, Any]] = answer.json()["results"]
        return results

    def rows(self) -> list[tuple[str, str]]:
        """Return the ids and texts that the database has."""
        with self.pool.connection() as connection:
            return connection.execute("SELECT id, content FROM vectors ORDER BY id").fetchall()


@pytest.fixture(scope="module")
def running(
    redis_url: str, _one_database: ConnectionPool
) -> Iterator[tuple[httpx.Client, httpx.Client, httpx.Client, str]]:
    """Return clients of the three services, and the URL of the inference stub."""
    with local.others() as urls:
        database = {"PIPELINE_DATABASE_URL": str(_one_database.conninfo)}
        env = {**urls, **database, "PIPELINE_CACHE_URL": redis_url}
        with (
            local.service(chunking.make, "chunking", env) as one,
            local.service(embedding_api.make, "embedding-api", env) as other,
        ):
            more = {"PIPELINE_EMBEDDING_API_URL": str(other.base_url)}
            with local.service(search.make, "search", {**env, **more}) as third:
                yield one, other, third, env["PIPELINE_INFERENCE_URL"]


@pytest.fixture
def world(
    running: tuple[httpx.Client, httpx.Client, httpx.Client, str],
    no_vectors: ConnectionPool,
    redis: Redis,
) -> World:
    """Return the services with nothing stored and nothing cached, and a stub that behaves."""
    assert redis.dbsize() == 0
    one, other, third, inference = running
    local.behave(inference, "ok")
    return World(one, other, third, no_vectors, inference)


def chunk(world: World, content: str, **headers: str) -> httpx.Response:
    """Chunk a text."""
    body = {"content": content}
    return world.chunking.post("/chunk", json=body, headers={**local.key("user"), **headers})


@pytest.mark.req("P-07", "P-03")
def test_a_document_is_chunked_in_order(world: World) -> None:
    """Each chunk is what stands at its place in the text, and has its tokens."""
    document = "\n\n".join(text.paragraphs(2_000, seed=1))
    answer = chunk(world, document)
    assert answer.status_code == 200
    found = answer.json()
    assert found["count"] == len(found["chunks"]) == 7
    assert [one["index"] for one in found["chunks"]] == list(range(7))
    for one in found["chunks"]:
        assert set(one) == {"index", "text", "tokens", "start", "end"}
        assert one["text"] == document[one["start"] : one["end"]]
        assert 0 < one["tokens"] <= 400
    assert 'chunks_per_document_sum{traffic="user"} 7.0' in world.chunking.get("/metrics").text


@pytest.mark.req("P-07", "P-03")
@pytest.mark.parametrize("content", ["", " \n\t"])
def test_an_empty_document_has_no_chunks(world: World, content: str) -> None:
    """It is no error."""
    assert chunk(world, content).json() == {"count": 0, "chunks": []}


@pytest.mark.req("P-07")
def test_a_document_that_is_too_long_is_refused(world: World) -> None:
    """By its characters, or by the bytes of the body, which are not read to their end."""
    refused = chunk(world, "a" * (chunking.LONGEST + 1))
    assert refused.status_code == 422
    assert refused.json()["detail"][0]["loc"] == ["body", "content"]

    def body() -> Iterator[bytes]:
        yield b'{"content": "'
        for _ in range(25):
            yield b"a" * 1_000_000

    for content in (body(), b"".join(body())):
        answer = world.chunking.post("/chunk", content=content, headers=local.key("user"))
        assert answer.status_code == 413
    documented = world.chunking.get("/openapi.json").json()["paths"]["/chunk"]["post"]["responses"]
    assert set(documented) >= {"200", "401", "413", "422", "503"}


@pytest.mark.slow
@pytest.mark.req("P-07")
def test_others_are_answered_while_a_long_text_is_chunked(world: World) -> None:
    """The work is not done where requests are taken."""
    document = "漢字" * 300_000
    answered = 0
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(chunk, world, document)
        while not waiting.done():
            assert world.chunking.get("/live", timeout=30).status_code == 200
            answered += 1
        assert waiting.result().json()["count"] > 1_500
    assert answered >= 3


@pytest.mark.parametrize(
    "body",
    [
        {"chunks": ["a", "nul \0"]},
        {"chunks": [""]},
        {"chunks": ["a" * 20_001]},
        {"chunks": ["a"] * (api.MOST_CHUNKS + 1)},
        {"chunks": None},
        {"job_id": "-" * 36},
        {"corpus_name": ""},
        {"corpus_name": "nul \0"},
        {"source_url": "nul \0"},
    ],
    ids=str,
)
def test_chunks_that_cannot_be_written_are_refused(world: World, body: dict[str, Any]) -> None:
    """With the place of what is wrong, and nothing is written or asked for."""
    before = local.counts(world.inference)
    answer = world.embed(**{"chunks": ["a"], **body})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][:2] == ["body", next(iter(body))]
    assert world.rows() == []
    assert local.counts(world.inference) == before


@pytest.mark.req("P-03")
@pytest.mark.parametrize(("whose", "status"), [("user", 403), ("validator", 403)])
def test_only_services_write(world: World, whose: str, status: int) -> None:
    """A user's key writes nothing and gets no vectors."""
    assert world.embed("a", whose=whose).status_code == status
    query = world.embedding.post("/query", json={"text": "a"}, headers=local.key(whose))
    assert query.status_code == status
    assert world.rows() == []


@pytest.mark.req("P-03")
def test_the_same_chunks_again_are_one_row_each(world: World) -> None:
    """Written again they are there once; fewer and others take their place."""
    job_id = str(uuid4())
    for chunks in (["a", "b", "c"], ["a", "b", "c"], ["d", "e"]):
        answer = world.embed(*chunks, job_id=job_id)
        assert (answer.status_code, answer.json()) == (200, {"written": len(chunks)})
        assert world.rows() == [(f"{job_id}:{at:05d}", one) for at, one in enumerate(chunks)]


@pytest.mark.req("P-03", "K-01")
def test_what_was_embedded_is_found(world: World) -> None:
    """The nearest first, with all fields, in its corpus alone; an unknown one is empty."""
    job_id, url = str(uuid4()), "http://site.test/page"
    world.embed("a small river", "worker queue", job_id=job_id, source_url=url)
    world.embed("a small river", corpus_name="other")
    hits = world.found("small river")
    assert [hit["text"] for hit in hits] == ["a small river", "worker queue"]
    assert hits[0] == {
        "chunk_id": f"{job_id}:00000",
        "text": "a small river",
        "score": pytest.approx(0.8165, abs=0.001),
        "source_url": url,
    }
    assert len(world.found("small river", limit=1)) == 1
    assert world.found("small river", "nobody's") == []


@pytest.mark.parametrize(
    ("mode", "status", "code"),
    [
        ("http_500", 503, "inference_unavailable"),
        ("nan", 503, "inference_invalid"),
        ("http_413", 422, "inference_refused"),
    ],
)
def test_what_inference_does_wrong_is_told(world: World, mode: str, status: int, code: str) -> None:
    """With its code, and nothing is written; search cannot be answered either."""
    local.behave(world.inference, mode, times=2)
    answer = world.embed("a", "b")
    assert answer.status_code == status
    detail = answer.json()["detail"]
    assert code in (detail if status == 503 else detail[0]["type"])
    assert answer.headers.get("Retry-After") == ("1" if status == 503 else None)
    assert world.rows() == []
    asked = {"query": "a", "corpus_name": "corpus"}
    sought = world.search.post("/search", json=asked, headers=local.key("user"))
    assert sought.status_code == status
    assert sought.headers.get("Retry-After") == ("1" if status == 503 else None)
    assert world.embed("a").status_code == 200


def test_an_inference_server_that_is_down_is_left_alone(
    redis_url: str, no_vectors: ConnectionPool
) -> None:
    """After five failures requests are answered at once, with the time to ask again."""
    with local.others() as urls, socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        env = {
            **urls,
            "PIPELINE_INFERENCE_URL": url,
            "PIPELINE_INFERENCE_TIMEOUT": "0.1",
            "PIPELINE_DATABASE_URL": str(no_vectors.conninfo),
            "PIPELINE_CACHE_URL": redis_url,
        }
        with local.service(embedding_api.make, "embedding-api", env) as client:

            def ask(path: str) -> httpx.Response:
                body = (
                    {"text": "unheard of"}
                    if path == "/query"
                    else {
                        "job_id": str(uuid4()),
                        "corpus_name": "corpus",
                        "chunks": ["never seen"],
                    }
                )
                return client.post(path, json=body, headers=local.key("service"))

            for path in ("/embed", "/query", "/embed", "/query", "/embed"):
                assert "Timeout" in ask(path).json()["detail"]
            for path in ("/embed", "/query"):
                answer = ask(path)
                assert answer.status_code == 503
                assert "again and again" in answer.json()["detail"]
                assert 25 <= int(answer.headers["Retry-After"]) <= 30
            page = client.get("/metrics").text
            assert 'circuit_breaker_state{breaker="inference"} 2.0' in page


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"query": ""}, "query"),
        ({"query": "nul \0"}, "query"),
        ({"query": "a", "corpus_name": "nul \0"}, "corpus_name"),
        ({"query": "a", "limit": 0}, "limit"),
        ({"query": "a", "limit": 101}, "limit"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(
    world: World, body: dict[str, Any], field: str
) -> None:
    """With the place of what is wrong."""
    answer = world.search.post("/search", json=body, headers=local.key("user"))
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", field]


class _Embedding:
    """What answers in embedding-api's place, as it is told to."""

    said: tuple[int, bytes] = (200, b"")

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer every request in the same way."""
        if scope["type"] == "http":
            status, body = self.said
            await send({"type": "http.response.start", "status": status, "headers": []})
            await send({"type": "http.response.body", "body": body})


_WRONG = [
    (500, b"", "embedding-api answered 500"),
    (200, b"{}", "embedding-api gives no vector"),
    (200, b"not JSON", "embedding-api gives no vector"),
    (200, b'{"vector": [1.0]}', "embedding-api gives a vector of 1 numbers"),
]


def test_search_without_embedding_api_is_503(redis_url: str, no_vectors: ConnectionPool) -> None:
    """As it is documented, whatever embedding-api does, and when it is not there."""
    standing_in = _Embedding()
    with local.others() as urls, ExitStack() as opened:
        given = {
            **urls,
            "PIPELINE_EMBEDDING_API_URL": opened.enter_context(local.served(standing_in)),
            "PIPELINE_DATABASE_URL": str(no_vectors.conninfo),
            "PIPELINE_CACHE_URL": redis_url,
        }
        with local.service(search.make, "search", given) as client:

            def check(told: str) -> None:
                answer = client.post("/search", json={"query": "a"}, headers=local.key("user"))
                assert (answer.status_code, answer.json()) == (503, {"detail": told})
                assert answer.headers["Retry-After"] == "1"

            for status, body, told in _WRONG:
                standing_in.said = (status, body)
                check(told)
            opened.close()
            check("embedding-api cannot be reached")
            documented = client.get("/openapi.json").json()["paths"]["/search"]["post"]
            assert "503" in documented["responses"]


def test_search_without_its_table_is_503(world: World) -> None:
    """The vector store's error is told, and not a traceback."""
    with world.pool.connection() as connection:
        connection.execute("ALTER TABLE vectors RENAME TO elsewhere")
    try:
        body = {"query": "a"}
        answer = world.search.post("/search", json=body, headers=local.key("user"))
    finally:
        with world.pool.connection() as connection:
            connection.execute("ALTER TABLE elsewhere RENAME TO vectors")
    assert answer.status_code == 503
    assert answer.json()["detail"].startswith("vector_store_unavailable: PostgreSQL: ")
    assert answer.headers["Retry-After"] == "1"
