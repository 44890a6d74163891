"""Hostile bodies and pages: each a documented refusal or a failed job, and everything stays up."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from pipeline.testing import RunningPipeline, poll_until
from tests.pipeline.contracts import Contract, new_key

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.req("P-03")]

_JSON = {"Content-Type": "application/json"}
_DEEP = 10_000


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPipeline]:
    """Return a pipeline of this file's own: it is to be the same afterwards."""
    # Else the allocator keeps what was let go of, and a leak could not be told from that.
    env = {"PIPELINE_SCRAPE_SECONDS": "5", "MALLOC_MMAP_THRESHOLD_": "131072"}
    found = RunningPipeline(tmp_path_factory.mktemp("hostile") / "state", env)
    try:
        found.wait_until_up()
        yield found
    finally:
        found.stop()


@pytest.fixture(scope="module")
def contracts(pipeline: RunningPipeline) -> dict[str, Contract]:
    """Return the services."""
    names = ("orchestrator", "scraper", "chunking", "embedding-api", "search")
    return {name: Contract(pipeline, name) for name in names}


@pytest.fixture
def key(pipeline: RunningPipeline) -> str:
    """Return the key of a caller that only this test has."""
    return new_key(pipeline)


@pytest.fixture(autouse=True)
def unharmed(pipeline: RunningPipeline) -> Iterator[None]:
    """Have no process ended, no worker's child lost, and no error of ours logged."""
    before = _family(pipeline)
    yield
    assert _family(pipeline) == before
    for name in ("orchestrator", "scraper", "chunking", "embedding-api", "search"):
        assert not [one for one in pipeline.lines(name) if "exception" in one]


def _family(pipeline: RunningPipeline) -> dict[str, list[int]]:
    """Return every process of ours with its children; a PostgreSQL has ever others."""
    pids = {name: one["pid"] for name, one in pipeline.description()["services"].items()}
    return {
        name: [pid, *sorted(child.pid for child in psutil.Process(pid).children())]
        for name, pid in pids.items()
    }


Endpoint = tuple[str, str, dict[str, Any], str]
"""A service, a path, a good body, and the field that is spoilt."""

_ENDPOINTS: list[Endpoint] = [
    ("orchestrator", "/jobs", {"url": "http://site.test/", "corpus_name": "x"}, "corpus_name"),
    ("scraper", "/scrape", {"url": "http://site.test/", "job_id": "x"}, "job_id"),
    ("chunking", "/chunk", {"content": "x", "job_id": "x"}, "content"),
    ("search", "/search", {"query": "x"}, "query"),
]
_BODIES: dict[str, tuple[Callable[[dict[str, Any], str], bytes], set[int]]] = {
    "invalid UTF-8": (lambda body, field: _with(body, field, b'"\xff\xfe\xc0"'), {400}),
    "a null byte": (lambda body, field: _with(body, field, b'"a\\u0000b"'), {422}),
    "half a surrogate": (lambda body, field: _with(body, field, b'"\\ud800"'), {422}),
    "deep JSON": (
        lambda body, field: _with(body, field, b'{"a":' * _DEEP + b"1" + b"}" * _DEEP),
        {400},
    ),
    "not a number": (lambda body, field: _with(body, field, b"NaN"), {422}),
    "no JSON": (lambda body, _: repr(body).encode(), {422}),
    "nothing": (lambda _body, _field: b"", {422}),
    "a list": (lambda body, _: json.dumps([body]).encode(), {422}),
    "50 MB": (lambda body, field: _with(body, field, b'"' + b"x" * 50_000_000 + b'"'), {413}),
}


def _with(body: dict[str, Any], field: str, value: bytes) -> bytes:
    """Return the body as JSON, with a value that need not be one."""
    return json.dumps({**body, field: "@@"}).encode().replace(b'"@@"', value)


@pytest.mark.parametrize("kind", _BODIES)
@pytest.mark.parametrize("endpoint", _ENDPOINTS, ids=lambda one: one[0])
def test_a_hostile_body_is_refused(
    contracts: dict[str, Contract], key: str, endpoint: Endpoint, kind: str
) -> None:
    """Every service that callers reach answers each with a documented 4xx."""
    service, path, body, field = endpoint
    make, statuses = _BODIES[kind]
    if kind == "a null byte" and field == "content":
        statuses = {200, 422}  # a text may have one dropped
    answer = contracts[service].call(
        "POST", path, key=key, content=make(body, field), headers=_JSON
    )
    assert answer.status_code in statuses, answer.text[:200]


@pytest.mark.parametrize(
    "url",
    [
        "http://user:secret@site.test/",
        "file:///etc/passwd",
        "gopher://site.test/",
        "ftp://site.test/",
        "javascript:alert(1)",
        "http://",
        "http:///path",
        "http://site.test:99999/",
        "http://site.test/\n",
        "http://" + "a" * 5000,
        "//site.test/",
    ],
)
def test_a_url_that_is_no_page_is_422(contracts: dict[str, Contract], key: str, url: str) -> None:
    """Refused when it is submitted, with its place, and without repeating a password."""
    for service, path in (("orchestrator", "/jobs"), ("scraper", "/scrape")):
        answer = contracts[service].call("POST", path, key=key, json={"url": url})
        assert answer.status_code == 422, (service, answer.text)
        assert answer.json()["detail"][0]["loc"] == ["body", "url"]
        assert "secret" not in answer.text


def _outcome(contract: Contract, key: str, url: str) -> tuple[str, str | None]:
    """Return how a job with this page ends, and with which code."""
    body = {"url": url, "corpus_name": f"hostile-{key[:8]}"}
    submitted = contract.call("POST", "/jobs", key=key, json=body)
    assert submitted.status_code == 202, submitted.text
    job_id = submitted.json()["job_id"]

    def look() -> dict[str, Any] | None:
        job: dict[str, Any] = contract.call("GET", "/jobs/{job_id}", f"/jobs/{job_id}", key).json()
        return job if job["status"] in {"done", "failed"} else None

    job = poll_until(look, f"the end of the job with {url}", 60)
    return job["status"], (job["error"] or {}).get("code")


_PAGES = {
    "blank": ("done", None),
    "empty": ("done", None),
    "one-word": ("done", None),
    "one-line?bytes=20000000": ("failed", "too_large"),
    "bomb": ("failed", "too_large"),
    "pdf": ("failed", "unsupported_content_type"),
    "loop": ("failed", "too_many_redirects"),
    "private/page": ("failed", "robots_denied"),
    "redirect?to=http://169.254.169.254/latest/": ("failed", "address_refused"),
    "redirect?to=file:///etc/passwd": ("failed", "invalid_url"),
}


@pytest.mark.req("P-06")
@pytest.mark.parametrize("page", _PAGES)
def test_a_hostile_page_ends_its_job(
    pipeline: RunningPipeline, contracts: dict[str, Contract], key: str, page: str
) -> None:
    """The job is done, with what text there was, or failed with a code that says why."""
    nonce = f"{'&' if '?' in page else '?'}nonce={secrets.token_hex(8)}"
    url = f"{pipeline.url('site')}/{page}{'' if 'redirect' in page else nonce}"
    assert _outcome(contracts["orchestrator"], key, url) == _PAGES[page]


@pytest.mark.req("P-06")
@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:169.254.169.254]/",
        "http://2852039166/",
        "http://0xa9fea9fe/",
        "http://10.0.0.1/",
        "http://[::1]/",
        "http://0.0.0.0/",
    ],
)
def test_an_inner_address_is_refused(contracts: dict[str, Contract], key: str, url: str) -> None:
    """However it is written: the job fails, and nobody was called."""
    found = _outcome(contracts["orchestrator"], key, url)
    assert found == ("failed", "address_refused")


def test_memory_does_not_grow(pipeline: RunningPipeline, contracts: dict[str, Contract]) -> None:
    """Thirty rounds of bodies and pages of which one kept each time would be 90 MB.

    What may stay is bounded: libpq keeps for each connection the room of its largest message.
    """

    def rounds(count: int) -> None:
        service, path, body, field = _ENDPOINTS[0]
        for _ in range(count):
            own = new_key(pipeline)
            for kind in ("deep JSON", "50 MB", "invalid UTF-8"):
                content = _BODIES[kind][0](body, field)
                contracts[service].call("POST", path, key=own, content=content, headers=_JSON)
            url = f"{pipeline.url('site')}/one-line?bytes=3000000&nonce={secrets.token_hex(8)}"
            assert _outcome(contracts[service], own, url) == ("done", None)

    def memory() -> dict[str, float]:
        return {
            f"{name} {pid}": psutil.Process(pid).memory_full_info().uss / 1e6
            for name, family in _family(pipeline).items()
            for pid in family
        }

    rounds(10)
    before = memory()
    rounds(30)
    grown = {name: round(after - before[name], 1) for name, after in memory().items()}
    assert max(grown.values()) < 60, grown
