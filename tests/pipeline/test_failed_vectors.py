"""A job that has failed has no vectors, whatever its tasks have written and whenever."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest

from pipeline.celery_app import EMBED_TASK, QUEUES, make
from pipeline.mark import Mark
from pipeline.settings import Settings
from pipeline.testing import poll_until

if TYPE_CHECKING:
    import httpx

    from pipeline.testing import RunningPipeline

pytestmark = [pytest.mark.process, pytest.mark.req("P-02", "P-08")]


@pytest.fixture
def database(running: RunningPipeline) -> Iterator[psycopg.Connection[Any]]:
    """Return a connection to the pipeline's database that commits each statement."""
    url = running.description()["servers"]["postgres"]["url"]
    with psycopg.connect(url, autocommit=True) as found:
        yield found


@pytest.fixture
def failed(running: RunningPipeline, database: psycopg.Connection[Any]) -> str:
    """Return a job that has failed and has the vectors of another."""
    good = running.submit("article").job_id
    job_id = running.submit("blocked").job_id
    assert running.ended(good)["status"] == "done"
    assert running.ended(job_id)["status"] == "failed"
    database.execute("UPDATE vectors SET job_id = %s WHERE job_id = %s", (job_id, good))
    assert count(database, job_id) > 0
    return job_id


def count(database: psycopg.Connection[Any], job_id: str) -> int:
    """Return how many vectors a job has."""
    return len(database.execute("SELECT 1 FROM vectors WHERE job_id = %s", (job_id,)).fetchall())


def report(running: RunningPipeline, job_id: str, **told: Any) -> httpx.Response:
    """Report of the stage `embedding` as its worker does."""
    return running.client.post(
        f"{running.url('orchestrator')}/jobs/{job_id}/complete",
        json={"callback_id": str(uuid4()), "stage": "embedding", "status": "success", **told},
        headers=running.key("service"),
    )


@pytest.mark.parametrize("told", [{}, {"status": "failed", "error_code": "inference_unavailable"}])
def test_a_report_of_a_failed_job_has_its_vectors_removed(
    running: RunningPipeline,
    database: psycopg.Connection[Any],
    failed: str,
    told: dict[str, str],
) -> None:
    """Of a beginning, an end, a failure: the answer says what has become of the job."""
    answer = report(running, failed, **told)
    assert answer.json() == {"status": "already_advanced", "job_status": "failed"}
    assert count(database, failed) == 0


def test_a_store_that_is_away_is_said_to_who_reports(
    running: RunningPipeline, database: psycopg.Connection[Any], failed: str
) -> None:
    """He makes his report again, until they are gone."""
    database.execute("ALTER TABLE vectors RENAME TO elsewhere")
    try:
        answer = report(running, failed)
    finally:
        database.execute("ALTER TABLE elsewhere RENAME TO vectors")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert "vector_store_unavailable" in answer.json()["detail"]
    assert report(running, failed).is_success
    assert count(database, failed) == 0


def test_a_task_that_is_delivered_again_writes_nothing(
    running: RunningPipeline, database: psycopg.Connection[Any], failed: str
) -> None:
    """The job has failed meanwhile; what an earlier delivery wrote goes too."""
    told = {"corpus_name": "late", "source_url": "http://site.test", "chunks": ["a", "b"]}
    broker = running.description()["servers"]["broker"]["url"]
    with make(Settings("test", {"PIPELINE_BROKER_URL": broker})) as app:
        app.send_task(
            EMBED_TASK,
            kwargs={"job_id": failed, **told},
            queue=QUEUES[EMBED_TASK],
            headers=Mark().task_headers(),
        )

    def over() -> bool:
        return any(
            (line["event"], line.get("job_id")) == ("job_ended_already", failed)
            for line in running.lines("embedding-worker")
        )

    poll_until(over, "the end of the task")
    assert count(database, failed) == 0
