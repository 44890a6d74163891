"""The contract matrix of 000 §4 and the checklist of 000 §3, against the running services.

Each test names its row. What needs a limit or a proxy is in the pipeline of this file, which has
low limits and believes a proxy on this machine; every test has a caller of its own.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest

from pipeline import text
from pipeline.testing import RunningPipeline, poll_until
from tests.pipeline.contracts import Contract, new_key, revoke

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.process, pytest.mark.req("P-03")]

RATE = 30
DEPTH = 20


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPipeline]:
    """Return a pipeline with low limits and a proxy that it believes."""
    env = {
        "PIPELINE_RATE_LIMIT": f"{RATE}/minute",
        "PIPELINE_TRUSTED_PROXIES": "127.0.0.1",
        "PIPELINE_MAX_QUEUE_DEPTH": str(DEPTH),
        "PIPELINE_SCRAPE_SECONDS": "1.5",
        "PIPELINE_BREAKER_SECONDS": "1",
    }
    found = RunningPipeline(tmp_path_factory.mktemp("contracts") / "state", env)
    try:
        found.wait_until_up()
        yield found
    finally:
        found.stop()


@pytest.fixture(scope="module")
def orchestrator(pipeline: RunningPipeline) -> Contract:
    """Return the orchestrator."""
    return Contract(pipeline, "orchestrator")


@pytest.fixture(scope="module")
def scraper(pipeline: RunningPipeline) -> Contract:
    """Return the scraper."""
    return Contract(pipeline, "scraper")


@pytest.fixture(scope="module")
def chunking(pipeline: RunningPipeline) -> Contract:
    """Return the chunking service."""
    return Contract(pipeline, "chunking")


@pytest.fixture(scope="module")
def embedding(pipeline: RunningPipeline) -> Contract:
    """Return the embedding service."""
    return Contract(pipeline, "embedding-api")


@pytest.fixture(scope="module")
def search(pipeline: RunningPipeline) -> Contract:
    """Return the search service."""
    return Contract(pipeline, "search")


@pytest.fixture
def key(pipeline: RunningPipeline) -> str:
    """Return the key of a caller that only this test has."""
    return new_key(pipeline)


@pytest.fixture
def service_key(pipeline: RunningPipeline) -> str:
    """Return the key of the pipeline's own services."""
    return pipeline.key("service")["X-API-Key"]


@pytest.fixture
def page(pipeline: RunningPipeline) -> Callable[[str], str]:
    """Return how to name a page of the site that nobody else has visited."""
    urls = pipeline.description()["urls"]
    return lambda name: f"{urls[name]}?nonce={secrets.token_hex(8)}"


def _ended(orchestrator: Contract, job_id: str, key: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        path = f"/jobs/{job_id}"
        job: dict[str, Any] = orchestrator.call("GET", "/jobs/{job_id}", path, key).json()
        return job if job["status"] in {"done", "failed"} else None

    return poll_until(look, f"the end of job {job_id}", 20)


def _complete(
    orchestrator: Contract, job_id: str, key: str | None, **given: Any
) -> tuple[int, dict[str, Any]]:
    report = {
        "callback_id": "test:1",
        "stage": "scraping",
        "status": "failed",
        "error_code": "test_error",
        **given.pop("report", {}),
    }
    path = f"/jobs/{job_id}/complete"
    answer = orchestrator.call("POST", "/jobs/{job_id}/complete", path, key, json=report, **given)
    return answer.status_code, answer.json()


class TestSubmit:
    """`POST /jobs`."""

    def test_valid_key_valid_payload(
        self, orchestrator: Contract, key: str, page: Callable[[str], str]
    ) -> None:
        """202, body contains job_id and status: pending."""
        answer = orchestrator.call("POST", "/jobs", key=key, json={"url": page("article")})
        assert answer.status_code == 202
        assert answer.json()["status"] == "pending"
        assert answer.json()["job_id"] == answer.json()["id"]

    def test_no_key(self, orchestrator: Contract) -> None:
        """401."""
        body = {"url": "http://site.test/"}
        assert orchestrator.call("POST", "/jobs", json=body).status_code == 401

    def test_invalid_key(self, orchestrator: Contract) -> None:
        """401."""
        body = {"url": "http://site.test/"}
        assert orchestrator.call("POST", "/jobs", key="nobody's", json=body).status_code == 401

    def test_missing_url(self, orchestrator: Contract, key: str) -> None:
        """422, which says what is missing."""
        answer = orchestrator.call("POST", "/jobs", key=key, json={})
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"] == ["body", "url"]

    def test_the_same_again_and_another_under_its_id(
        self, orchestrator: Contract, key: str, page: Callable[[str], str]
    ) -> None:
        """A client's own job_id: the same payload again is 200, another 409."""
        body = {"url": page("blocked"), "job_id": str(uuid4())}
        first = orchestrator.call("POST", "/jobs", key=key, json=body)
        again = orchestrator.call("POST", "/jobs", key=key, json=body)
        other = orchestrator.call("POST", "/jobs", key=key, json={**body, "corpus_name": "other"})
        assert [one.status_code for one in (first, again, other)] == [202, 200, 409]
        assert again.json()["id"] == first.json()["id"] == body["job_id"]


class TestJobs:
    """`GET /jobs/{id}` and `GET /jobs/`."""

    def test_existing_job(
        self, orchestrator: Contract, key: str, page: Callable[[str], str]
    ) -> None:
        """200, body matches job schema; all four states come before done."""
        body = {"url": page("article"), "corpus_name": f"corpus-{key[:8]}"}
        submitted = orchestrator.call("POST", "/jobs", key=key, json=body).json()
        job = _ended(orchestrator, submitted["job_id"], key)
        passed = [entry["status"] for entry in job["history"]]
        assert passed == ["pending", "scraping", "chunking", "embedding", "done"]
        assert (job["error"], job["failed_stage"]) == (None, None)

    def test_non_existent_job(self, orchestrator: Contract, key: str) -> None:
        """404."""
        path = f"/jobs/{uuid4()}"
        assert orchestrator.call("GET", "/jobs/{job_id}", path, key).status_code == 404

    def test_a_caller_sees_its_own_jobs_only(
        self, pipeline: RunningPipeline, orchestrator: Contract, page: Callable[[str], str]
    ) -> None:
        """200, array of jobs for caller_id only; somebody else's job is 404."""
        mine, yours = new_key(pipeline), new_key(pipeline)
        job = orchestrator.call("POST", "/jobs", key=mine, json={"url": page("blocked")}).json()
        listed = orchestrator.call("GET", "/jobs/", key=mine).json()
        assert [(one["id"], one["caller_id"]) for one in listed] == [
            (job["id"], f"caller-{mine[:8]}")
        ]
        assert orchestrator.call("GET", "/jobs/", key=yours).json() == []
        path = f"/jobs/{job['id']}"
        assert orchestrator.call("GET", "/jobs/{job_id}", path, yours).status_code == 404

    def test_a_page_that_refuses_fails_the_job(
        self, orchestrator: Contract, key: str, page: Callable[[str], str]
    ) -> None:
        """status: failed, failed_stage: scraping, and the error's four fields."""
        submitted = orchestrator.call("POST", "/jobs", key=key, json={"url": page("blocked")})
        job = _ended(orchestrator, submitted.json()["job_id"], key)
        assert (job["status"], job["failed_stage"]) == ("failed", "scraping")
        assert set(job["error"]) == {"stage", "code", "message", "at"}
        assert (job["error"]["stage"], job["error"]["code"]) == ("scraping", "http_403")

    def test_the_caller_is_in_the_record_and_the_audit_log(
        self,
        pipeline: RunningPipeline,
        orchestrator: Contract,
        key: str,
        page: Callable[[str], str],
    ) -> None:
        """caller_id appears in the job record and in audit log entries; the key nowhere."""
        job = orchestrator.call("POST", "/jobs", key=key, json={"url": page("blocked")}).json()
        whose = f"caller-{key[:8]}"
        assert job["caller_id"] == whose

        def look() -> list[dict[str, Any]]:
            lines = pipeline.lines("orchestrator")
            return [
                one for one in lines if one["event"] == "audit" and one.get("job_id") == job["id"]
            ]

        (line, *_) = poll_until(look, "an audit line of the job")
        assert (line["action"], line["caller_id"]) == ("submit_job", whose)
        for log in (pipeline.state / "logs").glob("*.log"):
            assert key not in log.read_text(errors="replace")


class TestComplete:
    """`POST /jobs/{id}/complete`."""

    @pytest.fixture
    def job_id(self, orchestrator: Contract, key: str, page: Callable[[str], str]) -> str:
        """Return a job that is still being scraped."""
        answer = orchestrator.call("POST", "/jobs", key=key, json={"url": page("slow")})
        return str(answer.json()["job_id"])

    def test_service_key_internal_address_and_the_same_again(
        self, orchestrator: Contract, key: str, job_id: str, service_key: str
    ) -> None:
        """200; the same stage twice is 200 and changes nothing."""
        first = _complete(orchestrator, job_id, service_key)
        assert first == (200, {"status": "advanced", "job_status": "failed"})
        path = f"/jobs/{job_id}"
        job = orchestrator.call("GET", "/jobs/{job_id}", path, key).json()
        second = _complete(orchestrator, job_id, service_key)
        assert second == (200, {"status": "already_advanced", "job_status": "failed"})
        other = _complete(orchestrator, job_id, service_key, report={"callback_id": "test:2"})
        assert other == second
        assert orchestrator.call("GET", "/jobs/{job_id}", path, key).json() == job

    @pytest.mark.req("P-04")
    def test_service_key_external_address(
        self, orchestrator: Contract, job_id: str, service_key: str
    ) -> None:
        """403: the proxy that is believed says that the caller comes from outside."""
        headers = {"X-Forwarded-For": "203.0.113.9"}
        assert _complete(orchestrator, job_id, service_key, headers=headers)[0] == 403
        headers = {"X-Forwarded-For": "10.0.0.1, 203.0.113.9"}  # the first is what a client claims
        assert _complete(orchestrator, job_id, service_key, headers=headers)[0] == 403
        headers = {"X-Forwarded-For": "203.0.113.9, 10.0.0.1"}
        assert _complete(orchestrator, job_id, service_key, headers=headers)[0] == 200

    @pytest.mark.req("P-04")
    def test_user_key(self, orchestrator: Contract, key: str, job_id: str) -> None:
        """403."""
        assert _complete(orchestrator, job_id, key)[0] == 403
        assert _complete(orchestrator, job_id, None)[0] == 401

    def test_no_such_job(self, orchestrator: Contract, service_key: str) -> None:
        """404."""
        assert _complete(orchestrator, str(uuid4()), service_key)[0] == 404

    def test_no_stage_is_skipped(
        self, orchestrator: Contract, job_id: str, service_key: str
    ) -> None:
        """409."""
        skipped = {"stage": "embedding"}
        assert _complete(orchestrator, job_id, service_key, report=skipped)[0] == 409


@pytest.mark.req("H-04")
@pytest.mark.parametrize(
    ("service", "asked"),
    [
        ("orchestrator", {"cache", "membership", "postgres", "broker", "chunking"}),
        ("scraper", {"cache", "membership"}),
        ("chunking", {"cache", "membership"}),
        ("embedding-api", {"cache", "membership", "vectors", "inference"}),
        ("search", {"cache", "membership", "vectors", "embedding-api"}),
    ],
)
def test_health(pipeline: RunningPipeline, service: str, asked: set[str]) -> None:
    """`GET /health`: 200 without a key; what each dependency answered, and after how long."""
    contract = Contract(pipeline, service)
    answer = contract.call("GET", "/health")
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")
    found = answer.json()["dependencies"]
    assert set(found) >= asked
    assert all(0 < one["seconds"] < 1 for one in found.values())
    assert contract.call("GET", "/ready").json() == {"ready": True, "missing": []}


class TestScraper:
    """`POST /scrape`."""

    def test_reachable_url(self, scraper: Contract, key: str, page: Callable[[str], str]) -> None:
        """200, body contains content."""
        answer = scraper.call("POST", "/scrape", key=key, json={"url": page("article")})
        assert answer.status_code == 200
        assert len(answer.json()["content"].split()) >= 5000

    def test_url_returns_403(self, scraper: Contract, key: str, page: Callable[[str], str]) -> None:
        """200 from the scraper, with error_code: http_403."""
        answer = scraper.call("POST", "/scrape", key=key, json={"url": page("blocked")})
        assert (answer.status_code, answer.json()["error_code"]) == (200, "http_403")

    def test_url_times_out(self, scraper: Contract, key: str, page: Callable[[str], str]) -> None:
        """504, body mentions /enqueue."""
        answer = scraper.call("POST", "/scrape", key=key, json={"url": page("slow")})
        assert (answer.status_code, answer.json()["error_code"]) == (504, "timeout")
        assert "/enqueue" in answer.json()["detail"]


@pytest.mark.req("P-09")
class TestEnqueue:
    """`POST /enqueue`, of the scraper and of the embedding service."""

    def test_scrape_queue_not_full(
        self, scraper: Contract, key: str, page: Callable[[str], str]
    ) -> None:
        """202, body contains job_id and status: queued; its caller is told the outcome."""
        answer = scraper.call("POST", "/enqueue", key=key, json={"url": page("article")})
        assert (answer.status_code, answer.json()["status"]) == (202, "queued")
        path = f"/enqueue/{answer.json()['job_id']}"

        def look() -> dict[str, Any] | None:
            told: dict[str, Any] = scraper.call("GET", "/enqueue/{job_id}", path, key).json()
            return told if told["status"] != "queued" else None

        told = poll_until(look, "the outcome of the task")
        assert (told["status"], len(told["content"].split()) >= 5000) == ("done", True)

    def test_scrape_queue_at_its_depth(
        self, pipeline: RunningPipeline, scraper: Contract, key: str, page: Callable[[str], str]
    ) -> None:
        """429, Retry-After header present; once there is room again it is taken."""
        assert pipeline.command("stop", "scraper-worker").returncode == 0
        try:
            order = {"url": page("blocked")}
            found = [
                scraper.call("POST", "/enqueue", key=key, json=order) for _ in range(DEPTH + 1)
            ]
            taken = [one for one in found if one.status_code == 202]
            # Tasks of other tests may wait there, too.
            assert 0 < len(taken) <= DEPTH
            assert {one.status_code for one in found[len(taken) :]} == {429}
            assert int(found[-1].headers["Retry-After"]) >= 1
        finally:
            assert pipeline.command("start", "scraper-worker").returncode == 0

        def look() -> bool:
            return scraper.call("POST", "/enqueue", key=key, json=order).status_code == 202

        poll_until(look, "room in the queue")

    def test_embed_queue_not_full(self, embedding: Contract, service_key: str) -> None:
        """202 with the service key; 403 with a user's."""
        body = {"job_id": str(uuid4()), "corpus_name": "contract", "chunks": ["A chunk."]}
        answer = embedding.call("POST", "/enqueue", key=service_key, json=body)
        assert (answer.status_code, answer.json()["status"]) == (202, "queued")

    def test_embed_user_key(self, embedding: Contract, key: str) -> None:
        """403."""
        body = {"job_id": str(uuid4()), "corpus_name": "contract", "chunks": ["A chunk."]}
        assert embedding.call("POST", "/enqueue", key=key, json=body).status_code == 403


class TestChunking:
    """`POST /chunk`."""

    @pytest.mark.parametrize("words", [5000, 80_000])
    def test_documents(self, chunking: Contract, key: str, words: int) -> None:
        """200, ordered chunks, each within the token limit; about 17 and about 244 of them."""
        content = "\n\n".join(text.paragraphs(words, seed=7))
        answer = chunking.call("POST", "/chunk", key=key, json={"content": content})
        found = answer.json()["chunks"]
        assert [one["index"] for one in found] == list(range(len(found)))
        assert max(one["tokens"] for one in found) <= 400
        expected = 17 if words == 5000 else 244
        assert expected * 0.9 <= len(found) <= expected * 1.1

    def test_empty_content(self, chunking: Contract, key: str) -> None:
        """200, body contains an empty chunks array."""
        answer = chunking.call("POST", "/chunk", key=key, json={"content": ""})
        assert (answer.status_code, answer.json()["chunks"]) == (200, [])


class TestEmbedding:
    """`POST /embed`."""

    def test_valid_chunks_and_the_same_again(
        self, pipeline: RunningPipeline, embedding: Contract, service_key: str
    ) -> None:
        """200, vectors written; submitted again there is one row per chunk id."""
        job_id = str(uuid4())
        chunks = [f"Chunk {at} of {job_id}." for at in range(3)]
        body = {"job_id": job_id, "corpus_name": "contract", "chunks": chunks}
        for _ in range(2):
            answer = embedding.call("POST", "/embed", key=service_key, json=body)
            assert (answer.status_code, answer.json()["written"]) == (200, 3)
        database = pipeline.description()["servers"]["postgres"]["url"]
        with psycopg.connect(database) as connection:
            rows = connection.execute(
                "SELECT id, content FROM vectors WHERE job_id = %s ORDER BY id", (job_id,)
            ).fetchall()
        assert [content for _, content in rows] == chunks
        assert len({chunk_id for chunk_id, _ in rows}) == 3

    @pytest.mark.req("P-04")
    def test_user_key(self, embedding: Contract, key: str) -> None:
        """403: only services write."""
        body = {"job_id": str(uuid4()), "corpus_name": "contract", "chunks": ["x"]}
        assert embedding.call("POST", "/embed", key=key, json=body).status_code == 403


class TestSearch:
    """`POST /search`."""

    def test_indexed_corpus(
        self, orchestrator: Contract, search: Contract, key: str, page: Callable[[str], str]
    ) -> None:
        """200, results with chunk_id, text, score, source_url."""
        body = {"url": page("article"), "corpus_name": f"corpus-{key[:8]}"}
        job = orchestrator.call("POST", "/jobs", key=key, json=body).json()
        _ended(orchestrator, job["job_id"], key)
        asked = {"query": "the nonce of the article", "corpus_name": body["corpus_name"]}
        found = search.call("POST", "/search", key=key, json=asked).json()["results"]
        assert found
        assert set(found[0]) == {"chunk_id", "text", "score", "source_url"}
        assert found[0]["source_url"] == body["url"]
        scores = [one["score"] for one in found]
        assert scores == sorted(scores, reverse=True)

    def test_unknown_corpus(self, search: Contract, key: str) -> None:
        """200, empty results array."""
        asked = {"query": "anything", "corpus_name": f"unknown-{key[:8]}"}
        answer = search.call("POST", "/search", key=key, json=asked)
        assert (answer.status_code, answer.json()["results"]) == (200, [])

    def test_no_key(self, search: Contract) -> None:
        """401."""
        assert search.call("POST", "/search", json={"query": "anything"}).status_code == 401


@pytest.mark.req("P-05")
class TestLimits:
    """The checklist's limits."""

    @pytest.mark.parametrize(
        ("service", "path", "body"),
        [
            ("orchestrator", "/jobs", {"url": "http://127.0.0.1:1/", "job_id": "{uuid}"}),
            ("chunking", "/chunk", {"content": ""}),
            ("search", "/search", {"query": "x", "corpus_name": "none"}),
        ],
    )
    def test_too_many_calls(
        self, pipeline: RunningPipeline, key: str, service: str, path: str, body: dict[str, str]
    ) -> None:
        """429 with X-RateLimit-Remaining: 0, and limit_req_status: REJECTED in the access log."""
        contract = Contract(pipeline, service)
        fixed = {name: value.replace("{uuid}", str(uuid4())) for name, value in body.items()}
        passed = [contract.call("POST", path, key=key, json=fixed) for _ in range(RATE)]
        assert [one.headers["X-RateLimit-Remaining"] for one in passed] == [
            str(left) for left in reversed(range(RATE))
        ]
        refused = contract.call("POST", path, key=key, json=fixed)
        assert (refused.status_code, refused.headers["X-RateLimit-Remaining"]) == (429, "0")
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        whose = f"caller-{key[:8]}"

        def look() -> list[dict[str, Any]]:
            lines = [one for one in pipeline.lines(service) if one["event"] == "access"]
            return [one for one in lines if one["status"] == 429 and one["caller_id"] == whose]

        (line,) = poll_until(look, "the access log's line")
        assert (line["limit_req_status"], line["uri"]) == ("REJECTED", path)


@pytest.mark.req("P-08")
def test_inference_that_is_down_fails_the_job(
    pipeline: RunningPipeline, orchestrator: Contract, key: str, page: Callable[[str], str]
) -> None:
    """status: failed, failed_stage: embedding, after five retries, and nothing is written."""
    assert pipeline.command("stop", "inference").returncode == 0
    try:
        submitted = orchestrator.call("POST", "/jobs", key=key, json={"url": page("article")})
        job = _ended(orchestrator, submitted.json()["job_id"], key)
    finally:
        assert pipeline.command("start", "inference").returncode == 0
    assert (job["status"], job["failed_stage"]) == ("failed", "embedding")
    assert job["error"]["code"] == "inference_unavailable"
    retried = [one for one in pipeline.lines("embedding-worker") if one["event"] == "embed_retried"]
    assert [one["job_id"] for one in retried].count(job["id"]) == 5
    database = pipeline.description()["servers"]["postgres"]["url"]
    with psycopg.connect(database) as connection:
        rows = connection.execute("SELECT 1 FROM vectors WHERE job_id = %s", (job["id"],))
        assert rows.fetchall() == []


@pytest.mark.req("P-04")
def test_membership_that_is_down_opens_the_breaker(
    pipeline: RunningPipeline, orchestrator: Contract, key: str
) -> None:
    """Five failures are 503 each; then 503 without a call; known keys are served; it recovers."""
    assert orchestrator.call("GET", "/jobs/", key=key).status_code == 200
    assert pipeline.command("stop", "membership").returncode == 0
    try:
        unknown = [orchestrator.call("GET", "/jobs/", key=secrets.token_hex(8)) for _ in range(6)]
        assert [one.status_code for one in unknown] == [503] * 6
        assert "cannot be asked" in unknown[4].json()["detail"]
        assert "is not asked for a while" in unknown[5].json()["detail"]
        assert int(unknown[5].headers["Retry-After"]) >= 1
        assert orchestrator.call("GET", "/jobs/", key=key).status_code == 200
        assert 'circuit_breaker_state{breaker="membership"} 2.0' in pipeline.metrics("orchestrator")
        health = orchestrator.call("GET", "/health").json()
        assert health["dependencies"]["membership"]["status"] == "failed"
    finally:
        assert pipeline.command("start", "membership").returncode == 0

    def look() -> bool:
        return orchestrator.call("GET", "/jobs/", key="nobody's").status_code == 401

    poll_until(look, "an answer of Membership")
    changes = [
        (one["from_state"], one["to_state"])
        for one in pipeline.lines("orchestrator")
        if one["event"] == "circuit_breaker_state_change" and one["breaker"] == "membership"
    ]
    assert changes[0] == ("closed", "open")
    assert changes[-2:] == [("open", "half_open"), ("half_open", "closed")]


@pytest.mark.req("P-04")
@pytest.mark.slow
def test_a_revoked_key_is_refused_within_65_seconds(
    pipeline: RunningPipeline, orchestrator: Contract
) -> None:
    """Revoked keys return 401 within 60 seconds of revocation; five more are the test's."""
    key = new_key(pipeline)
    assert orchestrator.call("GET", "/jobs/", key=key).status_code == 200
    revoke(pipeline, key)

    def look() -> bool:
        return orchestrator.call("GET", "/jobs/", key=key).status_code == 401

    assert not look()
    poll_until(look, "the refusal of a revoked key", 65)
