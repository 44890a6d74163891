"""Pages of metrics, in both formats, several at once."""

from __future__ import annotations

import contextlib
import gzip
import math
import threading
from http.server import BaseHTTPRequestHandler

import pytest

from tests.sources.conftest import http
from tests.sources.servers import Canned, Script, always, serving
from validator.errors import SourceError, SourceFailure
from validator.sources.http import Bounds
from validator.sources.scrape import Page, ScrapeSource

OPENMETRICS = """# TYPE seconds histogram
seconds_bucket{le="0.5"} 1 # {trace_id="abab"} 0.3 1800000000.5
seconds_bucket{le="+Inf"} 2
seconds_count 2
seconds_sum 1.5
# TYPE jobs counter
jobs_total{traffic="synthetic"} 4 1800000001.25
# TYPE target info
target_info{service_version="1.2"} 1
# EOF
"""
TEXT = """# HELP jobs_total Jobs.
# TYPE jobs_total counter
jobs_total 4 1800000001250
# TYPE load gauge
load NaN
bare 1
"""


def source(*urls: str, timeout: float = 5.0) -> ScrapeSource:
    """Return a source of pages, of services `a`, `b` and so on."""
    pages = tuple(Page("abc"[index], url) for index, url in enumerate(urls))
    return ScrapeSource("pages", pages, http("pages", Bounds(timeout=timeout, attempts=1)), 1.0)


def openmetrics() -> Canned:
    """Return a page in OpenMetrics."""
    media = "application/openmetrics-text; version=1.0.0; charset=utf-8"
    return Canned(body=OPENMETRICS.encode(), media=media)


@pytest.mark.req("V-12")
def test_openmetrics_with_exemplars() -> None:
    """An OpenMetrics page gives types, times and exemplars, and an info as target_info."""
    with serving(always(openmetrics())) as served:
        scrape = source(served.url + "/metrics")
        samples = scrape.samples(frozenset({"seconds_bucket", "jobs"})).samples
        scrape.close()
    shown = {(s.name, s.labels.get("le", "")): s for s in samples}
    bucket = shown["seconds_bucket", "0.5"]
    assert bucket.exemplar is not None
    assert (bucket.metric, bucket.type, bucket.value) == ("seconds", "histogram", 1.0)
    assert (bucket.exemplar.labels, bucket.exemplar.time) == ({"trace_id": "abab"}, 1800000000.5)
    assert shown["seconds_count", ""].value == 2
    assert shown["jobs_total", ""].time == 1800000001.25
    assert shown["target_info", ""].metric == "target_info"
    assert bucket.instance == served.url.removeprefix("http://")
    assert bucket.service == "a"


@pytest.mark.req("V-12")
def test_text_format() -> None:
    """A page in the older format gives the same families; only what is asked for comes."""
    with serving(always(Canned(body=TEXT.encode(), media="text/plain; version=0.0.4"))) as served:
        scrape = source(served.url)
        (jobs,) = scrape.samples(frozenset({"jobs"})).samples
        (load,) = scrape.samples(frozenset({"load"})).samples
        (bare,) = scrape.samples(frozenset({"bare"})).samples
        scrape.close()
    assert (jobs.metric, jobs.name, jobs.type, jobs.time) == (
        "jobs",
        "jobs_total",
        "counter",
        1800000001.25,
    )
    assert math.isnan(load.value)
    assert bare.type == "unknown"


@pytest.mark.req("V-13")
def test_one_failing_page_makes_the_answer_partial() -> None:
    """A page that fails is named, the others answer, and the answer is not full."""
    with serving(always(openmetrics())) as good, serving(always(Canned(500))) as bad:
        scrape = source(bad.url, good.url)
        answer = scrape.samples(frozenset({"jobs"}))
        scrape.close()
    assert {s.service for s in answer.samples} == {"b"}
    assert not answer.full
    assert answer.findings[0].startswith("a page could not be read: server error")
    assert bad.url in answer.findings[0]


@pytest.mark.req("V-13")
def test_one_hanging_page_does_not_hold_up_the_others() -> None:
    """A page that hangs costs the time-out, and no other page."""
    let_go = threading.Event()

    def hang(_handler: object) -> None:
        let_go.wait(30)

    with serving(always(openmetrics())) as good, serving(hang) as bad:
        scrape = source(bad.url, good.url, timeout=0.4)
        answer = scrape.samples(frozenset({"jobs"}))
        let_go.set()
        scrape.close()
    assert {s.service for s in answer.samples} == {"b"}
    assert not answer.full


@pytest.mark.req("V-13")
def test_a_page_that_drips_is_not_waited_for() -> None:
    """A page whose headers never end, though something always comes, is given up on in time."""
    let_go = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        with contextlib.suppress(OSError):
            while not let_go.wait(0.05):
                handler.wfile.write(b"X-More: 1\r\n")

    with serving(drip) as served:
        scrape = source(served.url, timeout=0.4)
        with pytest.raises(SourceError) as caught:
            scrape.samples(frozenset({"x"}))
        let_go.set()
        scrape.close()
    assert caught.value.failure is SourceFailure.TOO_SLOW


def test_pages_are_asked_at_once() -> None:
    """Three pages that answer only when all three are asked are all read."""
    barrier = threading.Barrier(3, timeout=10)

    def together(_handler: object) -> Canned:
        barrier.wait()
        return openmetrics()

    with serving(together) as served:
        scrape = source(*[f"{served.url}/{name}" for name in "abc"])
        answer = scrape.samples(frozenset({"jobs"}))
        scrape.close()
    assert answer.full
    assert len({s.service for s in answer.samples}) == 3


@pytest.mark.parametrize("body", [b"<html></html>", b"\xff\xfe", b"x notanumber"])
def test_a_page_that_is_none_is_nonsense(body: bytes) -> None:
    """What the official parser cannot read is an error and not an empty page."""
    with serving(always(Canned(body=body, media="text/plain"))) as served:
        scrape = source(served.url)
        with pytest.raises(SourceError) as caught:
            scrape.samples(frozenset({"x"}))
        scrape.close()
    assert caught.value.failure is SourceFailure.NONSENSE


@pytest.mark.req("V-13")
def test_openmetrics_that_ends_too_early_is_nonsense() -> None:
    """An OpenMetrics page without its end mark was cut off."""
    page = openmetrics()
    cut = Canned(body=page.body.replace(b"# EOF\n", b""), media=page.media)
    with serving(always(cut)) as served:
        scrape = source(served.url)
        with pytest.raises(SourceError):
            scrape.samples(frozenset({"jobs"}))
        scrape.close()


def unmarked(body: str) -> Script:
    """Answer as a server of HTTP/1.0 does that gives no length: the end is that it hangs up."""

    def script(handler: BaseHTTPRequestHandler) -> None:
        head = "HTTP/1.0 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n\r\n"
        handler.wfile.write((head + body).encode())

    return script


@pytest.mark.req("V-13")
@pytest.mark.parametrize("cut", ["jobs_total 1", "# TYPE jobs_total cou", "jobs_total 12 "])
def test_a_page_that_breaks_off_in_a_line_is_partial(cut: str) -> None:
    """What is left of 1234 may read as 12: the page is no answer, and the others are."""
    with serving(unmarked(f"load 1\n{cut}")) as bad, serving(always(openmetrics())) as good:
        scrape = source(bad.url)
        for ask in (lambda: scrape.samples(frozenset({"jobs"})), scrape.probe):
            with pytest.raises(SourceError, match="broke off in mid-line") as caught:
                ask()
            assert caught.value.failure is SourceFailure.PARTIAL
        scrape.close()
        scrape = source(bad.url, good.url)
        answer = scrape.samples(frozenset({"jobs"}))
        scrape.close()
    assert {s.service for s in answer.samples} == {"b"}
    assert not answer.full


def test_a_page_whose_end_nothing_marks_is_remarked_on() -> None:
    """There are servers that give no length: what they answer is judged, and that is told."""
    with serving(unmarked(TEXT)) as served:
        scrape = source(served.url)
        answer = scrape.samples(frozenset({"jobs"}))
        notes = scrape.probe().notes
        scrape.close()
    assert [(s.value, answer.full) for s in answer.samples] == [(4.0, True)]
    assert answer.findings == notes
    assert "is not marked (it is no OpenMetrics" in answer.findings[0]


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("Content-Length: 8", b"load 1\n#"),
        ("Transfer-Encoding: chunked", b"8\r\nload 1\n#\r\n0\r\n\r\n"),
        ("Content-Encoding: gzip", gzip.compress(b"load 1\n#")),
    ],
    ids=["length", "chunks", "compressed"],
)
def test_whose_end_is_marked_may_end_as_it_likes(head: str, body: bytes) -> None:
    """By a length, in chunks or compressed, a page that is cut off is known without its text."""

    def script(handler: BaseHTTPRequestHandler) -> None:
        lines = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n{head}"
        handler.wfile.write(f"{lines}\r\n\r\n".encode() + body)

    with serving(script) as served:
        scrape = source(served.url)
        answer = scrape.samples(frozenset({"load"}))
        scrape.close()
    assert [(s.value, answer.findings) for s in answer.samples] == [(1.0, ())]


def test_instances_are_named_as_prometheus_does() -> None:
    """An instance is host and port, the port also where the URL leaves it out."""
    assert Page("a", "http://user:pw@host/metrics").instance == "host:80"
    assert Page("a", "https://host/metrics").instance == "host:443"
    assert Page("a", "http://host:9/metrics").instance == "host:9"


@pytest.mark.req("V-13")
@pytest.mark.parametrize("body", [b"", b"\n", b"# only a remark\n"])
def test_an_empty_page_is_no_page(body: bytes) -> None:
    """Read before the job it would make every total look like an increase."""
    page = Canned(body=body, media="text/plain; version=0.0.4")
    with serving(always(page)) as served, pytest.raises(SourceError, match="without any metric"):
        source(served.url).samples(frozenset({"x"}))
