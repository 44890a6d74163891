"""Vectors for texts: how they are cut into batches, what the cache saves, what is measured."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from pipeline import chunks, clients, faults, metrics
from pipeline.breaker import Breaker, Limits, State
from pipeline.embed_errors import EmbedError, InferenceRefusedError, UnfitTextError
from pipeline.embedding import Batching, Embedder, batches, open_embedder
from pipeline.embedding_cache import EmbeddingCache
from pipeline.inference import pack, unpack
from pipeline.mark import Mark
from pipeline.services import stubs
from pipeline.settings import Settings
from pipeline.vectors import Entry, Origin
from tests.pipeline import local, servers

pytestmark = [pytest.mark.process, pytest.mark.req("P-08", "P-01")]

_COUNTER = chunks.tokenizer()
ORIGIN = Origin("00000000-0000-4000-8000-000000000001", "corpus", "http://site.test", Mark())


@dataclass
class _Kept:
    """A store that remembers what it was given."""

    written: list[list[Entry]] = field(default_factory=list)

    def replace(self, _origin: Origin, entries: list[Entry]) -> None:
        """Remember the entries."""
        self.written.append(list(entries))


class Scene:
    """An embedder with its metrics, the stub that it asks, and a store."""

    def __init__(self, url: str, redis_url: str, **env: str) -> None:
        """Set it up as a process would."""
        variables = {
            "PIPELINE_INFERENCE_URL": url,
            "PIPELINE_CACHE_URL": redis_url,
            **{f"PIPELINE_{name}": value for name, value in env.items()},
        }
        self.url = url
        settings = Settings("embedding-worker", variables)
        self.metrics = metrics.build(settings)
        self.embedder: Embedder = open_embedder(settings, self.metrics)
        self.store: Any = _Kept()
        self._before = local.counts(url)

    def write(self, *texts: str) -> int:
        """Write a document."""
        return self.embedder.write(self.store, ORIGIN, texts)

    def count(self, sample: str, **labels: str) -> float:
        """Return the sum of the samples that have these labels."""
        page = generate_latest(self.metrics.registry).decode()
        return sum(
            found.value
            for family in text_string_to_metric_families(page)
            for found in family.samples
            if found.name == sample and labels.items() <= found.labels.items()
        )

    def asked(self) -> tuple[int, int]:
        """Return how many requests the stub has had since then, and of how many texts."""
        requests, texts = local.counts(self.url)
        return requests - self._before[0], texts - self._before[1]


@pytest.fixture
def scene(stub: str, redis: Redis, redis_url: str) -> Iterator[Scene]:
    """Return an embedder whose cache is empty."""
    assert redis.dbsize() == 0
    found = Scene(stub, redis_url)
    yield found
    found.embedder.close()


class _Bytes:
    """Counts each byte as a token."""

    def count(self, text: str) -> int:
        """Return the bytes of a text."""
        return len(text.encode())


@given(
    st.lists(st.text("aß", max_size=20), max_size=40),
    st.integers(1, 6),
    st.integers(40, 60),
)
def test_batches_have_all_texts_in_order_within_both_limits(
    texts: list[str], size: int, tokens: int
) -> None:
    """As few as can be: the first text of each would have been too much for the one before."""
    found = list(batches(texts, Batching(_Bytes(), size, tokens)))
    assert [text for _, batch in found for text in batch] == texts
    assert [start for start, _ in found] == [
        sum(len(batch) for _, batch in found[:at]) for at in range(len(found))
    ]
    weights = [sum(len(text.encode()) for text in batch) for _, batch in found]
    assert all(1 <= len(batch) <= size for _, batch in found)
    assert all(weight <= tokens for weight in weights)
    for (_, batch), weight, (_, following) in zip(found, weights, found[1:], strict=False):
        full = weight + len(following[0].encode()) > tokens
        assert len(batch) == size or full


def test_batches_are_measured_by_the_tokenizer() -> None:
    """Where bytes alone would be too many, tokens are counted: four letters to each, here."""
    words = ["tokenization " * 100] * 10
    counted = _COUNTER.count(words[0])
    assert counted * 4 < len(words[0])
    found = [batch for _, batch in batches(words, Batching(_COUNTER, 32, counted * 3))]
    assert [len(batch) for batch in found] == [3, 3, 3, 1]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("word " * 20_000, "chunk 1 has 20001 tokens: at most 16384"),
        ("nul \0", "chunk 1 has the character NUL"),
        ("half \ud83d", "chunk 1 is no text"),
    ],
)
def test_a_text_that_cannot_be_embedded_is_refused(scene: Scene, text: str, told: str) -> None:
    """Before anything is asked for; another attempt would end no better."""
    with pytest.raises(UnfitTextError, match=told) as caught:
        scene.write("fine", text)
    assert caught.value.permanent
    assert scene.asked() == (0, 0)
    assert scene.store.written == []


def test_a_document_is_written_once_whole(scene: Scene) -> None:
    """However many batches it takes: 70 chunks are three, and one write."""
    texts = [f"text {number}" for number in range(70)]
    assert scene.write(*texts) == 70
    (entries,) = scene.store.written
    assert [entry.id for entry in entries] == [f"{ORIGIN.job_id}:{at:05d}" for at in range(70)]
    assert [entry.text for entry in entries] == texts
    for entry in entries:
        assert entry.vector == pytest.approx(stubs.vector(entry.text), abs=1e-6)
    assert scene.asked() == (3, 70)
    assert scene.count("embed_batch_size_count") == 3
    assert scene.count("embed_batch_size_sum") == 70


@pytest.mark.parametrize("mode", ["http_500", "http_413", "nan", "missing", "not_json"])
def test_what_fails_in_the_midst_of_a_document_writes_nothing(scene: Scene, mode: str) -> None:
    """The first batch succeeded: the document is not written all the same."""
    scene.write(*(f"text {number}" for number in range(32)))
    local.behave(scene.url, mode)
    with pytest.raises(EmbedError):
        scene.write(*(f"text {number}" for number in range(40)))
    assert len(scene.store.written) == 1


def test_known_texts_are_not_asked_for_again(scene: Scene) -> None:
    """A text is asked for once, also where it stands twice; what is measured counts all."""
    scene.write("a", "b", "a")
    assert scene.asked() == (1, 2)
    scene.write("b", "c")
    assert scene.asked() == (2, 3)
    local.behave(scene.url, "http_500")
    scene.write("c", "a", "b")
    assert scene.embedder.query("a") == scene.store.written[0][0].vector
    assert scene.store.written[2][1:] != []
    counted = {
        (operation, result): scene.count(
            "embedding_cache_requests_total", operation=operation, result=result, traffic="user"
        )
        for operation in ("write", "read")
        for result in ("hit", "miss")
    }
    assert counted == {
        ("write", "hit"): 4,
        ("write", "miss"): 4,
        ("read", "hit"): 1,
        ("read", "miss"): 0,
    }
    name = "embedding_request_duration_seconds_count"
    assert scene.count(name, operation="write", traffic="user") == 3
    assert scene.count(name, operation="read", traffic="user") == 1
    assert scene.count("embed_batch_size_count") == 3
    assert scene.count("embed_batch_size_sum") == 8


def test_a_vector_from_the_cache_is_the_one_that_was_given(scene: Scene) -> None:
    """To the last bit: both are in single precision."""
    first, again = scene.embedder.query("a small river"), scene.embedder.query("a small river")
    assert scene.asked() == (1, 1)
    assert first == again == unpack(pack(first))


def test_the_switch_leaves_the_operation_out(stub: str, redis: Redis, redis_url: str) -> None:
    """Declared without the label, the histogram counts without it, and nothing else changes."""
    assert redis.dbsize() == 0
    scene = Scene(stub, redis_url, FAULTS=faults.OPERATION_LABEL_MISSING)
    scene.write("a")
    page = generate_latest(scene.metrics.registry).decode()
    assert 'embedding_request_duration_seconds_count{traffic="user"} 1.0' in page
    scene.embedder.close()


@pytest.mark.parametrize(
    "env", [{"EMBEDDING_MODEL": "other"}, {"EMBEDDING_CACHE_SECONDS": "0"}], ids=["model", "off"]
)
def test_what_another_model_said_is_not_known(scene: Scene, redis_url: str, env: Any) -> None:
    """Nor is anything where the cache is turned off."""
    scene.write("a")
    other = Scene(scene.url, redis_url, **env)
    other.write("a")
    assert scene.asked() == (2, 2)
    other.embedder.close()


@pytest.mark.parametrize("spoilt", [b"", b"short", b"\0" * 4, b"\0" * 260, b"\0" * 261, "flipped"])
def test_a_spoilt_entry_is_unknown_and_written_anew(
    scene: Scene, redis: Redis, spoilt: bytes | str
) -> None:
    """It is neither used nor an error, and the next time the text is known again."""
    expected = scene.embedder.query("a")
    (key,) = redis.keys()
    value = redis.get(key)
    assert isinstance(value, bytes)
    flipped = bytes([*value[:-1], value[-1] ^ 1])
    redis.set(key, flipped if isinstance(spoilt, str) else spoilt)
    assert scene.embedder.query("a") == expected
    assert scene.asked() == (2, 2)
    assert redis.get(key) == value
    assert 0 < int(redis.ttl(key)) <= 86_400
    assert scene.embedder.query("a") == expected
    assert scene.asked() == (2, 2)


def test_a_cache_that_is_full_is_still_read(scene: Scene, redis: Redis) -> None:
    """What is new is not remembered; what is there is found; the breaker stays closed."""
    scene.write("a")
    redis.config_set("maxmemory", 1)
    try:
        scene.write("a", "b")
        scene.write("a", "b")
    finally:
        redis.config_set("maxmemory", 0)
    assert scene.asked() == (3, 3)
    assert scene.count("circuit_breaker_state", breaker="embedding_cache") == 0
    scene.write("b")
    scene.write("b")
    assert scene.asked() == (4, 4)


def test_a_cache_that_hangs_is_waited_for_once() -> None:
    """Then it is left alone for a while, and tried again."""
    now = [0.0]
    breaker = Breaker("embedding_cache", Limits(failures=1), clock=lambda: now[0])
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        redis = Redis.from_url(url, socket_timeout=0.2, retry=None)
        cache = EmbeddingCache(redis, "model", 60, breaker)
        begun = time.monotonic()
        for _ in range(50):
            assert cache.get(["a", "b"]) == [None, None]
            cache.put({"a": (1.0,) * 64})
        assert time.monotonic() - begun < 8
        assert breaker.state is State.OPEN
        now[0] = 31.0
        assert cache.get(["a"]) == [None]
        assert breaker.state is State.OPEN
        cache.close()


def test_a_cache_that_hangs_up_is_tried_once() -> None:
    """The library would try ten times more."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as threads:

        def serve() -> int:
            calls = 0
            while True:
                try:
                    listener.accept()[0].close()
                except OSError:
                    return calls
                calls += 1

        serving = threads.submit(serve)
        url = f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
        redis = clients.cache(Settings("test", {"PIPELINE_CACHE_URL": url}), checked=True)
        assert EmbeddingCache(redis, "model", 60, Breaker("it")).get(["a"]) == [None]
        listener.shutdown(socket.SHUT_RDWR)
        assert serving.result(10) == 1
        redis.close()


def test_a_cache_that_is_down_changes_nothing(stub: str, tmp_path: Path) -> None:
    """All is embedded as before, and the state of its breaker shows it."""
    with servers.redis(tmp_path / "gone") as url:
        scene = Scene(stub, url)
    begun = time.monotonic()
    scene.write("a", "b")
    scene.write("a", "b")
    assert time.monotonic() - begun < 5
    assert scene.asked() == (2, 4)
    assert scene.count("circuit_breaker_state", breaker="embedding_cache") == 2
    scene.embedder.close()


def test_refused_texts_say_nothing_against_the_server(scene: Scene) -> None:
    """However many documents it will not have: the breaker of all of them stays closed."""
    local.behave(scene.url, "http_422", times=10)
    for number in range(10):
        with pytest.raises(InferenceRefusedError):
            scene.write(f"text {number}")
    assert scene.write("fine") == 1
    assert scene.count("circuit_breaker_state", breaker="inference") == 0
