"""Fetching a page: the way to it, what it is, what is told of it, and what is counted."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from fastapi.responses import JSONResponse
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from pipeline.fetch import Fetcher, Page, Terms
from pipeline.fetch_errors import CODES, FetchError, PermanentError, TransientError
from pipeline.reading import Limits
from pipeline.services import scraper
from pipeline.services import site as stub
from pipeline.settings import Settings
from pipeline.workers import scrape
from tests.pipeline.sites import (
    NOTHING,
    RESET,
    Asked,
    Reply,
    Site,
    always,
    dripping,
    fetcher,
    guard,
    page,
    served,
    site,
    to,
    whole,
)

pytestmark = pytest.mark.req("P-06")

_QUICK = Terms(guard(), seconds=1)


@pytest.fixture(scope="module")
def pages() -> Iterator[str]:
    """Return the address of the site stub."""
    with served(stub.make(Settings("site", {}))) as url:
        yield url


def _failure(url: str, by: Fetcher | None = None) -> FetchError:
    with pytest.raises(FetchError) as failed:
        (by or fetcher()).fetch(url, "job")
    return failed.value


def _samples(found: Fetcher) -> dict[tuple[str, str], float]:
    """Return what was counted, by name and by the label that is not traffic's."""
    text = generate_latest(found._metrics.registry).decode()
    return {
        (sample.name, "".join(v for k, v in sample.labels.items() if k != "traffic")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.labels.get("traffic") == "user" and not sample.name.endswith(("_created", "_sum"))
    }


def test_a_page_is_its_text_and_address() -> None:
    """The address is the normalised one, and where the page was after all redirects."""
    with site({"/a": always(to("/b?q=1#x")), "/b?q=1": always(page("<p>Hello</p>"))}) as there:
        assert fetcher().fetch(f" {there.url.upper()}/a#y", "") == Page(
            f"{there.url}/b?q=1", "Hello"
        )
        assert there.paths() == ["/robots.txt", "/a", "/b?q=1"]


def test_robots_are_asked_once_and_told_who_comes() -> None:
    """One fetcher asks each origin once, under the name that was configured."""
    with site(always(page())) as there:
        found = fetcher(Terms(guard(), agent="somebody/1.0"))
        for _ in range(3):
            found.fetch(f"{there.url}/a", "")
        assert there.paths() == ["/robots.txt", "/a", "/a", "/a"]
        assert {asked.headers["User-Agent"] for asked in there.asked} == {"somebody/1.0"}


def test_robots_of_every_site_on_the_way_are_respected() -> None:
    """A redirect to a page that its own site denies is not followed."""
    denied = {"/robots.txt": always(whole(b"User-agent: *\nDisallow: /private/"))}
    with site(denied) as other, site({"/a": always(to(f"{other.url}/private/x"))}) as there:
        error = _failure(f"{there.url}/a")
        assert (type(error), error.code) == (PermanentError, "robots_denied")
        assert other.paths() == ["/robots.txt"]


@pytest.mark.parametrize(
    ("location", "code"),
    [
        ("http://169.254.169.254/latest/meta-data/", "address_refused"),
        ("http://[::ffff:169.254.169.254]/", "address_refused"),
        ("http://2852039166/", "address_refused"),
        ("http://rebound.test/", "address_refused"),
        ("http://nosuch.test/", "dns"),
        ("file:///etc/passwd", "invalid_url"),
        ("gopher://example.com/", "invalid_url"),
        ("http://user:secret@example.com/", "invalid_url"),
        ("//[", "invalid_url"),
        (f"/{'a' * 3_000}", "invalid_url"),
    ],
)
def test_redirects_are_judged_like_addresses(location: str, code: str) -> None:
    """No redirect leads to where a job may not go, and none is repeated with its secrets."""
    found = fetcher(Terms(guard(rebound_test=["169.254.169.254"])))
    with site({"/a": always(to(location))}) as there:
        error = _failure(f"{there.url}/a", found)
    assert error.code == code
    assert "secret" not in str(error)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://user:secret@example.com/", "invalid_url"),
        ("file:///etc/passwd", "invalid_url"),
        ("gopher://example.com/", "invalid_url"),
        ("http://169.254.169.254/", "address_refused"),
        ("http://2130706433.test/", "dns"),
    ],
)
def test_addresses_are_judged_before_anybody_is_asked(url: str, code: str) -> None:
    """What a job's address may not be is refused by the worker, too."""
    assert _failure(url).code == code


@pytest.mark.parametrize(("hops", "ends"), [(5, True), (6, False)])
def test_five_redirects_are_followed(hops: int, ends: bool) -> None:
    """The sixth redirect is one too many."""
    ways = {f"/{n}": always(to(f"/{n + 1}")) for n in range(hops)}
    with site({**ways, f"/{hops}": always(page())}) as there:
        if ends:
            assert fetcher().fetch(f"{there.url}/0", "").content == "Hello"
            return
        error = _failure(f"{there.url}/0")
        assert (type(error), error.code) == (PermanentError, "too_many_redirects")
        assert f"/{hops}" not in there.paths()


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        ("text/html", b"<p>a</p>", "a"),
        ("TEXT/HTML; charset=koi8-r", "<p>\u043f</p>".encode("koi8-r"), "\u043f"),
        ("application/xhtml+xml;charset=utf-8", b"<p>a</p>", "a"),
        ("text/plain", b"<p>a", "<p>a"),
        ("text/html; charset*=utf-8''%00", b"<p>" + b"a" * 70_000, "a" * 70_000),
        ('text/html; charset="', b"<p>a</p>", "a"),
    ],
)
def test_html_and_plain_text_are_read(content_type: str, body: bytes, text: str) -> None:
    """By the type, in the charset of the header where it is one."""
    with site(always(whole(body, f"Content-Type: {content_type}"))) as there:
        assert fetcher().fetch(f"{there.url}/", "").content == text


def test_a_page_without_a_type_is_html_unless_it_is_no_text() -> None:
    """What does not say what it is, is looked at."""
    pages: Mapping[str, Reply] = {
        "/html": always(whole(b"<p>a</p>")),
        "/nonsense": always(whole(b"<p>a</p>", "Content-Type: html")),
        "/text": always(whole(b"a & b")),
        "/gone": always(whole(b"", status="204 No Content")),
        "/pdf": always(whole(b"%PDF-1.7\n\xe2\xe3")),
        "/image": always(whole(b"\x89PNG\r\n\x1a\n")),
    }
    with site(pages) as there:
        found = fetcher()
        for path, text in (("html", "a"), ("nonsense", "a"), ("text", "a & b"), ("gone", "")):
            assert found.fetch(f"{there.url}/{path}", "").content == text
        for path in ("pdf", "image"):
            assert _failure(f"{there.url}/{path}", found).code == "unsupported_content_type"


@pytest.mark.parametrize(
    "content_type", ["application/pdf", "image/png", "application/json", "text/css; a=b"]
)
def test_other_types_are_refused_unread(content_type: str) -> None:
    """A type that is not read is refused by its header."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n\r\n".encode()
    with site({"/": dripping(head, drop=b"")}) as there:
        error = _failure(f"{there.url}/")
    assert (type(error), error.code) == (PermanentError, "unsupported_content_type")
    assert f"is {content_type.partition(';')[0]}," in str(error)


@pytest.mark.parametrize(
    ("status", "kind", "label"),
    [
        *((status, TransientError, "http_4xx") for status in (408, 425, 429)),
        *((status, TransientError, "http_5xx") for status in (500, 502, 503, 504)),
        *((status, PermanentError, "http_4xx") for status in (400, 401, 403, 404, 410, 451)),
        *((status, PermanentError, "http_5xx") for status in (501, 505, 599)),
        *((status, PermanentError, "http_3xx") for status in (300, 304)),
    ],
)
def test_statuses_are_transient_or_permanent(
    status: int, kind: type[FetchError], label: str
) -> None:
    """A site that is busy is asked again, one that says no is not; the body is not read."""
    head = f"HTTP/1.1 {status} Status\r\nContent-Length: 9\r\n\r\n".encode()
    with site({"/": dripping(head, drop=b"")}) as there:
        error = _failure(f"{there.url}/")
    assert (type(error), error.code, error.label) == (kind, f"http_{status}", label)
    assert str(error) == f"{there.url}/ answered {status}"


def test_documents_of_the_site_have_their_words(pages: str) -> None:
    """The article and the whitepaper come with all their words, as chunk counts have it."""
    for path, words in (("article", 5_000), ("whitepaper", 80_000)):
        found = fetcher().fetch(f"{pages}/{path}?nonce=n1", "").content
        assert len(found.split()) == words + 4  # a title and the nonce
        assert found.split("\n\n")[1] == "Nonce n1."
        assert len(found.split("\n\n")) > words / 120


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/private/page", "robots_denied"),
        ("/loop", "too_many_redirects"),
        ("/redirect?to=file:///etc/passwd", "invalid_url"),
        ("/redirect?to=http://169.254.169.254/", "address_refused"),
        ("/huge", "too_large"),
        ("/bomb", "too_large"),
        ("/one-line", "too_large"),
        ("/pdf", "unsupported_content_type"),
        ("/blocked", "http_403"),
        ("/slow?seconds=2", "timeout"),
    ],
)
def test_pages_that_make_trouble_have_codes(pages: str, path: str, code: str) -> None:
    """Every page of the site that cannot be had says why."""
    found = fetcher(_QUICK if code == "timeout" else None)
    assert _failure(f"{pages}{path}", found).code == code


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/empty", 0),
        ("/blank", 0),
        ("/one-word", 1),
        ("/redirect", 5_004),
        ("/huge?bytes=0", 0),
        ("/bomb?bytes=100000", 0),
        ("/one-line?bytes=200000", 28_700),
    ],
)
def test_odd_pages_are_pages(pages: str, path: str, words: int) -> None:
    """Nothing, white space, one endless word, one endless line: each is a text."""
    found = fetcher().fetch(f"{pages}{path}", "").content
    assert len(found.split()) == pytest.approx(words, rel=0.02)
    assert words or found == ""


def test_everything_has_one_deadline() -> None:
    """Redirects that each take a while, and robots.txt, share the time there is for a page."""

    def slow(path: str) -> Reply:
        def reply(asked: Asked) -> Iterator[bytes]:
            asked.closing.wait(0.4)
            yield to(path)

        return reply

    ways = {f"/{n}": slow(f"/{n + 1}") for n in range(5)}
    with site(ways) as there:
        error = _failure(f"{there.url}/0", fetcher(_QUICK))
        assert error.code == "timeout"
        assert 1 <= len(there.asked) <= 4


def test_what_is_fetched_is_counted() -> None:
    """Durations by what came of it, sizes of pages that were had, errors by their code."""
    ways: Mapping[str, Reply] = {
        "/good": always(page("<p>Hello</p>")),
        "/busy": always(whole(b"", status="503 Busy")),
        "/gone": always(whole(b"", status="404 Gone")),
        "/reset": always(RESET),
    }
    found = fetcher()
    with site(ways) as there:
        found.fetch(f"{there.url}/good", "")
        for path in ("busy", "gone", "gone", "reset"):
            _failure(f"{there.url}/{path}", found)
        _failure("file:///x", found)
    samples = _samples(found)
    for outcome, count in (("ok", 1), ("transient", 2), ("permanent", 3)):
        assert samples["scrape_duration_seconds_count", outcome] == count
    assert samples["scrape_response_size_bytes_count", ""] == 1
    counted = {code: value for (name, code), value in samples.items() if "errors" in name}
    assert counted == {"http_5xx": 1, "http_4xx": 2, "unreachable": 1, "invalid_url": 1}


def test_a_page_that_cannot_be_read_is_counted_too() -> None:
    """Reading is a part of scraping: its failure has a code like the others."""
    found = fetcher(Terms(guard(), reading=Limits(seconds=0)))
    with site(always(page(f"<p>{'x' * 70_000}"))) as there:
        assert _failure(there.url, found).code == "unreadable"
    samples = _samples(found)
    assert samples["scrape_errors_total", "unreadable"] == 1
    assert samples["scrape_duration_seconds_count", "permanent"] == 1
    assert ("scrape_duration_seconds_count", "ok") not in samples


@contextmanager
def late_site() -> Iterator[str]:
    """Return the address of a page during which the time of a task is over."""

    def late(asked: Asked) -> Iterator[bytes]:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)
        asked.closing.wait(20)
        yield NOTHING

    def over(*_: object) -> None:
        raise SoftTimeLimitExceeded

    before = signal.signal(signal.SIGALRM, over)
    try:
        with site({"/late": late}) as there:
            yield f"{there.url}/late"
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_fetch_that_the_time_limit_ends_is_no_good_one() -> None:
    """It ends wherever it is, and is counted as what will not be had."""
    found = fetcher()
    with late_site() as url, pytest.raises(SoftTimeLimitExceeded):
        found.fetch(url, "")
    assert _samples(found)["scrape_duration_seconds_count", "permanent"] == 1


def test_the_worker_makes_an_error_of_the_time_limit() -> None:
    """The job fails with its code, which is counted as every other."""
    found = fetcher()
    with late_site() as url:
        nothing: Any = None  # neither its task nor its child is asked
        error = scrape._scraped(nothing, nothing, found, "job", url)
    assert isinstance(error, PermanentError)
    assert error.code == "time_limit"
    assert _samples(found)["scrape_errors_total", "time_limit"] == 1


def test_terms_come_from_the_environment() -> None:
    """Each setting is read, with its default."""
    env = {
        "PIPELINE_SCRAPE_ALLOW": "10.0.0.0/8",
        "PIPELINE_SCRAPE_SECONDS": "1.5",
        "PIPELINE_SCRAPE_MAX_BYTES": "1000",
        "PIPELINE_USER_AGENT": "me/1.0",
    }
    found = Terms.of(Settings("test", env))
    assert (found.seconds, found.max_bytes, found.agent) == (1.5, 1_000, "me/1.0")
    assert [str(network) for network in found.guard.allow] == ["10.0.0.0/8"]
    assert Terms.of(Settings("test", {})) == Terms()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PIPELINE_SCRAPE_ALLOW", "here"),
        ("PIPELINE_SCRAPE_SECONDS", "0"),
        ("PIPELINE_SCRAPE_SECONDS", "nan"),
        ("PIPELINE_SCRAPE_SECONDS", "inf"),
        ("PIPELINE_SCRAPE_SECONDS", "soon"),
        ("PIPELINE_SCRAPE_MAX_BYTES", "-1"),
        ("PIPELINE_USER_AGENT", "a\r\nb: c"),
        ("PIPELINE_USER_AGENT", "é"),
    ],
)
def test_terms_that_are_none_name_their_variable(variable: str, value: str) -> None:
    """A process with a wrong setting says which it is, and does not start."""
    with pytest.raises(LookupError, match=f"{variable} is "):
        Terms.of(Settings("test", {variable: value}))


def _told(there: Site, path: str) -> scraper.Scraped | scraper.Refused | JSONResponse:
    request = scraper.ScrapeRequest(url=f"{there.url}{path}")
    return scraper.answer(fetcher(_QUICK if "slow" in path else None), request)


def test_who_waits_is_told_to_submit_a_job() -> None:
    """A page that takes too long is 504 and one out of order 502; both name /enqueue."""
    ways: Mapping[str, Reply] = {
        "/slow": dripping(),
        "/busy": always(whole(b"", status="503 Busy")),
    }
    with site(ways) as there, site({"/robots.txt": dripping()}) as hung:
        for at, path, status, code in (
            (there, "/slow", 504, "timeout"),
            (hung, "/slow", 504, "robots_unreachable"),
            (there, "/busy", 502, "http_503"),
        ):
            answer = _told(at, path)
            assert isinstance(answer, JSONResponse)
            assert answer.status_code == status
            body = scraper.NotNow.model_validate_json(bytes(answer.body))
            assert body.error_code == code
            assert "/enqueue" in body.detail


def test_who_waits_is_told_the_page_or_why_not() -> None:
    """A page is its text; one that refuses is told by its code, and the scraper is well."""
    with site({"/good": always(page()), "/no": always(whole(b"", status="403 No"))}) as there:
        good, refused = _told(there, "/good"), _told(there, "/no")
    assert good == scraper.Scraped(url=f"{there.url}/good", content="Hello", words=1)
    assert isinstance(refused, scraper.Refused)
    assert refused.error_code == "http_403"


@pytest.mark.parametrize("url", ["file:///x", "http://u:p@h/", "http://a\0b/", "x" * 3_000, ""])
def test_what_is_no_address_is_no_request(url: str) -> None:
    """An address is judged with the request."""
    with pytest.raises(ValueError, match="url"):
        scraper.ScrapeRequest(url=url)


def test_every_code_is_documented(request: pytest.FixtureRequest) -> None:
    """The documentation names every code that a caller may see."""
    text = (request.config.rootpath / "docs" / "pipeline.md").read_text()
    assert [code for code in CODES if f"`{code}`" not in text] == []
