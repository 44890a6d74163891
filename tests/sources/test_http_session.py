"""Who we are, whom we trust, and which way we go: declared settings hold, and stay secret."""

from __future__ import annotations

import base64
import json
import logging
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.sources.authority import Authority
from tests.sources.conftest import ask
from tests.sources.proxies import proxying
from tests.sources.servers import Canned, always, listening, serving
from tests.sources.test_http_faults import FAULTS, Fault, says
from validator.clock import SystemClock
from validator.errors import SourceError, SourceFailure
from validator.sources.control import plant
from validator.sources.http import Bounds, Call, Http, Tls, connect, make_session
from validator.sources.loki import LokiSource, Streams
from validator.sources.prometheus import PrometheusSource
from validator.sources.tempo import TempoSource
from validator.sources.trace_store import Lags

SYSTEM = Tls()
GOOD = Canned(body=b"good", media="text/plain")


@contextmanager
def client(
    *,
    headers: dict[str, str] | None = None,
    auth: str | tuple[str, str] | None = None,
    tls: Tls = SYSTEM,
    proxy: str | None = None,
) -> Iterator[Http]:
    """Return a client with what is declared."""
    session = make_session(headers)
    connect(session, auth=auth, tls=tls, proxy=proxy)
    http = Http("s", session, SystemClock(), Bounds(timeout=5, attempts=1, connect=2))
    try:
        yield http
    finally:
        http.close()


def port_of(url: str) -> int:
    """Return the port of a URL."""
    return urlsplit(url).port or 0


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Make an authority."""
    return Authority.made(tmp_path)


def netrc(folder: Path, monkeypatch: pytest.MonkeyPatch, word: str = "rc") -> None:
    """Have the environment name credentials for this machine."""
    path = folder / "netrc"
    path.write_text(f"machine 127.0.0.1 login net password {word}\n")
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    monkeypatch.setenv("NETRC", str(path))


def basic(text: str) -> str:
    """Return the header of a name and a password."""
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("ways", "userinfo", "sent"),
    [
        ({"auth": "token"}, "", "Bearer token"),
        ({"auth": ("me", "pass")}, "", basic("me:pass")),
        ({"headers": {"Authorization": "Custom x"}}, "", "Custom x"),
        ({}, "url:word", basic("url:word")),
        ({"auth": "token"}, "url:word", "Bearer token"),
        ({"auth": ("me", "pass")}, "url:word", basic("me:pass")),
        ({}, "", basic("net:rc")),
    ],
)
def test_what_is_declared_is_sent_whatever_netrc_says(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ways: dict[str, Any],
    userinfo: str,
    sent: str,
) -> None:
    """Declared credentials are sent, then those of the URL, and only then those of `.netrc`."""
    netrc(tmp_path, monkeypatch)
    seen: list[str | None] = []

    def script(handler: BaseHTTPRequestHandler) -> Canned:
        seen.append(handler.headers.get("Authorization"))
        return GOOD

    with serving(script) as served, client(**ways) as http:
        url = served.url.replace("://", f"://{userinfo}@") if userinfo else served.url
        http.call(Call(url))
    assert seen == [sent]


def test_a_header_that_cannot_be_sent_is_refused_at_once() -> None:
    """A token with the line break of its file is refused before anything is asked."""
    for auth in ("token\n", "token\u2026", "token\0"):
        with pytest.raises(ValueError, match="Authorization cannot be sent") as caught:
            connect(make_session(), auth=auth)
        assert "token" not in str(caught.value)


# -- redirects ------------------------------------------------------------------------------


@pytest.mark.req("V-13")
def test_nothing_is_sent_on_to_another_origin() -> None:
    """Whom a redirect names gets no request, not even on another port of the same host."""
    with serving(always(GOOD)) as other:
        target = other.url.replace("//", "//u:hunter2@") + "/x?k=hunter3"
        points = Canned(302, headers={"Location": target})
        with (
            serving(always(points)) as served,
            client(auth="tok", headers={"X-Scope-OrgID": "t", "X-API-Key": "k"}) as http,
            pytest.raises(SourceError, match=rf"points to {other.url}/x") as caught,
        ):
            http.call(Call(served.url))
        assert other.requests == []
    assert "hunter" not in str(caught.value)


def test_a_post_is_not_turned_into_a_get() -> None:
    """A redirect that would drop the question is refused; one that keeps it is followed."""

    def script(handler: BaseHTTPRequestHandler) -> Canned:
        if handler.path == "/done":
            return Canned(body=handler.command.encode())
        return Canned(int(handler.path[1:]), headers={"Location": "/done"})

    with serving(script) as served, client() as http:
        assert http.call(Call(f"{served.url}/307", method="POST", body=b"x")).body == b"POST"
        assert http.call(Call(f"{served.url}/302")).body == b"GET"
        with pytest.raises(SourceError, match="points to"):
            http.call(Call(f"{served.url}/302", method="POST", body=b"x"))


def test_a_redirect_on_the_same_server_keeps_the_credentials_of_the_url() -> None:
    """Also where it is told with the whole address, as most servers do."""
    seen: list[tuple[str, str | None]] = []

    def script(handler: BaseHTTPRequestHandler) -> Canned:
        seen.append((handler.path, handler.headers.get("Authorization")))
        there = f"http://{handler.headers['Host']}/b"
        return GOOD if handler.path == "/b" else Canned(302, headers={"Location": there})

    with serving(script) as served, client() as http:
        http.call(Call(served.url.replace("://", "://url:w%2Frd@") + "/a"))
    assert seen == [("/a", basic("url:w/rd")), ("/b", basic("url:w/rd"))]


# -- TLS ------------------------------------------------------------------------------------


def test_a_declared_authority_is_trusted_whatever_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, authority: Authority
) -> None:
    """`tls.ca` wins over REQUESTS_CA_BUNDLE, which holds where nothing is declared."""
    other = tmp_path / "other"
    other.mkdir()
    wrong = Authority.made(other)
    with serving(always(GOOD), tls=authority.server()) as served:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(wrong.path))
        with client(tls=Tls(ca=str(authority.path))) as http:
            assert http.call(Call(served.url)).body == b"good"
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.path))
        with client() as http:
            assert http.call(Call(served.url)).body == b"good"
        with client(tls=Tls(ca=str(wrong.path))) as http, pytest.raises(SourceError):
            http.call(Call(served.url))


@pytest.mark.req("V-13")
@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        ("expired", "has expired: renew it"),
        ("host", "is for another"),
        ("unknown", "is from an authority that is not known here: name its certificate"),
        ("no client certificate", "client certificate"),
        ("wrong client certificate", "client certificate"),
        ("no TLS", "speaks no TLS on that port: is it http:// and not https://?"),
    ],
)
def test_troubles_of_tls_are_told_apart(
    tmp_path: Path, authority: Authority, trouble: str, words: str
) -> None:
    """What is wrong with a certificate is said, with what to do."""
    (tmp_path / "other").mkdir()
    other = Authority.made(tmp_path / "other")
    contexts = {
        "expired": authority.server(expired=True),
        "host": authority.server("other.example"),
        "unknown": other.server(),
        "no client certificate": authority.server(clients=authority),
        "wrong client certificate": authority.server(clients=authority),
        "no TLS": None,
    }
    cert, key = other.client(tmp_path) if trouble.startswith("wrong") else ("", "")
    tls = Tls(ca=str(authority.path), cert=cert, key=key)
    with (
        serving(always(GOOD), tls=contexts[trouble]) as served,
        client(tls=tls) as http,
        pytest.raises(SourceError) as caught,
    ):
        http.call(Call(served.url.replace("http:", "https:")))
    assert words in caught.value.detail
    assert caught.value.failure is SourceFailure.CONNECT


def test_a_client_certificate_is_shown(tmp_path: Path, authority: Authority) -> None:
    """A server that wants one is shown the declared one."""
    cert, key = authority.client(tmp_path)
    with (
        serving(always(GOOD), tls=authority.server(clients=authority)) as served,
        client(tls=Tls(ca=str(authority.path), cert=cert, key=key)) as http,
    ):
        assert http.call(Call(served.url)).body == b"good"


def test_files_that_hold_no_certificate_are_refused(tmp_path: Path, authority: Authority) -> None:
    """What cannot be used is said when it is declared, not when the backend is asked."""
    cert, _ = authority.client(tmp_path)
    (tmp_path / "x").write_text("not PEM")
    for tls in (
        Tls(ca=str(tmp_path / "x")),
        Tls(cert=str(tmp_path / "x")),
        Tls(cert=cert, key=str(tmp_path / "x")),
        Tls(cert=cert),
    ):
        with pytest.raises(ValueError, match=r"^(ca|cert): "):
            connect(make_session(), tls=tls)


# -- proxies --------------------------------------------------------------------------------


@pytest.mark.parametrize("credentials", ["", "me:pr0xyw0rd"])
def test_a_declared_proxy_is_taken(
    monkeypatch: pytest.MonkeyPatch, authority: Authority, credentials: str
) -> None:
    """Plain requests and tunnels go through it, whatever the environment says."""
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    context = authority.server("tempo.example")
    tls = Tls(ca=str(authority.path))
    for kind, scheme in ((None, "http"), (context, "https")):
        with (
            serving(always(GOOD), tls=kind) as served,
            proxying(port_of(served.url), credentials) as proxy,
            client(tls=tls, auth="t0ken", proxy=_with(proxy.url, credentials)) as http,
        ):
            assert http.call(Call(f"{scheme}://tempo.example/x")).body == b"good"
        assert len(proxy.lines) == 1
        assert ("t0ken" in proxy.heads[0]) is (scheme == "http")


def _with(url: str, credentials: str) -> str:
    return url.replace("://", f"://{credentials}@") if credentials else url


def test_the_environments_proxy_holds_unless_none_is_declared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """HTTP_PROXY and NO_PROXY hold; `none` is none."""
    with serving(always(GOOD)) as served, proxying(port_of(served.url)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        with client() as http:
            assert http.call(Call("http://loki.example/x")).body == b"good"
        assert proxy.lines == ["GET http://loki.example/x HTTP/1.1"]
        for monkey, declared in (("loki.example", None), ("", "none")):
            monkeypatch.setenv("no_proxy", monkey)
            with client(proxy=declared) as http, pytest.raises(SourceError):
                http.call(Call("http://loki.example/x"))
        assert len(proxy.lines) == 1


@pytest.mark.req("V-13")
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_troubles_of_a_proxy_are_told_as_its_own(authority: Authority, scheme: str) -> None:
    """A proxy that refuses, or is not there, is named, and its password is not."""
    tls = Tls(ca=str(authority.path))
    with proxying(1, "me:right") as proxy:
        declared = _with(proxy.url, "me:wr0ngw0rd")
        with client(tls=tls, proxy=declared) as http:
            with pytest.raises(SourceError, match=r"407.*credentials") as caught:
                http.call(Call(f"{scheme}://tempo.example/x"))
            assert caught.value.failure is SourceFailure.REFUSED
            assert "wr0ngw0rd" not in str(caught.value)
    with client(tls=tls, proxy="http://me:wr0ngw0rd@127.0.0.1:1") as http:
        with pytest.raises(SourceError, match=r"the proxy http://127\.0\.0\.1:1: Conn") as caught:
            http.call(Call(f"{scheme}://tempo.example/x"))
        assert caught.value.failure is SourceFailure.CONNECT
        assert "wr0ngw0rd" not in str(caught.value)


# -- addresses ------------------------------------------------------------------------------


def test_a_server_of_ipv6() -> None:
    """An address in brackets is asked, and shown."""
    with (
        serving(always(Canned(404)), host="::1") as served,
        client() as http,
        pytest.raises(SourceError, match=r"http://\[::1\]:\d+/x answered 404"),
    ):
        http.call(Call(f"{served.url}/x"))


# -- secrets --------------------------------------------------------------------------------

SECRETS = {
    "bearer": "s3cret-bearer-0001",
    "basic": "s3cret-basic-0002",
    "header": "s3cret-header-0003",
    "userinfo": "s3cret-userinfo-0004",
    "query": "s3cret-query-0005",
    "proxy": "s3cret-proxy-0006",
    "environment": "s3cret-environ-0007",
}


def _everything(url: str, place: str) -> tuple[Http, Call]:
    """Return a client with a secret in every place, and with one of the ways to say who we are."""
    session = make_session({"X-API-Key": SECRETS["header"]})
    auth: str | tuple[str, str] = (
        SECRETS["bearer"] if place != "basic" else ("me", SECRETS["basic"])
    )
    proxy = f"http://me:{SECRETS['proxy']}@{urlsplit(url).netloc}" if place == "proxy" else None
    connect(session, auth=auth, proxy=proxy)
    http = Http("s", session, SystemClock(), Bounds(timeout=0.5, size=100_000, attempts=1))
    host = "tempo.example" if proxy else urlsplit(url).netloc
    return http, Call(f"http://me:{SECRETS['userinfo']}@{host}/x?token={SECRETS['query']}")


REPEATING = "\n".join(
    [
        *SECRETS.values(),
        basic(f"me:{SECRETS['basic']}"),
        basic(f"me:{SECRETS['userinfo']}"),
        basic(f"me:{SECRETS['proxy']}"),
    ]
).replace("\n", " ")
"""What a server may say that repeats all that it was sent."""


@pytest.mark.req("V-13")
@pytest.mark.parametrize(
    ("fault", "place"),
    [
        *((fault, place) for fault in FAULTS for place in ("bearer", "proxy")),
        *((None, place) for place in ("bearer", "basic", "proxy")),
    ],
    ids=lambda one: one if isinstance(one, str) else one.name if one else "repeats",
)
def test_no_failure_tells_a_secret(
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault | None,
    place: str,
) -> None:
    """Whatever fails, and whatever a server repeats: no error, cause or log has a secret."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("http_proxy", f"http://me:{SECRETS['environment']}@127.0.0.1:1")
    answer = f"HTTP/1.1 403 No {REPEATING}\r\nX\xff: y\r\nno header\r\n\r\n{REPEATING}"
    talk = fault.talk if fault else says(answer.encode("latin-1"))
    with listening(talk) as served:
        http, call = _everything(served.url, place)
        with pytest.raises(SourceError) as caught:
            http.call(call)
        http.close()
    said = [str(caught.value), caught.value.detail, caplog.text, *capfd.readouterr()]
    for where, secret in SECRETS.items():
        sent = {"bearer": place != "basic", "basic": place == "basic", "proxy": place == "proxy"}
        if sent.get(where, True):
            assert secret not in "".join(said), where
            assert base64.b64encode(f"me:{secret}".encode()).decode() not in "".join(said), where


Asking = Callable[[Http, str], object]
ASKING: dict[str, Asking] = {
    "prometheus": lambda http, url: PrometheusSource("s", url, http, 7.0).samples(frozenset("x")),
    "loki": lambda http, url: LokiSource("s", http, 7.0, Streams(url)).logs(ask("a" * 32)),
    "tempo": lambda http, url: TempoSource("s", url, http, Lags(7, 60)).traces(ask("a" * 32)),
    "control": lambda http, url: plant(http, url, "a" * 32),
    "none": lambda http, url: http.call(Call(url)),
}
"""What reads a refusal by itself, and what leaves that to the client."""


def refusing(handler: BaseHTTPRequestHandler, words: str, status: int = 400) -> Canned:
    """Refuse with these words; a control record is rejected with them."""
    if handler.path.endswith("/v1/traces"):
        told = {"partialSuccess": {"rejectedSpans": "1", "errorMessage": words}}
        return Canned(body=json.dumps(told).encode())
    return Canned(status, words.encode(), "text/plain")


@pytest.mark.req("V-13")
@pytest.mark.parametrize("asking", ASKING)
@pytest.mark.parametrize("place", ["url", "query", "netrc", "proxy"])
def test_what_a_server_repeats_of_undeclared_credentials_is_blanked_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asking: str, place: str
) -> None:
    """Those of the URL, of `.netrc` and of the environment's proxy, whoever reads the refusal."""
    secret = "s3cret-undeclared"

    def script(handler: BaseHTTPRequestHandler) -> Canned:
        headers = handler.headers
        sent = [headers.get(f"{kind}Authorization", "") for kind in ("", "Proxy-")]
        plain = [base64.b64decode(one.rpartition(" ")[2]).decode() for one in sent]
        return refusing(handler, " ".join(["seen", *sent, *plain, handler.path]))

    with serving(script) as served, client() as http:
        url = served.url
        if place == "url":
            url = _with(url, f"me:{secret}")
        elif place == "query":
            url = f"{url}/?token={secret}&x="
        elif place == "netrc":
            netrc(tmp_path, monkeypatch, secret)
        else:
            monkeypatch.setenv("http_proxy", _with(url, f"me:{secret}"))
            url = "http://tempo.example"
        with pytest.raises(SourceError, match="seen") as caught:
            ASKING[asking](http, url)
    assert secret not in caught.value.detail
    for name in ("me", "net"):
        assert base64.b64encode(f"{name}:{secret}".encode()).decode() not in caught.value.detail
    assert "[redacted]" in caught.value.detail


TOKEN = "glsa_" + "Z9" * 20


@pytest.mark.req("V-13")
@pytest.mark.parametrize("status", [400, 403])
@pytest.mark.parametrize("asking", ASKING)
def test_no_part_of_a_secret_is_told_where_words_are_cut(asking: str, status: int) -> None:
    """Wherever a server's words are shortened, a token that straddles the cut is blanked out."""
    padding = ""

    def script(handler: BaseHTTPRequestHandler) -> Canned:
        return refusing(handler, f"{padding}{handler.headers['Authorization']} and so on", status)

    with serving(script) as served, client(auth=TOKEN) as http:
        for padding in ("x" * count for count in range(100, 520, 20)):
            with pytest.raises(SourceError) as caught:
                ASKING[asking](http, served.url)
            assert TOKEN[:4] not in caught.value.detail, len(padding)


@pytest.mark.req("V-13")
@pytest.mark.parametrize(
    "answer",
    [
        f"HTTP/1.1 403 {'x' * 180} {TOKEN} and so on\r\n\r\n",
        f"HTTP/1.1 403 No\r\n\r\n{' ' * 2010}{TOKEN} and so on",
    ],
    ids=["reason", "beginning"],
)
def test_no_part_of_a_secret_is_told_of_what_is_read_in_part(answer: str) -> None:
    """Neither of a reason that is shortened, nor of a body of which the beginning is read."""
    with (
        listening(says(answer.encode())) as served,
        client(auth=TOKEN) as http,
        pytest.raises(SourceError, match="answered 403") as caught,
    ):
        http.call(Call(served.url))
    assert TOKEN[:4] not in caught.value.detail
    assert "[reda" in caught.value.detail


def test_a_way_that_cannot_be_read_is_no_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy's address, or an exception from it, that is no address is told as a failure."""
    monkeypatch.setenv("no_proxy", "[::1],[bad")
    for way in ("http://me:pass@[bad", "http://me:pass@127.0.0.1:1"):
        monkeypatch.setenv("http_proxy", way)
        with client() as http, pytest.raises(SourceError) as caught:
            http.call(Call("http://tempo.example/x"))
        assert "pass" not in caught.value.detail
