"""Asking the inference server: answers that are not what was asked for, servers out of order."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Protocol

import httpx
import pytest

from pipeline import clients
from pipeline.breaker import Breaker, Limits, State
from pipeline.embed_errors import (
    EmbedError,
    InferenceInvalidError,
    InferenceRefusedError,
    InferenceUnavailableError,
)
from pipeline.inference import Inference, Server
from pipeline.services import behaviours, stubs
from pipeline.settings import Settings
from tests.pipeline import local

pytestmark = pytest.mark.req("P-08")

TEXTS = ["a small river", "worker queue", "another text"]
EXPECTED = [pytest.approx(stubs.vector(text), abs=1e-6) for text in TEXTS]


class Asking(Protocol):
    """Makes those who ask a server."""

    def __call__(self, url: str, breaker: Breaker | None = None, seconds: float = 5) -> Inference:
        """Return one who asks the server at the URL."""


@pytest.fixture
def asking() -> Iterator[Asking]:
    """Return what makes those who ask; they are closed afterwards."""
    with ExitStack() as opened:

        def make(url: str, breaker: Breaker | None = None, seconds: float = 5) -> Inference:
            own = breaker or Breaker("inference")
            found = Inference(clients.inference(seconds), Server(url, "model", seconds), own)
            opened.callback(found.close)
            return found

        yield make


@pytest.mark.parametrize("mode", ["ok", "disordered"])
def test_vectors_are_in_the_order_of_their_texts(asking: Asking, stub: str, mode: str) -> None:
    """By the index that each has, whatever the order of the answer."""
    local.behave(stub, mode)
    assert asking(stub).vectors(TEXTS) == EXPECTED


_INVALID = sorted({*behaviours.BODIES, *behaviours.TEXTS} - {"ok", "disordered"})
_STATUSES: dict[str, type[EmbedError]] = {
    "http_301": InferenceUnavailableError,
    "http_401": InferenceUnavailableError,
    "http_413": InferenceRefusedError,
    "http_422": InferenceRefusedError,
    "http_429": InferenceUnavailableError,
    "http_500": InferenceUnavailableError,
    "http_503": InferenceUnavailableError,
}


def test_every_way_to_misbehave_is_tried() -> None:
    """No mode of the stub is without a test."""
    tried = {"ok", "disordered", "slow", *_INVALID, *_STATUSES}
    assert tried == behaviours.MODES


@pytest.mark.parametrize("mode", _INVALID)
def test_an_answer_that_is_not_what_was_asked_for_is_an_error(
    asking: Asking, stub: str, mode: str
) -> None:
    """It may be better the next time; a server that answers is not left alone for it."""
    local.behave(stub, mode)
    breaker = Breaker("inference", Limits(failures=1))
    with pytest.raises(InferenceInvalidError) as caught:
        asking(stub, breaker).vectors(TEXTS)
    assert (caught.value.code, caught.value.permanent) == ("inference_invalid", False)
    assert len(str(caught.value)) < 1_000
    assert breaker.state is State.CLOSED


@pytest.mark.parametrize("mode", _STATUSES)
def test_an_error_is_the_servers_or_about_the_texts(asking: Asking, stub: str, mode: str) -> None:
    """What is about the texts would be refused again, and says nothing against the server."""
    local.behave(stub, mode)
    breaker = Breaker("inference", Limits(failures=1))
    expected = _STATUSES[mode]
    with pytest.raises(expected, match=mode.removeprefix("http_")) as caught:
        asking(stub, breaker).vectors(TEXTS)
    refused = expected is InferenceRefusedError
    assert caught.value.permanent is refused
    assert breaker.state is (State.CLOSED if refused else State.OPEN)


def test_a_server_that_fails_again_and_again_is_left_alone(asking: Asking, stub: str) -> None:
    """After five failures it is not asked any more; after a while once; then again always."""
    now = [0.0]
    breaker = Breaker("inference", clock=lambda: now[0])
    inference = asking(stub, breaker)
    local.behave(stub, "http_500", times=5)
    for _ in range(5):
        with pytest.raises(InferenceUnavailableError, match="answered 500"):
            inference.vectors(TEXTS)
    before = local.counts(stub)
    with pytest.raises(InferenceUnavailableError, match="tried anew in 30 s") as caught:
        inference.vectors(TEXTS)
    assert caught.value.retry_after == pytest.approx(30)
    assert local.counts(stub) == before
    now[0] = 30.0
    assert inference.vectors(TEXTS) == EXPECTED
    assert breaker.state is State.CLOSED


@contextmanager
def answering(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """Have a server that does with each connection what is said; yield its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    try:
                        connection.recv(65_536)
                        serve(connection)
                    except OSError:
                        continue

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def test_an_answer_that_breaks_off_is_an_error(asking: Asking) -> None:
    """The connection is closed in the midst of the body."""

    def serve(connection: socket.socket) -> None:
        connection.sendall(_HEAD + b'Content-Length: 1000\r\n\r\n{"data": [')

    with (
        answering(serve) as url,
        pytest.raises(InferenceUnavailableError, match=r"ProtocolError|ReadError"),
    ):
        asking(url).vectors(TEXTS)


def test_a_body_without_end_is_not_read_to_its_end(asking: Asking) -> None:
    """It is refused once it is longer than the vectors could be."""
    sent = []

    def serve(connection: socket.socket) -> None:
        connection.sendall(_HEAD + b"\r\n")
        for _ in range(10_000):
            connection.sendall(b" " * 10_000)
            sent.append(10_000)

    with answering(serve) as url, pytest.raises(InferenceInvalidError, match="longer than"):
        asking(url).vectors(TEXTS)
    assert sum(sent) < 50_000_000


def test_an_answer_that_comes_a_byte_at_a_time_is_not_waited_for(asking: Asking) -> None:
    """Each byte is in time, and all of them would not be."""
    over = threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.sendall(_HEAD + b"\r\n")
        while not over.wait(0.02):
            connection.sendall(b" ")

    begun = time.monotonic()
    with answering(serve) as url:
        with pytest.raises(InferenceUnavailableError, match="took more"):
            asking(url, seconds=0.3).vectors(TEXTS)
        over.set()
    assert time.monotonic() - begun < 5


def test_a_server_that_is_slow_or_gone_is_unavailable(asking: Asking, stub: str) -> None:
    """The time that it may take is bounded; nobody at the address is told at once."""
    local.behave(stub, "slow", seconds=1, times=1)
    with pytest.raises(InferenceUnavailableError, match="ReadTimeout"):
        asking(stub, seconds=0.2).vectors(TEXTS)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(InferenceUnavailableError, match="ConnectError"):
        asking(url).vectors(TEXTS)


def test_the_stub_takes_its_time_and_counts(asking: Asking) -> None:
    """It can be as slow as a real one, tells what it was asked, and refuses what is no mode."""
    settings = Settings("inference", {"PIPELINE_INFERENCE_LATENCY": "0.2"})
    with local.served(stubs.inference(settings)) as url:
        begun = time.monotonic()
        asking(url).vectors(TEXTS)
        assert time.monotonic() - begun >= 0.2
        assert local.counts(url) == (1, 3)
        refused = httpx.post(f"{url}/behaviour", json={"mode": "worse"}, trust_env=False)
        assert refused.status_code == 422
        assert "not_json" in refused.text
