"""HTTP for sources: bounded, retried within the time-out, and never telling a secret."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

import pytest

from tests.sources.servers import Canned, always, serving
from validator.clock import SystemClock
from validator.errors import SourceError, SourceFailure
from validator.sources.http import Bounds, Call, Http, make_session
from validator.testing import FakeClock


@dataclass
class NotingClock(FakeClock):
    """A clock that notes how long it was slept on."""

    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        """Move the time on, and note it."""
        self.slept.append(seconds)
        super().sleep(seconds)


def client(bounds: Bounds) -> tuple[Http, NotingClock]:
    """Return a client and the clock that it waits on."""
    clock = NotingClock()
    session = make_session({"X-Scope-OrgID": "t"})
    return Http("s", session, clock, bounds, chance=lambda: 0.0), clock


def test_a_busy_server_is_asked_again() -> None:
    """A server that is busy is asked again after a pause that grows."""
    answers = iter([Canned(503), Canned(502), Canned(body=b"good")])
    with serving(lambda _: next(answers)) as served:
        http, clock = client(Bounds())
        assert http.call(Call(served.url)).body == b"good"
    http.close()
    assert clock.slept == [0.2, 0.4]


def test_retry_after_is_kept_to() -> None:
    """A server that says when to come again is asked then."""
    answers = iter([Canned(429, headers={"Retry-After": "3"}), Canned(body=b"good")])
    with serving(lambda _: next(answers)) as served:
        http, clock = client(Bounds())
        assert http.call(Call(served.url)).body == b"good"
    http.close()
    assert clock.slept == [3.0]


@pytest.mark.req("V-13")
def test_retry_after_beyond_the_time_out_is_not_waited_for() -> None:
    """A server that says to come again in an hour is an error at once."""
    with serving(always(Canned(429, headers={"Retry-After": "3600"}))) as served:
        http, clock = client(Bounds(timeout=10))
        with pytest.raises(SourceError) as caught:
            http.call(Call(served.url))
        assert len(served.requests) == 1
    http.close()
    assert (caught.value.failure, clock.slept) == (SourceFailure.THROTTLED, [])


def test_attempts_are_bounded() -> None:
    """A server that stays busy is asked so often and no more; a date in Retry-After is no wait."""
    later = {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}
    with serving(always(Canned(503, headers=later))) as served:
        http, _ = client(Bounds(attempts=3))
        with pytest.raises(SourceError):
            http.call(Call(served.url))
        assert len(served.requests) == 3
    http.close()


def test_a_server_that_refuses_is_not_asked_again() -> None:
    """Neither 401 nor 500 gets better by asking at once."""
    for status in (401, 500):
        with serving(always(Canned(status))) as served:
            http, _ = client(Bounds())
            with pytest.raises(SourceError):
                http.call(Call(served.url))
            assert len(served.requests) == 1
        http.close()


def test_secrets_are_not_told() -> None:
    """Neither the password nor the query of a URL is in an error."""
    with serving(always(Canned(403))) as served:
        url = served.url.replace("http://", "http://user:hunter2@") + "/x?token=hunter3"
        http, _ = client(Bounds())
        with pytest.raises(SourceError) as caught:
            http.call(Call(url))
    http.close()
    assert "hunter" not in str(caught.value)
    assert "/x answered 403" in str(caught.value)


def test_headers_and_redirects() -> None:
    """A redirect is followed, and the configured headers are sent."""
    seen: list[str | None] = []

    def script(handler: BaseHTTPRequestHandler) -> Canned:
        seen.append(handler.headers.get("X-Scope-OrgID"))
        if handler.path == "/metrics":
            return Canned(307, headers={"Location": "/metrics/"})
        return Canned(body=b"good", media="text/plain; charset=utf-8")

    with serving(script) as served:
        http, _ = client(Bounds())
        reply = http.call(Call(f"{served.url}/metrics"))
    http.close()
    assert (reply.media, reply.body, seen) == ("text/plain", b"good", ["t", "t"])


def test_proxies_are_not_asked_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the environment does not come between the validator and this machine."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with serving(always(Canned(body=b"good"))) as served:
        http, _ = client(Bounds(attempts=1))
        assert http.call(Call(served.url)).body == b"good"
    http.close()


@pytest.mark.parametrize("url", ["http://", "nonsense", "ftp://127.0.0.1/x"])
def test_addresses_that_are_none(url: str) -> None:
    """An address that cannot be asked is a SourceError too."""
    http, _ = client(Bounds())
    with pytest.raises(SourceError):
        http.call(Call(url))
    http.close()


def test_unknown_hosts_cannot_be_connected_to() -> None:
    """A name that nobody knows is a failure to connect."""
    http, _ = client(Bounds(timeout=5, attempts=1))
    with pytest.raises(SourceError) as caught:
        http.call(Call("http://no-such-host.invalid/"))
    http.close()
    assert caught.value.failure is SourceFailure.CONNECT


@pytest.mark.req("V-13")
def test_a_body_that_drips_is_not_waited_for() -> None:
    """An answer that comes byte by byte is given up on in time, though something always comes."""
    let_go = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n")
        with contextlib.suppress(OSError):
            while not let_go.wait(0.05):
                handler.wfile.write(b"x")

    with serving(drip) as served:
        http = Http("s", make_session(), SystemClock(), Bounds(timeout=0.5))
        with pytest.raises(SourceError) as caught:
            http.call(Call(served.url))
        let_go.set()
    http.close()
    assert caught.value.failure is SourceFailure.TOO_SLOW


def test_a_status_that_the_caller_reads_is_an_answer() -> None:
    """A 404 that says what is missing is for the caller to read, and no other status is."""
    with serving(always(Canned(404, b"none"))) as served:
        http, _ = client(Bounds())
        reply = http.call(Call(served.url, also=frozenset({404})))
        assert (reply.status, reply.body) == (404, b"none")
        with pytest.raises(SourceError, match="answered 404"):
            http.call(Call(served.url, also=frozenset({400})))
    http.close()


def test_what_several_requests_share_ends_each_of_them() -> None:
    """A request ends at `until`, though the time-out has room for more."""
    let_go = threading.Event()

    def hang(_handler: BaseHTTPRequestHandler) -> None:
        let_go.wait(30)

    with serving(hang) as served:
        http, clock = client(Bounds(timeout=20.0))
        began = clock.monotonic()
        with pytest.raises(SourceError) as caught:
            http.call(Call(served.url, until=began + 0.2))
        let_go.set()
        assert caught.value.failure is SourceFailure.TOO_SLOW
    http.close()
