"""A visit ends in time and within its size, whatever the server does; failures have codes."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
import time
import tracemalloc
import zlib
from pathlib import Path

import pytest
import trustme

from pipeline.addresses import Guard
from pipeline.fetch_errors import FetchError, PermanentError, TimedOutError, TransientError
from pipeline.lines import Deadline
from pipeline.services import site as stub
from pipeline.settings import Settings
from pipeline.visits import Visitor
from tests.pipeline import sites
from tests.pipeline.sites import RESET, Reply, always, dripping, served, site, soon, visitor, whole

pytestmark = pytest.mark.req("P-06")

_MOST = 100_000
_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def _body(url: str, deadline: Deadline | None = None, **names: list[str]) -> bytes:
    with visitor(**names).visit(url, deadline or soon()) as answer:
        return answer.body(_MOST)


def test_a_good_answer_is_read() -> None:
    """Status, headers and body come as they were sent."""
    with (
        site(always(whole(b"hello", "Content-Type: text/plain", "X-Name: é"))) as there,
        visitor().visit(f"{there.url}/a?b", soon()) as answer,
    ):
        assert (answer.status, answer.body(5), answer.redirect) == (200, b"hello", None)
        assert (answer.header("content-type"), answer.header("x-name")) == ("text/plain", "é")
        assert there.paths() == ["/a?b"]


def test_nothing_of_ours_goes_along() -> None:
    """A server is told who asks and for what, and no more."""
    with site(always(whole(b""))) as there:
        assert _body(f"http://site.test:{there.port}/", site_test=["127.0.0.1"]) == b""
        assert dict(there.asked[0].headers) == {
            "Host": f"site.test:{there.port}",
            "User-Agent": "obs-validator-pipeline",
            "Accept": "text/html,application/xhtml+xml,text/plain;q=0.9",
            "Accept-Encoding": "gzip",
            "Connection": "close",
        }


_BAD: dict[str, tuple[Reply, type[FetchError], str]] = {
    "longer than it says": (
        always(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort"),
        TransientError,
        "unreachable",
    ),
    "closed at once": (always(), TransientError, "unreachable"),
    "closed in its head": (always(b"HTTP/1.1 200 OK\r\nA: b"), TransientError, "unreachable"),
    "closed in a chunk": (always(_CHUNKED, b"50\r\nshort"), TransientError, "unreachable"),
    "reset at once": (always(RESET), TransientError, "unreachable"),
    "reset in its body": (
        always(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort", RESET),
        TransientError,
        "unreachable",
    ),
    "no HTTP": (always(b"220 mail.test ESMTP\r\n\r\n"), PermanentError, "protocol"),
    "bad chunks": (always(_CHUNKED, b"zz\r\nhello\r\n", b"x" * 50), PermanentError, "protocol"),
    "bad length": (
        dripping(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
        PermanentError,
        "protocol",
    ),
    "two lengths": (
        dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
        PermanentError,
        "protocol",
    ),
    "too long a length": (
        dripping(b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\n"),
        PermanentError,
        "protocol",
    ),
    "too long a head": (
        dripping(b"HTTP/1.1 200 OK\r\n", drop=b"A: " + b"b" * 50_000 + b"\r\n"),
        PermanentError,
        "protocol",
    ),
    "no gzip": (
        always(whole(b"hello", "Content-Encoding: gzip")),
        PermanentError,
        "protocol",
    ),
    "brotli": (
        always(whole(b"hello", "Content-Encoding: br")),
        PermanentError,
        "unsupported_content_encoding",
    ),
    "twice compressed": (
        always(whole(b"hello", "Content-Encoding: gzip, gzip")),
        PermanentError,
        "unsupported_content_encoding",
    ),
    "too large": (always(whole(b"x" * (_MOST + 1))), PermanentError, "too_large"),
    "too large without a length": (
        always(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * (_MOST + 1)),
        PermanentError,
        "too_large",
    ),
    "too large in chunks": (
        always(_CHUNKED, b"%x\r\n" % (_MOST + 1), b"x" * (_MOST + 1), b"\r\n0\r\n\r\n"),
        PermanentError,
        "too_large",
    ),
    "too large once inflated": (
        always(whole(gzip.compress(b"x" * (_MOST + 1)), "Content-Encoding: gzip")),
        PermanentError,
        "too_large",
    ),
}


@pytest.mark.parametrize("name", _BAD)
def test_bad_answers_have_their_class_and_code(name: str) -> None:
    """What is cut off may be whole another time; what is no HTTP or too large will stay so."""
    reply, kind, code = _BAD[name]
    with site(reply) as there, pytest.raises(FetchError) as failed:
        _body(f"{there.url}/")
    assert (type(failed.value), failed.value.code) == (kind, code)
    assert failed.value.asked
    assert there.url in str(failed.value)


@pytest.mark.parametrize(
    "reply",
    [
        dripping(),
        dripping(b"HTTP/1.1 200 OK\r\nX-Name: "),
        dripping(b"HTTP/1.1 200 OK\r\n", drop=b"X-Name: value\r\n"),
        dripping(b"HTTP/1.1 200 OK\r\n\r\n"),
        dripping(_CHUNKED, drop=b"1\r\nx\r\n"),
        dripping(drop=b"HTTP/1.1 100 Continue\r\n\r\n"),
        dripping(drop=b""),
    ],
    ids=["status", "header", "headers", "body", "chunks", "informational", "silence"],
)
def test_what_never_ends_is_left_at_the_deadline(reply: Reply) -> None:
    """Each part in time does not help an answer that takes too long as a whole."""
    begun = time.monotonic()
    with site(reply) as there, pytest.raises(TimedOutError, match="did not answer in time") as late:
        _body(f"{there.url}/", soon(0.3))
    assert late.value.code == "timeout"
    assert 0.25 < time.monotonic() - begun < 8


def test_no_connection_after_the_deadline() -> None:
    """When the time is over before it begins, nobody is asked."""
    with site(always(whole(b""))) as there, pytest.raises(TimedOutError):
        _body(f"{there.url}/", Deadline.after(-1))
    assert there.asked == []


def test_a_length_over_the_limit_is_refused_before_the_body() -> None:
    """A page that says how large it is, is not read to see whether it is true."""
    reply = dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 100001\r\n\r\n", drop=b"")
    with site(reply) as there, pytest.raises(PermanentError) as refused:
        _body(f"{there.url}/")
    assert refused.value.code == "too_large"


def test_a_length_that_is_too_short_ends_the_body() -> None:
    """What comes after the length is no part of the answer."""
    with site(always(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, world")) as there:
        assert _body(f"{there.url}/") == b"hello"


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP"])
def test_gzip_is_inflated(encoding: str) -> None:
    """What was asked for compressed is read as it was before."""
    packed = whole(gzip.compress(b"hello" * 9_000), f"Content-Encoding: {encoding}")
    with site(always(packed)) as there:
        assert _body(f"{there.url}/") == b"hello" * 9_000


def test_a_bomb_takes_no_memory() -> None:
    """A page of a hundred megabytes in one of a hundred thousand bytes is left at the limit."""
    deflate = zlib.compressobj(wbits=31)
    bomb = b"".join(deflate.compress(b"\0" * 1_000_000) for _ in range(100)) + deflate.flush()
    with site(always(whole(bomb, "Content-Encoding: gzip"))) as there:
        tracemalloc.start()
        with pytest.raises(PermanentError) as refused:
            _body(f"{there.url}/")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert refused.value.code == "too_large"
    assert peak < 4_000_000


def test_a_beginning_is_read_no_further() -> None:
    """Of an answer without end, its beginning can be had."""
    with (
        site(dripping(b"HTTP/1.1 200 OK\r\n\r\n")) as there,
        visitor().visit(f"{there.url}/", soon()) as answer,
    ):
        assert answer.beginning(3) == b"xxx"


@pytest.mark.parametrize(
    ("status", "location", "leads"),
    [
        ("301 Moved", "/a", "/a"),
        ("302 Found", " /é ", "/é"),
        ("302 Found", "/é".encode().decode("latin-1"), "/é"),
        ("303 See Other", "//h/", "//h/"),
        ("307 Temporary", "/a", "/a"),
        ("308 Permanent", "/a", "/a"),
        ("302 Found", "", None),
        ("304 Not Modified", "/a", None),
        ("201 Created", "/a", None),
    ],
)
def test_redirects_are_told(status: str, location: str, leads: str | None) -> None:
    """A redirect is one by its status, and only with somewhere to go."""
    reply = always(whole(b"", f"Location: {location}", status=status))
    with site(reply) as there, visitor().visit(f"{there.url}/", soon()) as answer:
        assert answer.redirect == leads


def test_the_checked_address_is_the_one_that_is_connected_to() -> None:
    """A name is looked up once for a visit: a resolver that changes its mind is not asked again."""
    answers = [["127.0.0.1"], ["169.254.169.254"]]
    guard = Guard(sites.LOOPBACK, lambda _host, _port: answers.pop(0))
    with site(always(whole(b"hello"))) as there:
        url = f"http://site.test:{there.port}/"
        with Visitor(guard, "test").visit(url, soon()) as answer:
            assert answer.body(_MOST) == b"hello"
        with (
            pytest.raises(PermanentError) as refused,
            Visitor(guard, "test").visit(url, soon()),
        ):
            pass
    assert refused.value.code == "address_refused"
    assert not refused.value.asked
    assert len(there.asked) == 1


def test_refused_connections_are_tried_at_each_address() -> None:
    """The first address that takes the connection is visited; where none does, it may later."""
    with site(always(whole(b"hello"))) as there:
        url = f"http://site.test:{there.port}/"
        assert _body(url, site_test=["127.0.0.2", "127.0.0.1"]) == b"hello"
        with pytest.raises(TransientError, match="Connection refused") as refused:
            _body(url, site_test=["127.0.0.2", "127.0.0.3"])
    assert (refused.value.code, refused.value.asked) == ("unreachable", False)


def test_ipv6_hosts_are_visited_by_their_address() -> None:
    """An address in brackets is checked and connected to like any other."""
    with pytest.raises(PermanentError) as refused:
        _body("http://[::ffff:169.254.169.254]/")
    assert refused.value.code == "address_refused"
    with site(always(whole(b"hello"))) as there:
        assert _body(f"http://[::ffff:7f00:1]:{there.port}/") == b"hello"
        assert there.asked[0].headers["Host"] == f"[::ffff:7f00:1]:{there.port}"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Return an authority that nobody knows."""
    return trustme.CA()


def _of(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def test_https_is_trusted_by_the_name_and_not_the_address(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The certificate is held against the URL's host, though its address is connected to."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with site(always(whole(b"hello")), _of(authority, "site.test")) as there:
        names = {"site_test": ["127.0.0.1"], "other_test": ["127.0.0.1"]}
        assert _body(f"https://site.test:{there.port}/", soon(), **names) == b"hello"
        for host in ("other.test", "127.0.0.1"):
            with pytest.raises(PermanentError, match="trusted connection") as refused:
                _body(f"https://{host}:{there.port}/", soon(), **names)
            assert (refused.value.code, refused.value.asked) == ("tls", False)


def test_https_of_nobody_known_or_no_https_is_not_trusted(authority: trustme.CA) -> None:
    """An unknown authority and a server that speaks no TLS are errors of TLS."""
    with (
        site(always(), _of(authority, "127.0.0.1")) as unknown,
        served(stub.make(Settings("site", {}))) as plain,
    ):
        for url in (unknown.url, plain.replace("http:", "https:")):
            with pytest.raises(PermanentError) as refused:
                _body(f"{url}/")
            assert refused.value.code == "tls"


def test_a_handshake_that_is_cut_off_may_succeed_later() -> None:
    """A server that hangs up, or says nothing, is out of reach and not distrusted."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
        with pytest.raises(TimedOutError):
            _body(url, soon(0.2))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"

        def hang_up() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)

        hanging_up = threading.Thread(target=hang_up)
        hanging_up.start()
        with pytest.raises(TransientError) as cut:
            _body(url)
        hanging_up.join()
    assert (cut.value.code, cut.value.asked) == ("unreachable", False)
