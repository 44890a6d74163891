"""Every fault of a server and of the way to it, over real connections: in time, and told apart."""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.sources.servers import Talk, head_of, listening
from validator.clock import SystemClock
from validator.errors import SourceError, SourceFailure
from validator.sources.http import Bounds, Call, Http, make_session

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
BOMB = gzip.compress(bytes(50_000_000))
TWICE = gzip.compress(gzip.compress(bytes(20_000_000)))
GOOD = b'{"data": [1, 2, 3]}'
CUT = gzip.compress(GOOD * 1000)[:-30]


@dataclass(frozen=True)
class Fault:
    """What a server does, in which way that is a failure, and words that say so."""

    name: str
    talk: Talk
    failure: SourceFailure
    words: str


def says(*parts: bytes) -> Talk:
    """Answer these bytes, and close."""

    def talk(connection: socket.socket) -> None:
        head_of(connection)
        for part in parts:
            connection.sendall(part)

    return talk


def sized(body: bytes, *headers: bytes, length: int | None = None) -> bytes:
    """Return an answer with a length, which may be wrong."""
    number = len(body) if length is None else length
    lines = [*headers, f"Content-Length: {number}".encode()]
    return OK + b"\r\n".join(lines) + b"\r\n\r\n" + body


def slowly(first: bytes, drop: bytes) -> Talk:
    """Answer `first`, and then for ever a `drop` now and then."""

    def talk(connection: socket.socket) -> None:
        head_of(connection)
        connection.sendall(first)
        silent = threading.Event()
        while not silent.wait(0.03):
            connection.sendall(drop)

    return talk


def silent(first: bytes = b"") -> Talk:
    """Answer `first`, and then nothing, until the other end has gone."""

    def talk(connection: socket.socket) -> None:
        head_of(connection)
        connection.sendall(first)
        connection.recv(1)

    return talk


def endless(first: bytes, part: bytes) -> Talk:
    """Answer `first`, and then `part` again and again as fast as it is taken."""

    def talk(connection: socket.socket) -> None:
        head_of(connection)
        connection.sendall(first)
        while True:
            connection.sendall(part)

    return talk


def reset(first: bytes) -> Talk:
    """Answer `first` and reset the connection."""

    def talk(connection: socket.socket) -> None:
        head_of(connection)
        connection.sendall(first)
        connection.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, (1).to_bytes(4, "little") + bytes(4)
        )

    return talk


def redirect(target: bytes, status: bytes = b"302 Found") -> Talk:
    """Point elsewhere."""
    head = b"HTTP/1.1 " + status + b"\r\nLocation: " + target + b"\r\nContent-Length: 0\r\n\r\n"
    return says(head)


CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
ELSEWHERE = b"http://user:pw@other.example:8080/x?token=t0ps3cret"
F = SourceFailure
FAULTS = (
    Fault("slow first byte", silent(), F.TOO_SLOW, "gave no answer within 0.5 s"),
    Fault("head that drips", slowly(b"", b"H"), F.TOO_SLOW, "gave no answer within 0.5 s"),
    Fault("headers that drip", slowly(OK, b"X: y\r\n"), F.TOO_SLOW, "gave no answer within 0.5 s"),
    Fault(
        "interim answers without end",
        slowly(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        F.TOO_SLOW,
        "gave no answer within 0.5 s",
    ),
    Fault("slow drip", slowly(sized(b"", length=9999), b"x"), F.TOO_SLOW, "in full within 0.5 s"),
    Fault("drip in chunks", slowly(CHUNKED, b"1\r\nx\r\n"), F.TOO_SLOW, "in full within 0.5 s"),
    Fault("body that stops", silent(sized(b"ab", length=9)), F.TOO_SLOW, "in full within 0.5 s"),
    Fault("reset in mid-body", reset(sized(b"ab", length=9)), F.PARTIAL, "broke off after"),
    Fault("reset before the answer", reset(b""), F.CONNECT, "was reset"),
    Fault("closed without an answer", says(), F.CONNECT, "closed the connection without an answer"),
    Fault("length too long", says(sized(GOOD, length=99)), F.PARTIAL, "broke off after 19 bytes"),
    Fault("chunks cut", says(CHUNKED, b"5\r\nabcde\r\n"), F.PARTIAL, "broke off"),
    Fault("a chunk cut", says(CHUNKED, b"5\r\nab"), F.PARTIAL, "broke off"),
    Fault("a chunk that is none", says(CHUNKED, b"zz\r\nab\r\n"), F.PARTIAL, "broke off"),
    Fault(
        "gzip cut, length right",
        says(sized(CUT, b"Content-Encoding: gzip")),
        F.PARTIAL,
        "broke off after",
    ),
    Fault(
        "gzip cut, no length",
        says(OK + b"Content-Encoding: gzip\r\n\r\n" + CUT),
        F.PARTIAL,
        "broke off after",
    ),
    Fault(
        "deflate cut",
        says(sized(zlib.compress(GOOD * 1000)[:-9], b"Content-Encoding: deflate")),
        F.PARTIAL,
        "broke off after",
    ),
    Fault(
        "no gzip",
        says(sized(b"not gzip at all", b"Content-Encoding: gzip")),
        F.NONSENSE,
        "cannot be decompressed",
    ),
    Fault(
        "unknown encoding",
        says(sized(b"abc", b"Content-Encoding: br")),
        F.NONSENSE,
        "compressed in a way that we do not know",
    ),
    Fault("gzip bomb", says(sized(BOMB, b"Content-Encoding: gzip")), F.TOO_LARGE, "100000 bytes"),
    Fault(
        "nested gzip bomb",
        says(sized(TWICE, b"Content-Encoding: gzip, gzip")),
        F.TOO_LARGE,
        "100000 bytes",
    ),
    Fault("too large", says(sized(bytes(200_000))), F.TOO_LARGE, "`max_answer`"),
    Fault(
        "endless body",
        endless(OK + b"\r\n", b"x" * 65536),
        F.TOO_LARGE,
        "more than 100000 bytes",
    ),
    Fault("endless headers", endless(OK, b"X-A: b\r\n"), F.NONSENSE, "headers without an end"),
    Fault("endless header", endless(OK + b"X: ", b"x" * 999), F.NONSENSE, "headers without an end"),
    Fault("no HTTP", says(b"220 mail.example ESMTP\r\n"), F.NONSENSE, "is no HTTP"),
    Fault("no content", says(b"HTTP/1.1 204 No Content\r\n\r\n"), F.NONSENSE, "has no content"),
    Fault(
        "a part",
        says(b"HTTP/1.1 206 Partial Content\r\nContent-Length: 1\r\n\r\nx"),
        F.NONSENSE,
        "a part of it",
    ),
    Fault(
        "a web page",
        says(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>login</html>"),
        F.NONSENSE,
        "answered a web page (text/html)",
    ),
    Fault("elsewhere", redirect(ELSEWHERE), F.NONSENSE, "points to http://other.example:8080/x"),
    Fault("a redirect without end", redirect(b"/again"), F.NONSENSE, "without an end"),
    Fault("a login", redirect(b"/login?next=%2F"), F.REFUSED, "declare `auth`"),
    Fault(
        "a login elsewhere",
        redirect(b"https://sso.example/authorize?client=t0ps3cret"),
        F.REFUSED,
        "points to https://sso.example/authorize: a login",
    ),
    Fault("a redirect to nonsense", redirect(b"http://[::bad/"), F.NONSENSE, "points to"),
    Fault(
        "unauthorized",
        says(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"),
        F.REFUSED,
        "no credentials were sent: declare `auth`",
    ),
    Fault(
        "no tenant",
        says(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 10\r\n\r\nno org id\n"),
        F.REFUSED,
        "(no org id): declare the `tenant`",
    ),
    Fault(
        "forbidden",
        says(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"),
        F.REFUSED,
        "look at their rights",
    ),
    Fault(
        "not found",
        says(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
        F.REFUSED,
        "the base path in `url`",
    ),
    Fault(
        "TLS on that port",
        says(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"),
        F.REFUSED,
        "is it https:// and not http://?",
    ),
    Fault(
        "throttled",
        says(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n"),
        F.THROTTLED,
        "lower `rate_limit`",
    ),
    Fault(
        "server error",
        says(b"HTTP/1.1 500 Oops\r\nContent-Length: 5\r\n\r\nabc\x1bd"),
        F.SERVER_ERROR,
        "answered 500 Oops (abcd)",
    ),
    Fault(
        "an error whose body drips",
        slowly(b"HTTP/1.1 503 Busy\r\nContent-Length: 999\r\n\r\n", b"x"),
        F.SERVER_ERROR,
        "answered 503 Busy",
    ),
)


@contextmanager
def client(bounds: Bounds) -> Iterator[Http]:
    """Return a client in real time."""
    http = Http("s", make_session(), SystemClock(), bounds)
    try:
        yield http
    finally:
        http.close()


@pytest.mark.req("V-13")
@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_each_fault_is_told_apart_in_time(fault: Fault) -> None:
    """Whatever a server does is one SourceError that says what, within the time-out."""
    bounds = Bounds(timeout=0.5, size=100_000, attempts=1)
    with listening(fault.talk) as served, client(bounds) as http:
        began = time.monotonic()
        with pytest.raises(SourceError) as caught:
            http.call(Call(f"{served.url}/x"))
        took = time.monotonic() - began
    assert caught.value.failure is fault.failure, caught.value
    assert fault.words in caught.value.detail
    assert "t0ps3cret" not in str(caught.value)
    assert took < 5


def test_a_bomb_is_stopped_early() -> None:
    """Of an answer that grows a thousandfold no more is unpacked than the limit and one piece."""
    taken: list[int] = []

    def talk(connection: socket.socket) -> None:
        head_of(connection)
        compressor = zlib.compressobj(wbits=31)
        connection.sendall(OK + b"Content-Encoding: gzip\r\n\r\n")
        for _ in range(2000):
            part = compressor.compress(bytes(1_000_000)) + compressor.flush(zlib.Z_SYNC_FLUSH)
            connection.sendall(part)
            taken.append(len(part))

    with (
        listening(talk) as served,
        client(Bounds(size=1_000_000, attempts=1)) as http,
        pytest.raises(SourceError, match="more than 1000000 bytes"),
    ):
        http.call(Call(served.url))
    assert len(taken) < 2000


@pytest.mark.parametrize(
    "answer",
    [
        sized(GOOD),
        sized(gzip.compress(GOOD), b"Content-Encoding: gzip"),
        sized(gzip.compress(gzip.compress(GOOD)), b"Content-Encoding: gzip, gzip"),
        sized(gzip.compress(GOOD[:9]) + gzip.compress(GOOD[9:]), b"Content-Encoding: gzip"),
        sized(gzip.compress(GOOD) + bytes(7), b"Content-Encoding: gzip"),
        sized(zlib.compress(GOOD), b"Content-Encoding: deflate"),
        sized(b"", b"Content-Encoding: gzip"),
        CHUNKED + b"13\r\n" + GOOD + b"\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n" + GOOD,
        b"HTTP/1.1 100 Continue\r\n\r\n" + sized(GOOD),
        sized(GOOD + b"more than announced", length=len(GOOD)),
    ],
)
def test_good_answers_are_taken(answer: bytes) -> None:
    """However a good answer is packed, it is taken whole."""
    with listening(says(answer)) as served, client(Bounds(timeout=5, attempts=1)) as http:
        body = http.call(Call(served.url)).body
    assert body == (b"" if b"Content-Length: 0" in answer else GOOD)


def serving_twice(then: Callable[[socket.socket], None]) -> Talk:
    """Answer one request of a connection, and do something at the second."""

    def talk(connection: socket.socket) -> None:
        head_of(connection)
        connection.sendall(sized(GOOD))
        if head_of(connection):
            then(connection)

    return talk


@pytest.mark.req("V-13")
def test_an_idle_connection_that_was_closed_is_no_finding() -> None:
    """A request on a connection that the server gives up just then is made again at once."""

    def reset_it(connection: socket.socket) -> None:
        connection.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, (1).to_bytes(4, "little") + bytes(4)
        )

    for then in (lambda _: None, reset_it):
        with listening(serving_twice(then)) as served, client(Bounds(attempts=1)) as http:
            assert http.call(Call(served.url)).body == GOOD
            assert http.call(Call(served.url)).body == GOOD
        assert len(served.requests) == 2


def test_a_server_that_always_closes_is_no_stale_connection() -> None:
    """One that closes every fresh connection is told, after as many tries as are allowed."""
    with listening(says()) as served, client(Bounds(attempts=2)) as http:
        with pytest.raises(SourceError, match="asked 2 times"):
            http.call(Call(served.url))
        assert len(served.requests) == 2


def test_a_broken_answer_is_asked_for_again() -> None:
    """An answer that broke off once does not end the question."""
    answers = iter([sized(b"ab", length=9), sized(GOOD)])

    def talk(connection: socket.socket) -> None:
        head_of(connection)
        connection.sendall(next(answers))

    with listening(talk) as served, client(Bounds()) as http:
        assert http.call(Call(served.url)).body == GOOD


def test_a_name_server_that_is_silent_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look-up without an answer takes no longer than connecting may."""
    over = threading.Event()

    def look_up(*_: object) -> list[object]:
        over.wait(20)
        raise socket.gaierror(socket.EAI_AGAIN, "later")

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    with client(Bounds(timeout=5, attempts=1, connect=0.2)) as http:
        with pytest.raises(SourceError, match=r"no name server said within 0.2 s") as caught:
            http.call(Call("http://tempo.example/"))
        over.set()
    assert caught.value.failure is SourceFailure.TOO_SLOW


def test_a_port_that_takes_no_connection() -> None:
    """Where packets get lost, it is connecting that takes too long, and that is said."""
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        for _ in range(4):  # its queue is full then, and the system drops what else comes
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)  # noqa: FBT003 - the only way to say it
            with contextlib.suppress(BlockingIOError):
                waiting.connect(("127.0.0.1", port))
        http = stack.enter_context(client(Bounds(timeout=5, attempts=1, connect=0.3)))
        with pytest.raises(SourceError, match=r"could not be connected to within 0.3 s") as caught:
            http.call(Call(f"http://127.0.0.1:{port}/"))
    assert caught.value.failure is SourceFailure.TOO_SLOW


def test_tls_that_never_comes_about() -> None:
    """A server that takes the connection and is silent is too slow to connect to."""

    def mute(connection: socket.socket) -> None:
        while connection.recv(9999):
            pass

    with (
        listening(mute) as served,
        client(Bounds(attempts=1, connect=0.3)) as http,
        pytest.raises(SourceError, match="did not complete the handshake") as caught,
    ):
        http.call(Call(served.url.replace("http:", "https:")))
    assert caught.value.failure is SourceFailure.TOO_SLOW
