"""What synthetic runs leave: removed by the run or by its age, and never brought back."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psutil
import psycopg
import pytest
import redis

from pipeline.celery_app import EMBED_TASK, QUEUES, make
from pipeline.mark import Mark
from pipeline.settings import Settings
from pipeline.testing import Submitted, poll_until

if TYPE_CHECKING:
    from pipeline.testing import RunningPipeline

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.req("V-11")]

NOTHING = {"jobs": 0, "documents": 0, "vectors": 0, "queued": 0}
AUTHENTICATION = {"GET", "GET /verify", "SET"}
"""What finds out whose a key is: in the cache, from Membership, into the cache."""


@contextmanager
def database(pipeline: RunningPipeline) -> Iterator[psycopg.Connection[Any]]:
    """Have a connection that commits each statement."""
    url = pipeline.description()["servers"]["postgres"]["url"]
    with psycopg.connect(url, autocommit=True) as found:
        yield found


def rows(pipeline: RunningPipeline, job: Submitted) -> tuple[int, int]:
    """Return how many rows of a job there are among jobs and vectors."""
    with database(pipeline) as found:
        jobs = found.execute("SELECT 1 FROM jobs WHERE id = %s", (job.job_id,)).fetchall()
        vectors = found.execute("SELECT 1 FROM vectors WHERE job_id = %s", (job.job_id,)).fetchall()
    return len(jobs), len(vectors)


def forget_keys(pipeline: RunningPipeline) -> None:
    """Have the next request ask Membership whose its key is."""
    with redis.Redis.from_url(pipeline.description()["servers"]["cache"]["url"]) as cache:
        for name in cache.scan_iter("auth:*"):
            cache.delete(name)


def age(pipeline: RunningPipeline, *jobs: Submitted) -> None:
    """Make jobs and all that is of them an hour older."""
    ids = [job.job_id for job in jobs]
    with database(pipeline) as found:
        for statement in (
            b"UPDATE jobs SET created_at = created_at - interval '1 hour' WHERE id = ANY(%s)",
            (
                b"UPDATE vectors SET created_at = created_at - interval '1 hour'"
                b" WHERE job_id = ANY(%s)"
            ),
        ):
            found.execute(statement, (ids,))


def swept(pipeline: RunningPipeline, **asked: float) -> dict[str, Any]:
    """Sweep, and return the answer."""
    answer = pipeline.client.delete(
        f"{pipeline.url('orchestrator')}/synthetic",
        params={key: str(value) for key, value in asked.items()},
        headers=pipeline.key("validator"),
    )
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def cleaned(pipeline: RunningPipeline, run_id: str) -> dict[str, int]:
    """Clean up after a run, and return the counts."""
    answer = pipeline.client.delete(
        f"{pipeline.url('orchestrator')}/synthetic/{run_id}", headers=pipeline.key("validator")
    )
    answer.raise_for_status()
    found: dict[str, int] = answer.json()["removed"]
    return found


def gone(pipeline: RunningPipeline, process: str, job: Submitted) -> bool:
    """Whether a worker has found that a job is not there any more."""
    return any(
        line["event"] == "job_gone" and line["job_id"] == job.job_id
        for line in pipeline.lines(process)
    )


@pytest.fixture
def swept_clean(running: RunningPipeline) -> RunningPipeline:
    """Return the pipeline with no leftovers of other tests that are old enough."""
    assert swept(running)["complete"]
    return running


def test_a_sweep_takes_what_is_old_and_synthetic_and_nothing_else(
    swept_clean: RunningPipeline,
) -> None:
    """An old synthetic job goes with all of it; a young one and a user's, however old, stay."""
    old = swept_clean.submit("article", run_id="dead")
    nameless = swept_clean.submit("article", run_id="")
    young = swept_clean.submit("article", run_id="alive")
    user = swept_clean.submit("article", run_id=None, whose="user")
    for job in (old, nameless, young):
        swept_clean.ended(job.job_id)
    assert swept_clean.job(nameless.job_id)["run_id"] is None
    assert swept_clean.ended(user.job_id, "user")["status"] == "done"
    age(swept_clean, old, nameless, user)
    theirs = rows(swept_clean, young), rows(swept_clean, user)
    found = swept(swept_clean, older_than=600)
    assert found == {
        "older_than": 600,
        "removed": {"jobs": 2, "documents": 2, "vectors": found["removed"]["vectors"], "queued": 0},
        "complete": True,
    }
    assert found["removed"]["vectors"] >= 32
    assert rows(swept_clean, old) == rows(swept_clean, nameless) == (0, 0)
    assert (rows(swept_clean, young), rows(swept_clean, user)) == theirs
    assert min(*theirs[0], *theirs[1]) >= 1
    assert swept(swept_clean, older_than=600)["removed"] == NOTHING


def test_a_sweep_takes_vectors_whose_job_is_gone(swept_clean: RunningPipeline) -> None:
    """Vectors that were written after their run was cleaned up go by their own age."""
    old, user = (
        swept_clean.submit("article", run_id="dead"),
        swept_clean.submit("article", run_id=None, whose="user"),
    )
    swept_clean.ended(old.job_id)
    swept_clean.ended(user.job_id, "user")
    age(swept_clean, old, user)
    with database(swept_clean) as found:
        found.execute("DELETE FROM jobs WHERE id = ANY(%s)", ([old.job_id, user.job_id],))
    theirs = rows(swept_clean, user)
    assert swept(swept_clean)["removed"]["vectors"] >= 16
    assert rows(swept_clean, old) == (0, 0)
    assert rows(swept_clean, user) == theirs
    assert theirs[1] >= 16


def test_a_sweep_takes_waiting_tasks_whose_job_is_gone(swept_clean: RunningPipeline) -> None:
    """Behind a job that takes its time: synthetic tasks without a job go, a user's is worked on."""
    jobs = [swept_clean.submit("slow", run_id="dead") for _ in range(4)]
    young = swept_clean.submit("article", run_id="alive")
    user = swept_clean.submit("article", run_id=None, whose="user")
    age(swept_clean, *jobs)
    with database(swept_clean) as found:
        found.execute("DELETE FROM jobs WHERE id = %s", (user.job_id,))
    removed = swept(swept_clean)["removed"]
    assert removed["jobs"] == len(jobs)
    assert 2 <= removed["queued"] <= len(jobs)
    assert swept_clean.ended(young.job_id)["status"] == "done"
    poll_until(lambda: gone(swept_clean, "scraper-worker", user), "the user's task worked on")


def test_a_sweep_ends_in_time_and_says_what_it_left(swept_clean: RunningPipeline) -> None:
    """With no time nothing is removed and that is said; asked again it is done."""
    job = swept_clean.submit("article", run_id="dead")
    swept_clean.ended(job.job_id)
    age(swept_clean, job)
    assert swept(swept_clean, within=1e-9) == {
        "older_than": 900,
        "removed": NOTHING,
        "complete": False,
    }
    assert rows(swept_clean, job)[0] == 1
    found = swept(swept_clean)
    assert (found["removed"]["jobs"], found["complete"]) == (1, True)


def test_a_user_that_claims_a_run_is_not_cleaned_up_with_it(running: RunningPipeline) -> None:
    """A forged mark makes a user's job, which no run's clean-up and no sweep touches."""
    run_id = f"forged-{secrets.token_hex(4)}"
    job = running.submit("article", run_id=run_id, whose="user")
    assert running.ended(job.job_id, "user")["status"] == "done"
    age(running, job)
    assert cleaned(running, run_id) == NOTHING
    swept(running)
    assert rows(running, job)[0] == 1


def test_a_redelivered_task_of_a_cleaned_job_brings_nothing_back(running: RunningPipeline) -> None:
    """The worker's child is killed with the task in hand; delivered again it leaves nothing."""
    job = running.submit("slow", run_id="killed")
    worker = running.description()["services"]["scraper-worker"]["pid"]

    def begun() -> int:
        lines = running.lines("scraper-worker")
        return sum(
            line["event"] == "scrape_started" and line.get("job_id") == job.job_id for line in lines
        )

    poll_until(begun, "the task in hand")
    assert cleaned(running, "killed")["jobs"] == 1
    for child in psutil.Process(worker).children():
        child.kill()
    poll_until(lambda: begun() == 2, "the task delivered again", 60)
    poll_until(lambda: gone(running, "scraper-worker", job), "the end of the task", 60)
    assert rows(running, job) == (0, 0)
    after = running.submit("article")
    assert running.ended(after.job_id)["status"] == "done"
    assert rows(running, job) == (0, 0)


def test_a_late_embed_task_of_a_cleaned_job_writes_nothing(running: RunningPipeline) -> None:
    """It asks before it writes."""
    job = running.submit("article", run_id="late")
    running.ended(job.job_id)
    assert cleaned(running, "late")["vectors"] >= 16
    broker = running.description()["servers"]["broker"]["url"]
    with make(Settings("test", {"PIPELINE_BROKER_URL": broker})) as app:
        app.send_task(
            EMBED_TASK,
            kwargs={
                "job_id": job.job_id,
                "corpus_name": "late",
                "source_url": "http://site.test",
                "chunks": ["a", "b"],
            },
            queue=QUEUES[EMBED_TASK],
            headers=Mark("synthetic", "late").task_headers(),
        )
    poll_until(lambda: gone(running, "embedding-worker", job), "the end of the task")
    assert rows(running, job) == (0, 0)


@pytest.mark.req("V-11", "P-10")
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("baggage", ["", "traffic=synthetic,obs_validator.run_id=mine"])
def test_what_validators_ask_for_is_marked(
    running: RunningPipeline, baggage: str, *, known: bool
) -> None:
    """Spans and log lines of leases, clean-ups and sweeps are synthetic, with the run's id.

    Not those of finding out whose a key is that comes without baggage, known by the cache or not.
    """
    url, key = running.url("orchestrator"), running.key("validator")
    run_id = f"marked-{secrets.token_hex(4)}"
    lease = {"holder": run_id, "ttl_seconds": 5}
    traces = {}
    for method, path, body in (
        ("PUT", "/lease", lease),
        ("PATCH", "/lease", lease),
        ("DELETE", f"/lease?holder={run_id}", None),
        ("DELETE", f"/synthetic/{run_id}", None),
        ("DELETE", "/synthetic", None),
    ):
        trace_id = secrets.token_hex(16)
        headers = {**key, "traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01"}
        headers |= {"baggage": baggage} if baggage else {}
        if not known:
            forget_keys(running)
        answer = running.client.request(method, f"{url}{path}", json=body, headers=headers)
        assert answer.status_code == 200
        traces[trace_id] = f"{method} {path.partition('?')[0].replace(run_id, '{run_id}')}"
    for trace_id, name in traces.items():
        spans = running.wait_for_span(trace_id, name)
        own = [span for span in spans if baggage or span["name"] not in AUTHENTICATION]
        assert {span["attributes"]["traffic"] for span in own} == {"synthetic"}, name
        ids = {span["attributes"].get("obs_validator.run_id") for span in own}
        mine = "mine" if baggage else None
        assert ids <= {run_id, mine} if "run_id" in name else ids == {mine}

    def written() -> bool:
        lines = _lines(running, set(traces))
        return len([line for line in lines if line["event"] == "access"]) == len(traces)

    poll_until(written, "the access log's lines")
    for line in _lines(running, set(traces)):
        assert line["traffic"] == "synthetic"


def _lines(pipeline: RunningPipeline, traces: set[str]) -> list[dict[str, Any]]:
    return [line for line in pipeline.lines("orchestrator") if line.get("trace_id") in traces]
