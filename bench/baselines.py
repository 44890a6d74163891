"""The nine baselines of 000 §8, on a running reference pipeline, side by side with their targets.

All of it over HTTP as a caller has it, but for the auth cache, whose hit is measured as the
dependency alone as well. The site stands for a remote one: its latency is a sleep, and what it
costs is told apart.
"""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import uuid4

import httpx

from bench.figures import Figure, percentile
from pipeline import text
from pipeline.testing import RunningPipeline

LATENCY = 1.7
"""Seconds of the page's sleep: what a real page takes, so that scraping it takes about 2 s."""
_ENV = {
    "PIPELINE_RATE_LIMIT": "1000000/minute",
    "OTEL_TRACES_EXPORTER": "none",
    "OTEL_LOGS_EXPORTER": "none",
}
_MS = 1000.0


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The running pipeline as one caller sees it; `share` of all calls are made."""

    running: RunningPipeline
    client: httpx.Client
    share: float

    def call(self, service: str, path: str, whose: str = "user", **body: object) -> httpx.Response:
        """Post to a service."""
        url = f"{self.running.url(service)}{path}"
        answer = self.client.post(url, json=body, headers=self.running.key(whose))
        answer.raise_for_status()
        return answer

    def page(self, latency: float) -> str:
        """Return the URL of the standard page, seen by nobody yet."""
        urls = self.running.description()["urls"]
        return f"{urls['article']}?nonce={secrets.token_hex(8)}&latency={latency}"

    def timed(self, count: int, call: Callable[[], object], warm: int = 3) -> list[float]:
        """Return the seconds of so many calls, after some that do not count."""
        found = []
        for number in range(max(1, round(count * self.share)) + warm):
            began = time.perf_counter()
            call()
            if number >= warm:
                found.append(time.perf_counter() - began)
        return found


def measure() -> Iterator[Figure]:
    """Measure the nine."""
    return measured({}, 1.0)


def measured(env: Mapping[str, str], share: float) -> Iterator[Figure]:
    """Start a pipeline with more variables, measure with a share of the calls, and end it."""
    with tempfile.TemporaryDirectory(prefix="bench-baselines-") as folder:
        running = RunningPipeline(Path(folder) / "state", {**_ENV, **env})
        try:
            running.wait_until_up()
            with httpx.Client(timeout=30, trust_env=False) as client:
                pipeline = Pipeline(running, client, share)
                for part in (_submission, _scraping, _chunking, _embedding, _whole, _search, _auth):
                    yield from part(pipeline)
        finally:
            running.stop()


def _figure(name: str, seconds: Sequence[float], share: float, bound: float, how: str) -> Figure:
    """Return a baseline; the target stands in the name, what is promised is the bound."""
    told = f"{len(seconds)} calls one after the other, the slowest {max(seconds) * _MS:.1f} ms"
    value = percentile(seconds, share) * _MS
    return Figure(name, value, "ms", f"{told}; {how}", bound=bound)


def _submission(pipeline: Pipeline) -> Iterator[Figure]:
    seconds = []
    for _ in range(max(1, round(100 * pipeline.share))):
        page = pipeline.page(0)
        began = time.perf_counter()
        job = pipeline.call("orchestrator", "/jobs", url=page).json()
        seconds.append(time.perf_counter() - began)
        pipeline.running.ended(job["job_id"], "user")
    how = "POST /jobs; each when the job before has ended: no queue pressure"
    yield _figure("B-1 submission, P99 (target 100 ms)", seconds, 0.99, 50, how)


def _scraping(pipeline: Pipeline) -> Iterator[Figure]:
    def scrape(latency: float) -> Callable[[], object]:
        return lambda: pipeline.call("scraper", "/scrape", url=pipeline.page(latency))

    real = pipeline.timed(10, scrape(LATENCY), warm=1)
    how = f"POST /scrape of 5,000 words; {LATENCY:g} s of it are the page's sleep"
    yield _figure("B-2 scraping, P50 (target 2,000 ms)", real, 0.5, 2000, how)
    own = pipeline.timed(30, scrape(0))
    how = "the same without the sleep"
    yield _figure("B-2 scraping without the site's latency, P50", own, 0.5, 300, how)


def _chunking(pipeline: Pipeline) -> Iterator[Figure]:
    for name, words, count, target in (
        ("B-3 chunking 5,000 words", 5_000, 100, 200),
        ("B-4 chunking 80,000 words", 80_000, 20, 2_000),
    ):
        content = "\n\n".join(text.paragraphs(words, seed=words))
        chunk = partial(pipeline.call, "chunking", "/chunk", content=content)
        seconds = pipeline.timed(count, chunk)
        how = f"POST /chunk of {len(content):,} characters"
        yield _figure(f"{name}, P99 (target {target:,} ms)", seconds, 0.99, target / 2, how)


def _embedding(pipeline: Pipeline) -> Iterator[Figure]:
    def embed(chunks: Callable[[], list[str]]) -> Callable[[], object]:
        return lambda: pipeline.call(
            "embedding-api",
            "/embed",
            "service",
            job_id=str(uuid4()),
            corpus_name="bench",
            source_url="http://site.test/",
            chunks=chunks(),
        )

    made = [_chunks(seed) for seed in range(63)]  # before, for it takes time
    left = iter(made)
    new = pipeline.timed(60, embed(lambda: next(left)))
    how = "POST /embed of 17 chunks that nobody has embedded before"
    yield _figure("B-5 embedding 17 chunks, P50 (target 50 ms)", new, 0.5, 50, how)
    known = pipeline.timed(60, embed(lambda: made[0]))
    how = "the same chunks again, of another document"
    yield _figure("B-5 embedding 17 chunks from the cache, P50", known, 0.5, 50, how)


def _chunks(seed: int) -> list[str]:
    return [" ".join(text.words(300, seed=1_000 * seed + at)) for at in range(17)]


def _whole(pipeline: Pipeline) -> Iterator[Figure]:
    for name, latency, count, bound in (
        ("B-6 whole pipeline, P50 (target 2,500 ms)", LATENCY, 8, 2_500),
        ("B-6 whole pipeline without the site's latency, P50", 0.0, 20, 800),
    ):
        seconds = pipeline.timed(count, partial(_run, pipeline, latency), warm=1)
        how = "from submission to done, as its caller sees it"
        yield _figure(name, seconds, 0.5, bound, how)


def _run(pipeline: Pipeline, latency: float) -> None:
    job = pipeline.call("orchestrator", "/jobs", url=pipeline.page(latency)).json()
    ended = pipeline.running.ended(job["job_id"], "user", seconds=30)
    if ended["status"] != "done":
        raise RuntimeError(f"the job was not done: {ended['error']}")


def _search(pipeline: Pipeline) -> Iterator[Figure]:
    asked = {"query": "what does the article say of the river?", "corpus_name": "default"}
    seconds = pipeline.timed(200, lambda: pipeline.call("search", "/search", "user", **asked))
    rows = len(pipeline.call("search", "/search", "user", **asked, limit=100).json()["results"])
    how = f"POST /search with an indexed corpus, of which {rows} chunks are asked for at most"
    yield _figure("B-7 search, P99 (target 200 ms)", seconds, 0.99, 100, how)


def _auth(pipeline: Pipeline) -> Iterator[Figure]:
    running, client = pipeline.running, pipeline.client
    url = f"{running.url('orchestrator')}/jobs/"

    def get(key: str) -> None:
        client.get(url, headers={"X-API-Key": key}).raise_for_status()

    keys = [_granted(running, client) for _ in range(53)]  # three of them for nothing
    left = iter(keys)
    miss = pipeline.timed(50, lambda: get(next(left)))
    how = "the first GET /jobs/ with a new key, Membership's answer and an empty list included"
    yield _figure("B-8 auth, cache miss, P99 (target 30 ms)", miss, 0.99, 30, how)
    hit = pipeline.timed(200, lambda: get(keys[0]))
    empty = pipeline.timed(200, lambda: client.get(f"{running.url('orchestrator')}/live"))
    how = "GET /jobs/ with a known key, an empty list included"
    yield _figure("B-9 auth, cache hit, as a request, P50", hit, 0.5, 50, how)
    yield _figure("B-9 a request beside it without a key (GET /live), P50", empty, 0.5, 50, "alone")
    yield from _alone(running)


def _alone(running: RunningPipeline) -> Iterator[Figure]:
    """Measure what the pipeline itself measured: the look at the cache, of each request above."""
    name, labels = "auth_duration_seconds", 'cache="hit",traffic="user"'
    page = running.metrics("orchestrator")
    total = _value(page, f"{name}_sum{{{labels}}}")
    count = _value(page, f"{name}_count{{{labels}}}")
    within = _value(page, f'{name}_bucket{{cache="hit",le="0.002",traffic="user"}}')
    share = f"{within / count:.1%} took at most 2 ms"
    how = f"mean of {count:.0f} looks, as the orchestrator has measured them; {share}"
    value = total / count * _MS
    yield Figure("B-9 auth, cache hit, mean (target 2 ms)", value, "ms", how, bound=2)


def _value(page: str, sample: str) -> float:
    (line,) = [one for one in page.splitlines() if one.startswith(sample)]
    return float(line.rpartition(" ")[2])


def _granted(running: RunningPipeline, client: httpx.Client) -> str:
    key = secrets.token_hex(16)
    caller = {"caller_id": key[:8], "role": "user", "may_mark": False}
    url = f"{running.url('membership')}/keys"
    client.post(url, json={"key": key, **caller}).raise_for_status()
    return key
