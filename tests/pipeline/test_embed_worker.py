"""The embed task: what it reports, when it is run again, and what it leaves when it fails."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import uuid4

import httpx
import pytest
import structlog
from celery import Celery
from opentelemetry import context
from psycopg_pool import ConnectionPool
from redis import Redis
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from pipeline import metrics
from pipeline.celery_app import EMBED_TASK
from pipeline.enqueued import Enqueued, Register, forget_run
from pipeline.mark import Mark, in_context
from pipeline.services import stubs
from pipeline.settings import Settings
from pipeline.workers import embed
from pipeline.workers.base import Child, Holder
from tests.pipeline import local

pytestmark = [pytest.mark.process, pytest.mark.req("P-08", "P-01")]

CHUNKS = [f"chunk {number}" for number in range(40)]
NOBODY = "redis://127.0.0.1:9/0"
_USER = Mark()


_BESIDE = {"circuit_breaker_state_change", "report_retried", "enqueued_ended"}


@dataclass
class Orchestrator:
    """What takes reports in the orchestrator's place, and answers them as it is told to."""

    reports: list[dict[str, Any]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    job_status: str = "embedding"
    before: list[Callable[[], object]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take a report."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        self.reports.append(json.loads(await request.body()))
        if self.before:
            self.before.pop(0)()
        status = self.statuses.pop(0) if self.statuses else 200
        answer: Response = JSONResponse(
            {"status": "advanced", "job_status": self.job_status}, status
        )
        await answer(scope, receive, send)

    def said(self) -> list[tuple[str, str, str | None]]:
        """Return the steps that were reported, with their results."""
        return [
            (one["callback_id"].rpartition(":")[2], one["status"], one.get("error_code"))
            for one in self.reports
        ]


@dataclass
class Scene:
    """A worker's child in this process, and what is around it."""

    orchestrator: Orchestrator
    inference: str
    pool: ConnectionPool
    redis: Redis
    settings: Settings
    app: Celery
    lines: list[dict[str, Any]]

    def run(self, *, chunks: list[str] | None = None, mark: Mark = _USER, **told: Any) -> str:
        """Run the task of a job to its end, all attempts of it; return the job's id."""
        told = {"job_id": str(uuid4()), **told}
        token = context.attach(in_context(mark))
        try:
            self.app.tasks[EMBED_TASK].apply(
                kwargs={
                    "corpus_name": "corpus",
                    "source_url": "http://site.test",
                    "chunks": CHUNKS if chunks is None else chunks,
                    **told,
                },
                headers=mark.task_headers(),
            )
        finally:
            context.detach(token)
        return str(told["job_id"])

    def rows(self) -> list[str]:
        """Return the texts that have vectors."""
        with self.pool.connection() as connection:
            found = connection.execute("SELECT content FROM vectors ORDER BY id").fetchall()
        return [row[0] for row in found]

    def events(self) -> list[str]:
        """Return what was logged."""
        found = [line["event"] for line in self.lines]
        return [one for one in found if one not in _BESIDE]


@contextmanager
def logged() -> Iterator[list[dict[str, Any]]]:
    """Collect the log lines of the block."""
    lines: list[dict[str, Any]] = []

    def keep(_logger: Any, _name: str, line: Any) -> Any:
        lines.append(dict(line))
        raise structlog.DropEvent

    structlog.configure(processors=[keep], wrapper_class=structlog.stdlib.BoundLogger)
    try:
        yield lines
    finally:
        structlog.reset_defaults()


@pytest.fixture(scope="module")
def inference() -> Iterator[str]:
    """Return the URL of an inference stub."""
    with local.served(stubs.inference(Settings("inference", {}))) as url:
        yield url


@pytest.fixture
def scene(
    inference: str, redis: Redis, redis_url: str, no_vectors: ConnectionPool
) -> Iterator[Scene]:
    """Return a child whose tasks are run at once, and that waits for nothing between attempts."""
    assert redis.dbsize() == 0
    local.behave(inference, "ok")
    orchestrator = Orchestrator()
    with local.served(orchestrator) as url, logged() as lines:
        env = {
            **local.ENV,
            "PIPELINE_ORCHESTRATOR_URL": url,
            "PIPELINE_INFERENCE_URL": inference,
            "PIPELINE_DATABASE_URL": str(no_vectors.conninfo),
            "PIPELINE_CACHE_URL": redis_url,
        }
        settings = Settings("embedding-worker", env)
        with httpx.Client(trust_env=False) as client:
            holder = Holder(Child(settings, metrics.build(settings), client, redis))
            app = Celery("test", broker="memory://", set_as_current=False)
            logging.getLogger("celery").setLevel(logging.CRITICAL)
            opened: list[embed.Tools] = []
            embed.register(app, holder, settings, opened)
            yield Scene(orchestrator, inference, no_vectors, redis, settings, app, lines)
            for tools in opened:
                tools.close()
            app.close()


def test_a_document_is_embedded_and_reported(scene: Scene) -> None:
    """First that it has begun, then that it is done; all vectors are there."""
    scene.run()
    assert scene.orchestrator.said() == [("started", "success", None), ("final", "success", None)]
    assert scene.rows() == CHUNKS
    assert scene.events() == ["embedded"]


def test_a_server_that_comes_back_costs_attempts_and_nothing_else(scene: Scene) -> None:
    """Twice out of order: the third attempt ends the job as if nothing had been."""
    local.behave(scene.inference, "http_503", times=2)
    scene.run()
    assert scene.orchestrator.said()[-1] == ("final", "success", None)
    assert len({one["callback_id"] for one in scene.orchestrator.reports}) == 2
    assert scene.events().count("embed_retried") == 2
    assert len(scene.rows()) == len(CHUNKS)


@pytest.mark.parametrize(
    ("mode", "code", "attempts", "requests"),
    [
        ("http_500", "inference_unavailable", 6, 5),  # the sixth finds the circuit breaker open
        ("nan", "inference_invalid", 6, 6),
        ("http_422", "inference_refused", 1, 1),
    ],
)
def test_a_job_fails_with_the_code_of_what_was_wrong(
    scene: Scene, mode: str, code: str, attempts: int, requests: int
) -> None:
    """After five attempts more, or at once where none would end better; nothing is written."""
    before, _ = local.counts(scene.inference)
    local.behave(scene.inference, mode)
    scene.run()
    assert scene.orchestrator.said()[-1] == ("final", "failed", code)
    assert scene.events() == ["embed_retried"] * (attempts - 1) + ["embed_failed"]
    failed = scene.lines[-1]
    assert (failed["failed_stage"], failed["error_code"]) == ("embedding", code)
    assert scene.rows() == []
    assert local.counts(scene.inference)[0] - before == requests


def test_a_chunk_that_cannot_be_embedded_fails_the_job_at_once(scene: Scene) -> None:
    """It says which one, and what is wrong with it."""
    scene.run(chunks=["fine", "nul \0"])
    report = scene.orchestrator.reports[-1]
    assert (report["status"], report["error_code"]) == ("failed", "chunk_unfit")
    assert "chunk 1 has the character NUL" in report["error_message"]
    assert scene.rows() == []


def test_a_store_that_is_down_fails_the_job_in_the_end(
    scene: Scene, no_vectors: ConnectionPool
) -> None:
    """The attempts are as many as for the inference server; the vectors come from the cache."""
    with no_vectors.connection() as connection:
        connection.execute("ALTER TABLE vectors RENAME TO elsewhere")
    try:
        scene.run()
    finally:
        with no_vectors.connection() as connection:
            connection.execute("ALTER TABLE elsewhere RENAME TO vectors")
    assert scene.orchestrator.said()[-1] == ("final", "failed", "vector_store_unavailable")


def test_vectors_of_a_job_that_is_gone_are_taken_back(scene: Scene) -> None:
    """The orchestrator does not know the job any more when its end is reported."""
    scene.orchestrator.statuses = [200, 404]
    scene.run()
    assert scene.rows() == []
    assert scene.events() == ["embedded", "job_gone"]


def test_vectors_of_a_job_that_is_gone_are_taken_back_when_the_store_is_there_again(
    scene: Scene, no_vectors: ConnectionPool
) -> None:
    """The task is kept until they are: it would be a dead letter that nobody misses."""

    def renamed(old: bytes, new: bytes) -> None:
        with no_vectors.connection() as connection:
            connection.execute(b"ALTER TABLE " + old + b" RENAME TO " + new)

    scene.orchestrator.before = [
        lambda: renamed(b"vectors", b"elsewhere"),
        lambda: renamed(b"elsewhere", b"vectors"),
    ]
    scene.orchestrator.statuses = [404, 404]
    scene.run()
    assert scene.orchestrator.said() == [("started", "success", None)] * 2
    assert scene.events() == ["job_gone"]


@pytest.mark.parametrize("ended", ["failed", "done"])
def test_a_job_that_has_ended_is_left_as_it_is(scene: Scene, ended: str) -> None:
    """A task that is delivered again embeds nothing: the orchestrator says that it is too late."""
    before = local.counts(scene.inference)
    scene.orchestrator.job_status = ended
    scene.run()
    assert scene.orchestrator.said() == [("started", "success", None)]
    assert scene.rows() == []
    assert scene.events() == ["job_ended_already"]
    assert local.counts(scene.inference) == before


def test_a_child_whose_cache_is_away_embeds_all_the_same(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first task opens what it works with: nothing asks the cache whether it is there."""
    monkeypatch.setitem(cast("dict[str, str]", scene.settings.env), "PIPELINE_CACHE_URL", NOBODY)
    scene.run()
    assert scene.orchestrator.said()[-1] == ("final", "success", None)
    assert len(scene.rows()) == len(CHUNKS)


def enqueued(scene: Scene, mark: Mark = _USER) -> tuple[Register, str]:
    """Have a task of nobody's job in the register."""
    register, job_id = Register(scene.redis, "embedding-api"), str(uuid4())
    register.begin(job_id, Enqueued("anna", "digest", run_id=mark.run_id or ""))
    register.published(job_id)
    return register, job_id


def test_what_was_enqueued_and_fails_leaves_no_vectors(scene: Scene) -> None:
    """Neither those that it had before: it was delivered again."""
    register, job_id = enqueued(scene)
    scene.run(job_id=job_id, sink="cache")
    assert len(scene.rows()) == len(CHUNKS)
    register, job_id = enqueued(scene)
    with scene.pool.connection() as connection:
        connection.execute("UPDATE vectors SET job_id = %s", (job_id,))
    local.behave(scene.inference, "http_422")
    scene.run(job_id=job_id, sink="cache", chunks=["another"])
    found = register.get(job_id)
    assert found
    assert found.status == "failed"
    assert scene.rows() == []


def test_what_was_enqueued_and_cleaned_up_leaves_no_vectors(scene: Scene) -> None:
    """Its run's entries are gone: the task in hand takes back what it wrote, a later one too."""
    own = Mark("synthetic", "run-1")
    _, job_id = enqueued(scene, own)
    forget_run(scene.redis, "run-1")
    scene.run(job_id=job_id, sink="cache", mark=own)
    assert scene.rows() == []
    assert scene.events() == ["job_gone"]


@pytest.mark.parametrize("statuses", [[503], [200, 503], [200, 503, 409, 500]])
def test_reports_that_are_not_taken_are_made_again(scene: Scene, statuses: list[int]) -> None:
    """Without end, and under the same ids; the document is there once."""
    scene.orchestrator.statuses = statuses
    scene.run()
    assert scene.orchestrator.said()[-1] == ("final", "success", None)
    assert len(scene.rows()) == len(CHUNKS)


def test_a_failure_that_is_not_taken_is_reported_again(scene: Scene) -> None:
    """A job whose failure nobody heard of would stay where it is for ever."""
    local.behave(scene.inference, "http_422")
    scene.orchestrator.statuses = [200, 503]
    scene.run()
    assert scene.orchestrator.said()[1] == ("final", "failed", "inference_refused")
    assert scene.orchestrator.said()[-1] == ("final", "failed", "inference_refused")
    assert len(scene.orchestrator.reports) == 4
