"""Qdrant, which has no transactions: whatever stops a write, and whatever happens at once."""

from __future__ import annotations

import itertools
import socket
import sys
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdrant_client import QdrantClient

from pipeline.embed_errors import StoreUnavailableError, WriteConflictError
from pipeline.settings import Settings
from pipeline.vectors import VectorStore
from pipeline.vectors.choose import open_store
from pipeline.vectors.qdrant import QdrantVectorStore
from pipeline.vectors.qdrant_server import CHUNKS, MANIFESTS
from tests.pipeline import local, qdrant_http
from tests.pipeline.stores import origin, qdrant, texts, vector, write
from tests.pipeline.turns import Choose, Turns, held_up, in_order, in_this_order

pytestmark = pytest.mark.req("P-01", "P-08")

BEFORE = ["a0", "a1", "a2"]
AFTER = ["b0", "b1", "b2", "b3", "b4"]
_WHOSE = origin()


class StoppedError(BaseException):
    """The process was ended."""


def _client() -> QdrantClient:
    """Return a Qdrant whose collections are there."""
    client = QdrantClient(":memory:")
    texts(qdrant(client))
    return client


def _stopping(number: int) -> Callable[[str], None]:
    """Return what ends the process instead of the call of that number."""
    made = iter(range(1_000))

    def before(_call: str) -> None:
        if next(made) == number:
            raise StoppedError

    return before


def _left(client: QdrantClient) -> tuple[int, int]:
    return client.count(CHUNKS).count, client.count(MANIFESTS).count


def _stops(
    work: Callable[[VectorStore], object], prepared: Callable[[], QdrantClient]
) -> Iterator[QdrantClient]:
    """Yield what there is when the work was stopped before its first call, its second, and so on.

    The last time it came to its end.
    """
    for number in range(1_000):
        client = prepared()
        store = qdrant(client, _stopping(number))
        store._made = True  # its collections are there: their making is not what is stopped
        try:
            work(store)
        except StoppedError:
            yield client
        else:
            yield client
            return


@pytest.mark.parametrize("before", [[], BEFORE])
def test_a_write_that_is_stopped_shows_what_was_there_or_what_it_wrote(before: list[str]) -> None:
    """Stopped between any two calls; the next write leaves nothing of it."""
    whose = origin()

    def prepared() -> QdrantClient:
        client = _client()
        if before:
            write(qdrant(client), whose, *before)
        return client

    seen = []
    for client in _stops(lambda store: write(store, whose, *AFTER), prepared):
        seen.append(texts(qdrant(client)))
        write(qdrant(client), whose, "next")
        assert texts(qdrant(client)) == ["next"]
        assert _left(client) == (1, 1)
    assert len(seen) >= len(AFTER) + 5
    assert seen == [before] * seen.count(before) + [AFTER] * seen.count(AFTER)
    assert seen[-1] == AFTER


@pytest.mark.parametrize(
    "remove",
    [
        lambda store: store.remove_job(_WHOSE.job_id),
        lambda store: store.remove_run("run-1"),
        lambda store: store.remove_older(0, 1_000),
    ],
    ids=["its job's", "its run's", "by its age"],
)
def test_what_a_stopped_write_has_left_is_removed(remove: Callable[[VectorStore], int]) -> None:
    """By whichever way, and nothing is shown of it on the way."""

    def prepared() -> QdrantClient:
        client = _client()
        write(qdrant(client), _WHOSE, *BEFORE)
        return client

    for client in _stops(lambda store: write(store, _WHOSE, *AFTER), prepared):
        remove(qdrant(client))
        assert texts(qdrant(client)) == []
        assert _left(client) == (0, 0)


def test_a_removal_that_is_stopped_shows_all_or_nothing() -> None:
    """Stopped between any two calls; asked again it removes the rest."""

    def prepared() -> QdrantClient:
        client = _client()
        write(qdrant(client), _WHOSE, *BEFORE)
        return client

    seen = []
    for client in _stops(lambda store: store.remove_run("run-1"), prepared):
        seen.append(texts(qdrant(client)))
        qdrant(client).remove_run("run-1")
        assert _left(client) == (0, 0)
    assert seen == [BEFORE] * seen.count(BEFORE) + [[]] * seen.count([])
    assert seen[0] == BEFORE
    assert seen[-1] == []


class _Scene:
    """Two who write one job's document, one who reads, and one who removes it, if anybody does.

    No time passes, so whatever is there is old enough to be swept, also what is being written.
    """

    def __init__(self, removes: str, *, alone: bool = False) -> None:
        self.client = _client()
        self.turns = Turns()
        self.whose = origin()
        self.removes = removes
        self.versions = {"one": AFTER} if alone else {"one": AFTER, "other": ["c0", "c1"]}
        self.written: list[str] = []
        self.read: list[list[str]] = []
        write(qdrant(self.client, clock=lambda: 0.0), self.whose, *BEFORE)

    def play(self, choose: Choose) -> None:
        """Let all act, and check what was seen and what is left."""
        actors: dict[str, Callable[[], None]] = {
            name: partial(self._write, name) for name in self.versions
        }
        actors["reader"] = self._read
        if self.removes:
            actors["remover"] = self._remove
        self.turns.run(actors, choose)
        self._check()

    def _store(self, actor: str) -> QdrantVectorStore:
        """Return the store of an actor, who waits for a turn before each call."""
        step = self.turns.step(actor)
        found: QdrantVectorStore = qdrant(self.client, step, clock=lambda: 0.0)
        found._made = True  # the collections: their making is no step
        return found

    def _write(self, actor: str) -> None:
        """Write a version; that another came between is an answer."""
        try:
            write(self._store(actor), self.whose, *self.versions[actor])
        except WriteConflictError:
            return
        self.written.append(actor)

    def _read(self) -> None:
        for _ in range(2):
            self.read.append(texts(self._store("reader")))

    def _remove(self) -> None:
        if self.removes == "sweep":
            self._store("remover").remove_older(0, 100)
        else:
            self._store("remover").remove_job(self.whose.job_id)

    def _check(self) -> None:
        """Whole versions were read; the last one written is there, and nothing besides."""
        gone: list[list[str]] = [[]] if self.removes else []
        whole = [BEFORE, *self.versions.values(), *gone]
        assert [one for one in self.read if one not in whole] == []
        last = texts(qdrant(self.client))
        done = [self.versions[actor] for actor in self.written]
        assert last in ([*done, *gone] or [BEFORE])
        points, manifests = _left(self.client)
        assert points == len(last)
        assert last or not self._shown()
        assert manifests <= 1

    def _shown(self) -> str:
        found, _ = self.client.scroll(MANIFESTS)
        return str((found[0].payload or {})["generation"]) if found else ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("held", "removes"),
    [
        ("one", "sweep"),
        ("remover", "sweep"),
        pytest.param("one", "", marks=pytest.mark.slow),
        pytest.param("reader", "", marks=pytest.mark.slow),
        pytest.param("remover", "job", marks=pytest.mark.slow),
    ],
)
def test_whoever_is_held_up_and_wherever_documents_are_whole(held: str, removes: str) -> None:
    """After each of its steps, while the others do all that they have to do."""
    others = [one for one in ("other", "one", "remover", "reader") if one != held]
    for steps in range(12):
        _Scene(removes).play(held_up(held, steps, others))


def test_a_sweep_ends_the_turn_of_a_write_that_it_meets_half_way() -> None:
    """It has seen no manifest, then points; those are not shown afterwards without the others."""
    for swept, written in itertools.product(range(6, 10), (7, 8)):
        steps = ["remover"] * swept + ["one"] * written + ["remover"] * 20
        _Scene("sweep", alone=True).play(in_this_order(steps))


_SCHEDULES = st.builds(in_order, st.lists(st.integers(0, 3), max_size=70))
_REMOVES = st.sampled_from(["", "sweep", "job"])
_SETTINGS = settings(deadline=None, suppress_health_check=list(HealthCheck))


@settings(_SETTINGS, max_examples=10)
@given(_SCHEDULES, _REMOVES)
def test_in_any_order_of_steps_documents_are_whole(choose: Choose, removes: str) -> None:
    """Of two writes at once, a reader and a removal; with the orders that hypothesis finds."""
    _Scene(removes).play(choose)


@pytest.mark.slow
@settings(_SETTINGS, max_examples=200)
@given(_SCHEDULES, _REMOVES)
def test_in_many_orders_of_steps_documents_are_whole(choose: Choose, removes: str) -> None:
    """The same, with many more orders."""
    _Scene(removes).play(choose)


@pytest.mark.slow
@pytest.mark.parametrize("removes", ["", "sweep", "job"])
def test_two_who_are_held_up_leave_documents_whole(removes: str) -> None:
    """One after each of its steps, then another after each second of its own, then the rest."""
    names = ("one", "other", "reader", "remover")[: 4 if removes else 3]
    for first, second in itertools.permutations(names, 2):
        for one, other in itertools.product(range(12), range(0, 12, 2)):
            rest = [name for name in names if name not in {first, second}]
            steps = [first] * one + [second] * other + rest * 40
            _Scene(removes).play(in_this_order(steps))


def test_who_was_overtaken_is_told() -> None:
    """Another wrote the document in between: an error, and what the other wrote is there."""
    client, whose = _client(), origin()

    def before(call: str) -> None:
        if call == "facet":
            write(qdrant(client), whose, *AFTER)

    with pytest.raises(WriteConflictError, match=f"job {whose.job_id} is being written by another"):
        write(qdrant(client, before), whose, *BEFORE)
    assert texts(qdrant(client)) == AFTER
    assert _left(client) == (len(AFTER), 1)


def test_documents_that_are_never_still_are_not_guessed_at() -> None:
    """A document that changes during each look at it ends the search with an error."""
    client, whose = _client(), origin()
    store = qdrant(client)
    write(store, whose, "0")
    numbers = iter(range(1, 1_000))

    def before(call: str) -> None:
        if call == "query_points":
            write(store, whose, str(next(numbers)))

    with pytest.raises(StoreUnavailableError, match="again and again"):
        texts(qdrant(client, before))


def test_a_server_is_asked_as_its_interface_wants_it() -> None:
    """All that the port has, over HTTP: with collections, indexes, and another who made them."""
    server = qdrant_http.Server()
    with local.served(server.app()) as url:
        for hidden in (False, True):  # the second time it is told that there are none
            server.hidden = hidden
            store, whose = _remote(url), origin()
            write(store, whose, *(f"a{number:03d}" for number in range(70)))
            write(store, whose, *AFTER)
            assert texts(store) == AFTER
            assert (store.remove_older(3600, 100), store.remove_older(0, 100)) == (0, 5)
            write(store, whose, *AFTER)
            assert (store.remove_run("run-1"), store.remove_job(whose.job_id)) == (5, 0)
            assert _left(server.client) == (0, 0)
            store.close()
    chunks = {"corpus_name", "job_id", "generation", "traffic", "run_id", "created_at"}
    assert {field for name, field in server.indexes if name == CHUNKS} == chunks


def test_what_the_server_has_not_done_yet_is_not_taken_for_done() -> None:
    """It answers before its time is over, and may do it later: an error, and nothing is shown."""
    server, whose = qdrant_http.Server(), origin()
    with local.served(server.app()) as url:
        store = _remote(url)
        write(store, whose, *BEFORE)
        server.status = "wait_timeout"
        with pytest.raises(StoreUnavailableError, match="has not done it yet: wait_timeout"):
            write(store, whose, *AFTER)
        assert texts(store) == BEFORE
        store.close()


class _Server(BaseHTTPRequestHandler):
    """Answers as a Qdrant would that is too old, or out of order."""

    said: tuple[int, bytes] = (500, b"{}")

    def do_GET(self) -> None:
        """Answer."""
        status, body = self.said
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing of each request."""


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ((500, b"out of order"), "Qdrant: it answered 500"),
        ((200, b"not JSON"), "Qdrant"),
        ((200, b'{"title": "qdrant", "version": "1.16.3"}'), "it has to be 1.17 or later"),
    ],
)
def test_a_server_that_is_of_no_use_is_told(said: tuple[int, bytes], told: str) -> None:
    """Errors of the server and of the client's library are the port's."""
    handler = type("Handler", (_Server,), {"said": said})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        store = _remote(f"http://127.0.0.1:{server.server_address[1]}")
        try:
            with pytest.raises(StoreUnavailableError, match=told):
                store.nearest("corpus", vector("a"), 5)
        finally:
            store.close()
            server.shutdown()
            thread.join()


def test_a_server_that_does_not_answer_is_not_waited_for() -> None:
    """Nobody listens, or nobody answers: an error, in the time that was given."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        given: Any = {"url": url, "timeout": 1, "check_compatibility": False}
        store = QdrantVectorStore(QdrantClient(**given))
        with pytest.raises(StoreUnavailableError, match="imeout"):
            store.remove_job("job")
        store.close()
    gone = _remote(url)
    with pytest.raises(StoreUnavailableError, match="refused"):
        gone.nearest("corpus", vector("a"), 5)
    gone.close()


def _remote(url: str) -> VectorStore:
    env = {"PIPELINE_VECTOR_STORE": "qdrant", "PIPELINE_QDRANT_URL": url}
    return open_store(Settings("search", env))


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({"PIPELINE_VECTOR_STORE": "faiss"}, "PIPELINE_VECTOR_STORE is 'faiss': it is pgvector or"),
        ({"PIPELINE_VECTOR_STORE": "qdrant"}, "search needs .* PIPELINE_QDRANT_URL"),
        (
            {"PIPELINE_VECTOR_STORE": "qdrant", "PIPELINE_QDRANT_URL": "localhost:6333"},
            "PIPELINE_QDRANT_URL is 'localhost:6333': it begins with http",
        ),
    ],
)
def test_a_store_that_is_not_known_is_refused(env: dict[str, str], told: str) -> None:
    """At the start, with what is wrong and what there is."""
    with pytest.raises(LookupError, match=told):
        open_store(Settings("search", env))


def test_qdrant_without_its_client_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, "qdrant_client", None)
    env = {"PIPELINE_VECTOR_STORE": "qdrant", "PIPELINE_QDRANT_URL": "http://127.0.0.1:1"}
    with pytest.raises(LookupError, match=r"pip install 'obs-validator\[qdrant\]'"):
        open_store(Settings("search", env))
