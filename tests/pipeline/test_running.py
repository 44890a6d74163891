"""The running pipeline: its processes, the way of a job, its answers, its telemetry."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import jsonschema
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipeline.host import layout
from pipeline.testing import Submitted, poll_until
from tests.pipeline import local
from tests.pipeline.sites import always, site, whole

if TYPE_CHECKING:
    from pipeline.testing import RunningPipeline

pytestmark = pytest.mark.process

_STAGES = ["pending", "scraping", "chunking", "embedding", "done"]


@pytest.fixture(scope="module")
def article(running: RunningPipeline) -> Submitted:
    """Return a synthetic job of the standard article, done and with its spans exported."""
    job = running.submit("article", run_id="run-article")
    assert running.ended(job.job_id)["status"] == "done"
    running.wait_for_span(job.trace_id, "run/embedding.embed_task")
    return job


def _children(spans: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    """Return the joints of a trace: the parent's service, the child's, and the child's name."""
    known = {span["context"]["span_id"]: span for span in spans}
    return {
        (_service(known[span["parent_id"]]), _service(span), span["name"])
        for span in spans
        if span["parent_id"] in known
    }


def _service(span: dict[str, Any]) -> str:
    return str(span["resource"]["attributes"]["service.name"])


def _count(page: str, sample: str, **labels: str) -> float:
    return sum(
        found.value
        for family in text_string_to_metric_families(page)
        for found in family.samples
        if found.name == sample and labels.items() <= found.labels.items()
    )


def _waiting(connection: psycopg.Connection[Any]) -> int:
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0


@pytest.mark.req("P-01")
def test_every_process_is_described_and_healthy(running: RunningPipeline) -> None:
    """pipeline.json describes all processes, and each web service answers for itself."""
    services = running.description()["services"]
    assert set(services) == set(layout.ALL)
    assert len({found["pid"] for found in services.values()}) == len(layout.ALL)
    for name in layout.SERVICES:
        answer = running.client.get(f"{running.url(name)}/health").json()
        assert answer["service"] == services[name]["service_name"]
        assert answer["instance"] == services[name]["instance"]
    workers = {services[name]["service_name"] for name in layout.WORKERS}
    assert workers == {"scraper", "embedding-api"}


@pytest.mark.req("P-01")
def test_environment_file_names_what_a_target_needs(running: RunningPipeline) -> None:
    """pipeline.env has the URLs, keys and pages of metrics, as pipeline.json says them."""
    text = (running.state / "pipeline.env").read_text()
    found = dict(line.split("=", 1) for line in text.splitlines())
    description = running.description()
    assert found["PIPELINE_ORCHESTRATOR_URL"] == running.url("orchestrator")
    assert found["PIPELINE_VALIDATOR_KEY"] == description["keys"]["validator"]
    for name in (*layout.SERVICES, *layout.WORKERS):
        variable = f"PIPELINE_{name.upper().replace('-', '_')}_METRICS_URL"
        assert found[variable] == description["services"][name]["metrics_url"]
    assert (running.state / "pipeline.env").stat().st_mode & 0o077 == 0


@pytest.mark.req("P-02")
def test_job_goes_through_its_stages_in_order(running: RunningPipeline, article: Submitted) -> None:
    """A good job passes every state once, in order, and ends without an error."""
    job = running.job(article.job_id)
    assert [entry["status"] for entry in job["history"]] == _STAGES
    assert (job["failed_stage"], job["error"]) == (None, None)
    assert job["id"] == job["job_id"] == article.job_id
    assert 16 <= job["chunks"] <= 18


@pytest.mark.req("P-02")
@pytest.mark.parametrize("page", ["blocked", "flaky-blocked"])
def test_refused_page_fails_the_job(running: RunningPipeline, page: str) -> None:
    """A page that answers 403 fails the job in scraping, at once or at the second attempt."""
    job = running.ended(running.submit(page).job_id)
    assert (job["status"], job["failed_stage"]) == ("failed", "scraping")
    assert set(job["error"]) == {"stage", "code", "message", "at"}
    assert job["error"]["code"] == "http_403"


@pytest.mark.req("P-02")
def test_ten_callbacks_at_once_advance_once(running: RunningPipeline) -> None:
    """Of ten callbacks for one job at the same time, one advances it; a late one does nothing."""
    job = running.submit("slow")
    url = f"{running.url('orchestrator')}/jobs/{job.job_id}/complete"
    key = running.key("service")

    def report(number: int) -> str:
        body = {
            "callback_id": f"test:{number}",
            "stage": "scraping",
            "status": "failed",
            "error_code": "test_error",
        }
        return str(running.client.post(url, json=body, headers=key).json()["status"])

    database = running.description()["servers"]["postgres"]["url"]
    with ThreadPoolExecutor(10) as pool, psycopg.connect(database) as holding:
        holding.execute("SELECT 1 FROM jobs WHERE id = %s FOR UPDATE", (job.job_id,))
        reports = [pool.submit(report, number) for number in range(10)]
        with psycopg.connect(database, autocommit=True) as looking:
            # As many as the orchestrator has connections stand before the row together.
            poll_until(lambda: _waiting(looking) >= 8, "reports that wait for the row")
        holding.rollback()
        outcomes = sorted(found.result() for found in reports)
    assert outcomes == ["advanced", *["already_advanced"] * 9]
    assert report(0) == "already_advanced"
    assert running.job(job.job_id)["error"]["code"] == "test_error"


@pytest.mark.req("P-02")
def test_same_job_id_again(running: RunningPipeline) -> None:
    """The same payload under a given id is 202, then 200; another payload is 409."""
    url, key = f"{running.url('orchestrator')}/jobs", running.key("user")
    body = {"url": running.description()["urls"]["blocked"], "job_id": str(uuid4())}
    answers = [running.client.post(url, json=body, headers=key) for _ in range(2)]
    other = running.client.post(url, json={**body, "corpus_name": "other"}, headers=key)
    assert [answer.status_code for answer in (*answers, other)] == [202, 200, 409]
    assert {answer.json()["job_id"] for answer in answers} == {body["job_id"]}
    listed = running.client.get(f"{url}/", headers=key).json()
    assert [job["id"] for job in listed].count(body["job_id"]) == 1
    assert {job["caller_id"] for job in listed} == {"user"}


@pytest.mark.slow
@pytest.mark.req("P-02")
@pytest.mark.parametrize(
    ("method", "path", "whose", "body", "status"),
    [
        ("POST", "/jobs", None, {"url": "http://site.test"}, 401),
        ("POST", "/jobs", "nobody", {"url": "http://site.test"}, 401),
        ("POST", "/jobs", "user", {}, 422),
        ("GET", "/jobs/00000000-0000-4000-8000-000000000001", "user", None, 404),
        ("POST", "/jobs/00000000-0000-4000-8000-000000000002/complete", "user", {}, 422),
        ("DELETE", "/synthetic/run-x", "user", None, 403),
        ("DELETE", "/synthetic/run-x", "service", None, 403),
        ("GET", "/health", None, None, 200),
    ],
)
def test_orchestrator_refuses_what_it_must(  # noqa: PLR0917 - a table
    running: RunningPipeline,
    method: str,
    path: str,
    whose: str | None,
    body: dict[str, str] | None,
    status: int,
) -> None:
    """Each request of the table is answered with its status."""
    headers = {"X-API-Key": "nobody's"} if whose == "nobody" else {}
    if whose in {"user", "service"}:
        headers = running.key(whose)
    url = f"{running.url('orchestrator')}{path}"
    assert running.client.request(method, url, json=body, headers=headers).status_code == status


@pytest.mark.req("P-02")
def test_only_services_report_and_no_stage_is_skipped(
    running: RunningPipeline, article: Submitted
) -> None:
    """A user's key may not complete a job, and a report that skips a stage is refused."""
    base = f"{running.url('orchestrator')}/jobs"
    report = {"callback_id": "x", "stage": "embedding", "status": "success"}
    done = f"{base}/{article.job_id}/complete"
    assert running.client.post(done, json=report, headers=running.key("user")).status_code == 403
    slow = f"{base}/{running.submit('slow').job_id}/complete"
    skipped = running.client.post(slow, json=report, headers=running.key("service"))
    assert skipped.status_code == 409


@pytest.mark.req("P-10")
def test_good_job_is_one_connected_trace(running: RunningPipeline, article: Submitted) -> None:
    """All spans of a job are in the trace that was asked for, joined over HTTP and queues."""
    spans = running.spans(article.trace_id)
    ids = {span["context"]["span_id"] for span in spans}
    roots = [span for span in spans if span["parent_id"] not in ids]
    assert [root["name"] for root in roots] == ["POST /jobs"]
    assert {
        ("orchestrator", "scraper", "run/scraper.scrape_task"),
        ("scraper", "orchestrator", "POST /jobs/{job_id}/complete"),
        ("orchestrator", "chunking", "POST /chunk"),
        ("orchestrator", "embedding-api", "run/embedding.embed_task"),
        ("embedding-api", "orchestrator", "POST /jobs/{job_id}/complete"),
    } <= _children(spans)
    elsewhere = [
        span["name"]
        for span in running.spans()
        if span["attributes"].get("job.id") == article.job_id and span not in spans
    ]
    assert elsewhere == []


@pytest.mark.req("P-10")
def test_scrape_task_has_its_attributes(running: RunningPipeline, article: Submitted) -> None:
    """The scrape task's span has the required attributes, with the right values and types."""
    (span,) = [s for s in running.spans(article.trace_id) if s["name"] == "scrape_task"]
    found = span["attributes"]
    assert found["job.id"] == article.job_id
    assert found["job.url"].endswith(f"/article?nonce={article.nonce}")
    assert (found["job.stage"], found["queue.name"]) == ("scraping", "scrape")
    assert (found["request.mode"], found["task.attempt"]) == ("async", 1)


@pytest.mark.req("P-10")
def test_own_spans_carry_the_job_and_all_carry_the_mark(
    running: RunningPipeline, article: Submitted
) -> None:
    """Each span of the pipeline's own has the job's id; every span has the mark of the run."""
    spans = running.spans(article.trace_id)
    own = [span for span in spans if span["kind"] == "SpanKind.INTERNAL"]
    assert len(own) >= 9
    assert {span["attributes"].get("job.id") for span in own} == {article.job_id}
    for span in spans:
        assert span["attributes"]["traffic"] == "synthetic", span["name"]
        assert span["attributes"]["obs_validator.run_id"] == "run-article", span["name"]


@pytest.mark.req("P-10")
@pytest.mark.parametrize(
    "process", ["orchestrator", "scraper-worker", "chunking", "embedding-worker"]
)
def test_log_lines_carry_trace_job_and_mark(
    running: RunningPipeline, article: Submitted, process: str
) -> None:
    """A job's lines have its ids and mark, on stdout and in what is exported."""

    def of_job() -> list[dict[str, Any]]:
        records = [record["attributes"] for record in running.records(process)]
        return [found for found in records if found.get("job_id") == article.job_id]

    records = poll_until(of_job, f"the exported logs of {process}")
    lines = [line for line in running.lines(process) if line.get("job_id") == article.job_id]
    assert len(lines) == len(records)
    for found in (*lines, *records):
        assert found["trace_id"] == article.trace_id
        assert int(found["span_id"], 16)
        assert (found["traffic"], found["obs_validator.run_id"]) == ("synthetic", "run-article")


@pytest.mark.req("P-10")
def test_user_traffic_is_marked_as_such_whatever_it_claims(running: RunningPipeline) -> None:
    """The mark of a key that may not mark is on no span, no log line, no metric and no job."""
    marked = {"status": "submitted", "traffic": "synthetic"}
    before = _count(running.metrics("orchestrator"), "jobs_total", **marked)
    job = running.submit("article", run_id="forged", whose="user")
    assert running.ended(job.job_id, "user")["traffic"] == "user"
    for span in running.wait_for_span(job.trace_id, "run/embedding.embed_task"):
        assert span["attributes"]["traffic"] == "user"
        assert "obs_validator.run_id" not in span["attributes"]
    for line in running.lines("scraper-worker"):
        assert line.get("job_id") != job.job_id or line["traffic"] == "user"
    assert _count(running.metrics("orchestrator"), "jobs_total", **marked) == before


@pytest.mark.req("P-10")
def test_nothing_of_ours_leaves_for_the_sites(running: RunningPipeline, article: Submitted) -> None:
    """The site that is scraped sees no trace context, no baggage, no mark and no key."""
    url = f"{running.url('site')}/seen?nonce={article.nonce}"
    (visit,) = running.client.get(url).json()["visits"]
    assert set(visit) <= {"host", "accept", "accept-encoding", "connection", "user-agent"}
    assert article.trace_id not in str(visit)


@pytest.mark.req("P-10")
def test_metrics_count_the_job_by_its_traffic(running: RunningPipeline) -> None:
    """One synthetic job counts once under that label, on each page that speaks of jobs."""
    samples: dict[str, list[tuple[str, dict[str, str]]]] = {
        "orchestrator": [("jobs_total", {"status": "done"}), ("job_duration_seconds_count", {})],
        "scraper-worker": [("scrape_response_size_bytes_count", {})],
        "chunking": [("chunk_duration_seconds_count", {})],
        "embedding-worker": [
            ("embed_batch_size_count", {}),
            ("embedding_request_duration_seconds_count", {"operation": "write"}),
        ],
    }

    def counts() -> list[float]:
        return [
            _count(running.metrics(service), name, traffic="synthetic", **labels)
            for service, wanted in samples.items()
            for name, labels in wanted
        ]

    # Queues keep their order: when this job has ended, so have all before it.
    running.ended(running.submit("article").job_id)
    before = counts()
    running.ended(running.submit("article").job_id)
    assert counts() == [value + 1 for value in before]


@pytest.mark.req("P-01", "P-08")
def test_search_finds_the_article_and_reads_a_vector(
    running: RunningPipeline, article: Submitted
) -> None:
    """Search finds a job's text in its corpus, and embedding-api counts a read."""
    before = _count(
        running.metrics("embedding-api"),
        "embedding_request_duration_seconds_count",
        operation="read",
    )
    url, key = f"{running.url('search')}/search", running.key("user")
    body = {"query": f"Nonce {article.nonce}.", "corpus_name": f"corpus-{article.nonce}"}
    hits = running.client.post(url, json=body, headers=key).json()["results"]
    assert len(hits) == 5
    assert all(set(hit) == {"chunk_id", "text", "score", "source_url"} for hit in hits)
    assert [hit["score"] for hit in hits] == sorted((hit["score"] for hit in hits), reverse=True)
    assert all(hit["chunk_id"].startswith(article.job_id) for hit in hits)
    empty = running.client.post(url, json={"query": "x", "corpus_name": "none"}, headers=key)
    assert empty.json() == {"results": []}
    assert running.client.post(url, json=body).status_code == 401
    after = running.metrics("embedding-api")
    name = "embedding_request_duration_seconds_count"
    assert _count(after, name, operation="read") == before + 2


@pytest.mark.req("P-07")
def test_whitepaper_has_its_chunks(running: RunningPipeline) -> None:
    """80,000 words go the whole way and have about 244 chunks."""
    job = running.ended(running.submit("whitepaper").job_id)
    assert job["status"] == "done"
    assert 220 <= job["chunks"] <= 268


@pytest.mark.req("P-10")
def test_large_document_leaves_no_context_to_the_next_job(running: RunningPipeline) -> None:
    """After a large body on a kept connection, the next job's trace is its own and whole."""
    running.ended(running.submit("whitepaper").job_id)
    job = running.submit("article")
    running.ended(job.job_id)
    running.wait_for_span_of_job(job.job_id, "embed_task")
    spans = [s for s in running.spans() if s["attributes"].get("job.id") == job.job_id]
    assert {span["context"]["trace_id"] for span in spans} == {f"0x{job.trace_id}"}
    reports = [span for span in spans if span["name"] == "POST /jobs/{job_id}/complete"]
    assert {span["kind"] for span in reports} == {"SpanKind.SERVER"}


@pytest.mark.req("P-08")
def test_same_chunks_again_are_one_row_each(running: RunningPipeline) -> None:
    """Chunks that are embedded twice are stored once."""
    url, key = f"{running.url('embedding-api')}/embed", running.key("service")
    body = {"job_id": str(uuid4()), "corpus_name": "twice", "chunks": ["a", "b", "c"]}
    for _ in range(2):
        assert running.client.post(url, json=body, headers=key).json() == {"written": 3}
    database = running.description()["servers"]["postgres"]["url"]
    with psycopg.connect(database) as connection:
        rows = connection.execute("SELECT id FROM vectors WHERE corpus_name = 'twice'").fetchall()
    assert len(rows) == 3
    assert running.client.post(url, json=body, headers=running.key("user")).status_code == 403


@pytest.mark.req("P-08")
def test_job_outlives_an_inference_server_that_comes_back(running: RunningPipeline) -> None:
    """Twice out of order: the task is run again, and the job is done with all its vectors."""
    local.behave(running.url("inference"), "http_503", times=2)
    job = running.submit("article", run_id="comes-back")
    ended = running.ended(job.job_id)
    assert ended["status"] == "done"
    retried = [
        line
        for line in running.lines("embedding-worker")
        if line["event"] == "embed_retried" and line["job_id"] == job.job_id
    ]
    assert [line["error_code"] for line in retried] == ["inference_unavailable"] * 2
    with psycopg.connect(running.description()["servers"]["postgres"]["url"]) as connection:
        rows = connection.execute(
            "SELECT traffic, run_id FROM vectors WHERE job_id = %s", (job.job_id,)
        ).fetchall()
    assert rows == [("synthetic", "comes-back")] * ended["chunks"]


@pytest.mark.req("P-01")
def test_a_page_that_was_embedded_before_is_not_asked_for_again(
    running: RunningPipeline, article: Submitted
) -> None:
    """Of the same article only what differs goes to the inference server; all of it is measured."""
    assert article.job_id

    def counts() -> tuple[int, float, float]:
        page = running.metrics("embedding-worker")
        name = "embedding_cache_requests_total"
        _, texts = local.counts(running.url("inference"))
        return (
            texts,
            _count(page, name, operation="write", result="hit", traffic="synthetic"),
            _count(page, name, operation="write", result="miss", traffic="synthetic"),
        )

    texts, hits, misses = counts()
    job = running.ended(running.submit("article").job_id)
    after = counts()
    asked = after[0] - texts
    assert 1 <= asked <= 3
    assert (after[1] - hits, after[2] - misses) == (job["chunks"] - asked, asked)


@pytest.mark.req("P-06", "P-01")
def test_scraper_answers_while_one_waits(running: RunningPipeline) -> None:
    """The scraper's API gives a page's text, or the code of its refusal."""
    url, key = f"{running.url('scraper')}/scrape", running.key("user")
    pages = running.description()["urls"]
    good = running.client.post(url, json={"url": pages["article"]}, headers=key)
    assert good.json()["words"] > 5_000
    refused = running.client.post(url, json={"url": pages["blocked"]}, headers=key)
    assert (refused.status_code, refused.json()["error_code"]) == (200, "http_403")
    gone = running.client.post(url, json={"url": "http://127.0.0.1:9/"}, headers=key)
    assert (gone.status_code, gone.json()["error_code"]) == (502, "unreachable")
    assert "/enqueue" in gone.json()["detail"]
    schema = running.client.get(f"{running.url('scraper')}/openapi.json").json()
    for answer in (good, refused, gone):
        where = f"#/paths/~1scrape/post/responses/{answer.status_code}/content/application~1json"
        jsonschema.validate(answer.json(), {**schema, "$ref": f"{where}/schema"})


@pytest.mark.req("P-06")
@pytest.mark.slow
def test_scraper_waits_no_longer_than_it_may(running: RunningPipeline) -> None:
    """A page that takes too long is 504, which names /enqueue."""
    url, key = f"{running.url('scraper')}/scrape", running.key("user")
    page = f"{running.url('site')}/slow?seconds=14"
    late = running.client.post(url, json={"url": page}, headers=key, timeout=20)
    assert (late.status_code, late.json()["error_code"]) == (504, "timeout")
    assert "/enqueue" in late.json()["detail"]


@pytest.mark.slow
@pytest.mark.req("P-06")
@pytest.mark.parametrize(
    ("path", "chunks", "code"),
    [
        ("/empty", 0, None),
        ("/blank", 0, None),
        ("/private/page", None, "robots_denied"),
        ("/redirect?to=http://169.254.169.254/", None, "address_refused"),
        ("/one-line", None, "too_large"),
        ("/pdf", None, "unsupported_content_type"),
    ],
)
def test_odd_pages_end_their_jobs(
    running: RunningPipeline, path: str, chunks: int | None, code: str | None
) -> None:
    """A page with nothing in it is done without chunks; one that is not had fails with its code."""
    body = {"url": f"{running.url('site')}{path}"}
    url, key = f"{running.url('orchestrator')}/jobs", running.key("user")
    before = _count(running.metrics("scraper-worker"), "scrape_errors_total", traffic="user")
    taken = running.client.post(url, json=body, headers=key).json()
    job = running.ended(taken["job_id"], "user")
    assert job["status"] == ("done" if code is None else "failed")
    assert job["chunks"] == chunks
    assert (job["error"] or {}).get("code") == code
    errors = _count(running.metrics("scraper-worker"), "scrape_errors_total", traffic="user")
    assert errors - before == (code is not None)


@pytest.mark.req("P-06")
def test_a_text_that_cannot_be_reported_fails_its_job(running: RunningPipeline) -> None:
    """A page within the limit whose JSON is too large for the orchestrator is too large."""
    quotes = whole(b'"' * 9_500_000, "Content-Type: text/plain")
    url, key = f"{running.url('orchestrator')}/jobs", running.key("user")
    with site(always(quotes)) as there:
        taken = running.client.post(url, json={"url": there.url}, headers=key).json()
        job = running.ended(taken["job_id"], "user")
    assert (job["status"], job["error"]["code"]) == ("failed", "too_large")


@pytest.mark.req("P-10")
def test_cleaning_up_removes_a_run_and_no_other(running: RunningPipeline) -> None:
    """Jobs, documents and vectors of a run go, those of others stay; twice is harmless."""
    mine, other = running.submit("article", run_id="gone"), running.submit("article", run_id="kept")
    for job in (mine, other):
        running.ended(job.job_id)
    url, key = f"{running.url('orchestrator')}/synthetic/gone", running.key("validator")
    removed = running.client.delete(url, headers=key).json()["removed"]
    assert removed == {"jobs": 1, "documents": 1, "vectors": removed["vectors"], "queued": 0}
    assert removed["vectors"] >= 16
    again = running.client.delete(url, headers=key).json()["removed"]
    assert set(again.values()) == {0}
    gone = f"{running.url('orchestrator')}/jobs/{mine.job_id}"
    assert running.client.get(gone, headers=key).status_code == 404
    assert running.job(other.job_id)["status"] == "done"


@pytest.mark.req("P-10")
def test_cleaning_up_takes_waiting_tasks_out_of_the_queue(running: RunningPipeline) -> None:
    """Tasks of a run that still wait are removed; one in hand ends without leaving anything."""
    run_id = f"queued-{secrets.token_hex(4)}"
    jobs = [running.submit("slow", run_id=run_id) for _ in range(4)]
    url, key = f"{running.url('orchestrator')}/synthetic/{run_id}", running.key("validator")
    removed = running.client.delete(url, headers=key).json()["removed"]
    assert removed["jobs"] == len(jobs)
    assert 1 <= removed["queued"] <= len(jobs)
    after = running.submit("article")
    assert running.ended(after.job_id)["status"] == "done"
    database = running.description()["servers"]["postgres"]["url"]
    with psycopg.connect(database) as connection:
        rows = connection.execute("SELECT 1 FROM vectors WHERE run_id = %s", (run_id,)).fetchall()
    assert rows == []
