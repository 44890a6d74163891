"""The stubs of other people's systems behave as their descriptions say."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from pipeline.extract import of_html
from pipeline.services import site, stubs
from pipeline.settings import Settings
from pipeline.vectors import DIMENSION

if TYPE_CHECKING:
    from starlette.types import ASGIApp

pytestmark = pytest.mark.req("P-01")

_KEYS = {
    "PIPELINE_USER_KEY": "u",
    "PIPELINE_VALIDATOR_KEY": "v",
    "PIPELINE_SERVICE_KEY": "s",
}
_SETTINGS = Settings(name="stub", env=_KEYS)


class Visitor:
    """Asks an application without a server."""

    def __init__(self, app: ASGIApp) -> None:
        """Visit the application."""
        self._transport = httpx.ASGITransport(app)

    def request(
        self, method: str, path: str, longest: float = 60.0, **given: Any
    ) -> httpx.Response:
        """Make one request; TimeoutError when it takes too long."""

        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(
                transport=self._transport, base_url="http://site.test"
            ) as client:
                return await client.request(method, path, **given)

        return asyncio.run(asyncio.wait_for(ask(), longest))

    def get(self, path: str, **given: Any) -> httpx.Response:
        """Get a page."""
        return self.request("GET", path, **given)


@pytest.fixture(scope="module")
def pages() -> Visitor:
    """Return a client of the site."""
    return Visitor(site.make(_SETTINGS))


@pytest.mark.parametrize(("page", "words"), [("article", 5_000), ("whitepaper", 80_000)])
def test_documents_have_their_words(pages: Visitor, page: str, words: int) -> None:
    """The article and the whitepaper have their words, besides a title and a nonce."""
    found = of_html(pages.get(f"/{page}?nonce=n1").text)
    assert 0 <= len(found.split()) - words <= 5
    assert "n1" in found
    assert "let x" not in found
    assert "Home" not in found


def test_blocked_page_is_refused(pages: Visitor) -> None:
    """The blocked page answers 403."""
    assert pages.get("/blocked").status_code == 403


@pytest.mark.parametrize(("page", "then"), [("flaky", 200), ("flaky-blocked", 403)])
def test_flaky_pages_fail_once_for_each_nonce(pages: Visitor, page: str, then: int) -> None:
    """The first visit with a nonce is answered 503, the second as the page's name says."""
    for nonce in ("a", "b"):
        answers = [pages.get(f"/{page}?nonce={page}-{nonce}").status_code for _ in range(3)]
        assert answers == [503, then, then]


def test_slow_page_waits_as_long_as_asked(pages: Visitor) -> None:
    """The slow page serves the article, after the seconds in its address."""
    assert pages.get("/slow?seconds=0").status_code == 200


@pytest.mark.req("P-06")
@pytest.mark.parametrize(
    ("path", "status", "content_type", "size"),
    [
        ("/private/page", 200, "text/html", 36),
        ("/redirect?to=/blocked", 307, "", 0),
        ("/loop", 307, "", 0),
        ("/huge?bytes=100000", 200, "text/plain", 100_000),
        ("/bomb?bytes=100000", 200, "text/html", 100_000),
        ("/one-line?bytes=200000", 200, "text/html", 200_000),
        ("/one-word", 200, "text/html", 100_026),
        ("/pdf", 200, "application/pdf", 15),
        ("/empty", 200, "text/html", 0),
        ("/blank", 200, "text/plain", 500),
    ],
)
def test_pages_make_the_trouble_that_they_are_for(
    pages: Visitor, path: str, status: int, content_type: str, size: int
) -> None:
    """Each has its status, type and size once it is inflated; one line is one line."""
    answer = pages.get(path)
    assert (answer.status_code, len(answer.content)) == (status, size)
    assert answer.headers.get("content-type", "").partition(";")[0] == content_type
    assert answer.headers.get("content-encoding", "") == ("gzip" if "bomb" in path else "")
    assert "one-line" not in path or b"\n" not in answer.content


@pytest.mark.parametrize(
    "path", ["/slow?seconds=x", "/slow?seconds=61", "/article?latency=-1", "/huge?bytes=nan"]
)
def test_numbers_in_addresses_are_checked(pages: Visitor, path: str) -> None:
    """A page that is asked for nonsense says so."""
    answer = pages.get(path)
    assert answer.status_code == 400
    assert " is a number from 0 to " in answer.text


def test_pages_are_as_late_as_asked_for() -> None:
    """By the environment for all pages, by its address for one; what is no page is never late."""
    late = Visitor(site.make(Settings("site", {"PIPELINE_SITE_LATENCY": "50"})))
    for path in ("/health", "/robots.txt", "/seen", "/article?latency=0"):
        assert late.get(path).status_code == 200
    begun = time.monotonic()
    assert late.get("/article?latency=0.1").status_code == 200
    assert 0.1 <= time.monotonic() - begun < 40
    with pytest.raises(TimeoutError):
        late.get("/article", longest=0.2)


def test_robots_are_told(pages: Visitor) -> None:
    """The site has a robots.txt."""
    assert "Disallow: /private/" in pages.get("/robots.txt").text


def test_membership_knows_its_keys() -> None:
    """Each key has its owner and rights; only validators and services may mark."""
    client = Visitor(stubs.membership(_SETTINGS))
    roles = {
        key: client.get("/verify", headers={"X-API-Key": key}).json() for key in ("u", "v", "s")
    }
    assert {key: found["role"] for key, found in roles.items()} == {
        "u": "user",
        "v": "validator",
        "s": "service",
    }
    assert [found["may_mark"] for found in roles.values()] == [False, True, True]
    assert client.get("/verify", headers={"X-API-Key": "x"}).status_code == 401
    assert client.get("/verify").status_code == 401


def test_same_text_same_vector() -> None:
    """Inference gives unit vectors of the right dimension, the same for the same text."""
    client = Visitor(stubs.inference(_SETTINGS))
    body = {"input": ["a small river", "a small river", "", "worker queue"]}
    data = client.request("POST", "/v1/embeddings", json=body).json()["data"]
    vectors = [item["embedding"] for item in data]
    assert vectors[0] == vectors[1] != vectors[3]
    for vector in vectors:
        assert len(vector) == DIMENSION
        assert sum(value * value for value in vector) == pytest.approx(1, abs=1e-4)
