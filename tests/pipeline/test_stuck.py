"""Jobs and tasks that go on no more: found, shown, counted, and set going again."""

from __future__ import annotations

import json
import os
import signal
import socket
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from click.testing import CliRunner, Result
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from psycopg_pool import ConnectionPool
from redis import Redis

from pipeline import celery_app, clients, dead_letters, duties, gauges, jobs, lost, outbox, stuck
from pipeline.cli import pipeline
from pipeline.mark import Mark
from pipeline.outbox import Action
from pipeline.publish import publish
from pipeline.settings import Settings
from pipeline.states import Callback, Status
from pipeline.testing import poll_until
from tests.pipeline.rows import count, inserted, rows

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.process, pytest.mark.req("P-11", "H-01")]


def aged(pool: ConnectionPool, status: str, minutes: float, mark: Mark | None = None) -> UUID:
    """Insert a job that came to its status so long ago, as if its row were acted on."""
    job_id = inserted(pool, mark)
    with pool.connection() as connection:
        connection.execute(
            "UPDATE jobs SET status = %s, updated_at = now() - %s * interval '1 minute',"
            " created_at = now() - %s * interval '1 minute' WHERE id = %s",
            (status, minutes, minutes, job_id),
        )
        connection.execute(
            "UPDATE outbox SET published_at = now() - %s * interval '1 minute', publications = 1"
            " WHERE job_id = %s",
            (minutes, job_id),
        )
    return job_id


def command(pool: ConnectionPool, *arguments: str) -> Result:
    """Run a command that knows the database alone."""
    return CliRunner().invoke(
        pipeline, list(arguments), env={"PIPELINE_DATABASE_URL": str(pool.conninfo)}
    )


def test_stuck_are_those_without_an_end_or_a_change(pool: ConnectionPool) -> None:
    """000 §5: of one 45 minutes old, one of 5, and ended ones of 60, it is the first."""
    old = aged(pool, "scraping", 45)
    aged(pool, "scraping", 5)
    aged(pool, "done", 60)
    aged(pool, "failed", 60)
    oldest = aged(pool, "pending", 90, Mark("synthetic", "run-1"))
    with pool.connection() as connection:
        found = stuck.found(connection)
        assert [job.id for job in found] == [oldest, old]
        assert found[1].seconds == pytest.approx(45 * 60, abs=30)
        assert [job.id for job in stuck.found(connection, minutes=60)] == [oldest]
        assert stuck.counts(connection) == {"user": 1, "synthetic": 1}


def test_the_query_has_its_index(pool: ConnectionPool) -> None:
    """With many jobs that have ended, those that have not are found without reading the rest."""
    with pool.connection() as connection:
        connection.execute(
            "INSERT INTO jobs (id, caller_id, url, corpus_name, status, traffic, history)"
            " SELECT gen_random_uuid(), 'user', 'x', 'x', 'done', 'user', '[]'"
            " FROM generate_series(1, 2000)"
        )
        connection.execute("ANALYZE jobs")
        query = f"EXPLAIN SELECT id FROM jobs WHERE {stuck._STUCK}"  # noqa: S608 - constants
        plan = connection.execute(query.encode(), (1800,)).fetchall()
    assert any("open_jobs" in line for (line,) in plan)


def test_the_command_shows_them(pool: ConnectionPool) -> None:
    """As a table with each job whole on a line, or as JSON."""
    assert command(pool, "stuck").output == "none\n"
    job_id = aged(pool, "embedding", 95)
    (header, line) = command(pool, "stuck").output.splitlines()
    assert header.split()[:2] == ["job", "status"]
    assert line.split()[:4] == [str(job_id), "embedding", "1", "h"]
    (found,) = json.loads(command(pool, "stuck", "--json").output)
    assert (found["id"], found["status"]) == (str(job_id), "embedding")
    assert command(pool, "stuck", "--minutes", "100").output == "none\n"


def test_republish_gives_a_job_without_a_row_one(pool: ConnectionPool) -> None:
    """Pending for more than 30 s and unknown to the outbox: it is to be scraped."""
    forgotten, young = aged(pool, "pending", 1), inserted(pool)
    aged(pool, "pending", 1)  # has its row
    with pool.connection() as connection:
        connection.execute("DELETE FROM outbox WHERE job_id = ANY(%s)", ([forgotten, young],))
    dry = command(pool, "republish", "--dry-run")
    assert dry.output == f"{forgotten} pending\nwould republish: 1\n"
    assert command(pool, "republish", "--older-than", "90").output == "republished: 0\n"
    assert command(pool, "republish").output == f"{forgotten} scrape\nrepublished: 1\n"
    assert rows(pool, "job_id, payload::text")[-1] == (
        forgotten,
        '{"url": "http://site.test/a"}',
    )
    assert command(pool, "republish").output == "republished: 0\n"


@pytest.mark.parametrize(
    ("status", "action"),
    [("pending", "scrape"), ("scraping", "chunk"), ("chunking", "embed"), ("embedding", "embed")],
)
def test_republish_sets_a_stuck_job_going_by_its_stage(
    pool: ConnectionPool, status: str, action: str
) -> None:
    """What it waits for is due again, once, with what it was told before."""
    job_id = aged(pool, status, 45)
    with pool.connection() as connection:
        outbox.write(connection, job_id, Action(action), {"told": 1})
        connection.execute("UPDATE outbox SET published_at = now(), poisoned = 'no'")
    assert command(pool, "republish").output == "republished: 0\n"
    done = command(pool, "republish", "--stuck")
    assert done.output == f"{job_id} {action}\nrepublished: 1\n"
    due = [row for row in rows(pool, "action, published_at, poisoned") if row[1] is None]
    assert due == [(action, None, None)]


def test_republish_of_a_job_without_chunks_has_them_made_again(pool: ConnectionPool) -> None:
    """Nothing is known of its embed task: its document is there to be chunked once more."""
    job_id = aged(pool, "chunking", 45)
    done = command(pool, "republish", "--stuck", "--older-than", "60")
    assert done.output == f"{job_id} chunk\nrepublished: 1\n"


def test_a_database_that_is_away_is_said() -> None:
    """With what PostgreSQL's client says of it."""
    env = {"PIPELINE_DATABASE_URL": "postgresql://postgres@127.0.0.1:9/postgres"}
    result = CliRunner().invoke(pipeline, ["stuck"], env=env)
    assert result.exit_code == 1
    assert "PostgreSQL cannot be asked" in result.output


@pytest.fixture
def broker(redis_url: str, redis: Redis) -> Iterator[Any]:
    """Return an application that publishes to an empty broker."""
    assert redis.dbsize() == 0
    with celery_app.make(Settings("test", {"PIPELINE_BROKER_URL": redis_url})) as app:
        celery_app.declare_tasks(app)
        yield app


def lost_ones(pool: ConnectionPool, redis: Redis) -> list[UUID]:
    """Look once for lost tasks."""
    with pool.connection() as connection:
        return lost.republish(connection, redis, 30)


def publish_as_relay(pool: ConnectionPool, app: Any, job_id: UUID, task: str) -> None:
    """Publish what a job waits for."""
    told: dict[str, Any] = {"url": "http://site.test/a"}
    if task == celery_app.EMBED_TASK:
        told = {"corpus_name": "c", "source_url": "", "chunks": ["words " * 50_000]}
        with pool.connection() as connection:
            outbox.write(connection, job_id, Action.EMBED, told)
            connection.execute("UPDATE outbox SET published_at = now() - interval '1 hour'")
    publish(app, task, job_id, told)


@pytest.mark.parametrize("task", list(celery_app.QUEUES))
def test_a_task_is_lost_when_it_is_nowhere(
    pool: ConnectionPool, redis: Redis, broker: Any, task: str
) -> None:
    """In its queue, in hand or among the dead letters it is not; nowhere, it is published anew."""
    status = "pending" if task == celery_app.SCRAPE_TASK else "chunking"
    job_id = aged(pool, status, 45)
    publish_as_relay(pool, broker, job_id, task)
    queue = celery_app.QUEUES[task]
    (item,) = redis.lrange(queue, 0, -1)
    assert isinstance(item, bytes)
    assert lost_ones(pool, redis) == []
    redis.delete(queue)
    redis.hset("unacked", "tag", b"[" + item + f', "", "{queue}"]'.encode())
    assert lost_ones(pool, redis) == []
    redis.delete("unacked")
    letter = dead_letters.made(queue, dead_letters.Reason.EXCEPTION, "x" * 3000, item)
    redis.lpush(dead_letters.LISTS[queue], letter.to_item())
    assert lost_ones(pool, redis) == []
    redis.delete(dead_letters.LISTS[queue])
    assert lost_ones(pool, redis) == [job_id]
    assert lost_ones(pool, redis) == []  # it is due: the relay's to do
    assert [row for row in rows(pool, "published_at") if row == (None,)] == [(None,)]


def test_what_gets_lost_again_and_again_is_left(pool: ConnectionPool, redis: Redis) -> None:
    """Somebody is to look: it stays stuck."""
    job_id = aged(pool, "pending", 45)
    with pool.connection() as connection:
        connection.execute("UPDATE outbox SET publications = %s", (lost.MOST,))
    assert lost_ones(pool, redis) == [job_id]
    with pool.connection() as connection:
        connection.execute(
            "UPDATE outbox SET publications = %s, published_at = now() - interval '1 hour'",
            (lost.MOST + 1,),
        )
    assert lost_ones(pool, redis) == []


def test_a_young_job_or_an_ended_one_is_not_looked_for(pool: ConnectionPool, redis: Redis) -> None:
    """What was just published, or what has reported since, is nobody's loss."""
    for status, minutes in (("pending", 0.1), ("done", 45), ("failed", 45), ("scraping", 45)):
        aged(pool, status, minutes)
    assert lost_ones(pool, redis) == []


def test_the_orchestrator_looks_for_both(pool: ConnectionPool, redis: Redis) -> None:
    """Jobs without a row, and tasks that are nowhere."""
    settings = Settings("orchestrator", {})
    forgotten, gone = aged(pool, "pending", 1), aged(pool, "pending", 1)
    with pool.connection() as connection:
        connection.execute("DELETE FROM outbox WHERE job_id = %s", (forgotten,))
    duties.search_once(settings, pool, redis)
    due = {row[0] for row in rows(pool, "job_id, published_at") if row[1] is None}
    assert due == {forgotten, gone}


def values(registry: CollectorRegistry) -> dict[tuple[str, str], float]:
    """Return the gauges by their name and label."""
    text = generate_latest(registry).decode()
    return {
        (sample.name, *sample.labels.values()): sample.value  # type: ignore[misc]
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_gauges_count_what_waits(pool: ConnectionPool, redis: Redis) -> None:
    """Jobs by their traffic, messages by their queue; looked up at most once a second."""
    aged(pool, "scraping", 45, Mark("synthetic", "r"))
    inserted(pool)
    redis.lpush("scrape", b"1", b"2")
    redis.lpush("dead:embed", b"1")
    registry = CollectorRegistry()
    seen = gauges.Gauges(gauges.of_broker(redis), gauges.of_database(pool), within=5, fresh=60)
    registry.register(seen)
    first = values(registry)
    assert first["stuck_jobs", "synthetic"] == 1
    assert first["stuck_jobs", "user"] == 0
    assert first["outbox_pending", "user"] == 1
    assert first["outbox_pending", "synthetic"] == 0
    assert 0 <= first["outbox_oldest_seconds", "user"] < 60
    assert (first["queue_depth", "scrape"], first["queue_depth", "embed"]) == (2, 0)
    assert (first["dlq_depth", "embed"], first["dlq_depth", "scrape"]) == (1, 0)
    redis.delete("scrape")
    assert values(registry) == first
    seen.close()


def test_a_scrape_waits_for_nobody(pool: ConnectionPool) -> None:
    """A server that hangs makes its gauges absent and leaves those of others."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = Redis(port=silent.getsockname()[1], socket_timeout=30)
        registry = CollectorRegistry()
        seen = gauges.Gauges(
            gauges.of_broker(client), gauges.of_database(pool), within=0.3, fresh=0
        )
        registry.register(seen)
        found = poll_until(lambda: values(registry), "the gauges of the database")
        assert {name for name, _ in found} == {
            "outbox_pending",
            "outbox_oldest_seconds",
            "stuck_jobs",
        }
        seen.close()
        client.close()


def test_no_statement_of_the_pools_is_without_end(pool: ConnectionPool) -> None:
    """What the URL of a deployment says itself is left as it is."""
    for more, limit in (("", "30s"), ("?options=-c%20statement_timeout%3D7s", "7s")):
        settings = Settings("test", {"PIPELINE_DATABASE_URL": f"{pool.conninfo}{more}"})
        with clients.database(settings) as found, found.connection() as connection:
            assert connection.execute("SHOW statement_timeout").fetchone() == (limit,)


def test_a_database_that_hangs_makes_no_scrape_late(pool: ConnectionPool) -> None:
    """Its gauges are absent while it does, and there again afterwards."""
    registry = CollectorRegistry()
    seen = gauges.Gauges(gauges.of_database(pool), within=0.3, fresh=0)
    registry.register(seen)
    poll_until(lambda: values(registry), "the gauges")
    with pool.connection() as connection:
        query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        backends = [pid for (pid,) in connection.execute(query).fetchall()]
    for pid in backends:
        os.kill(pid, signal.SIGSTOP)
    try:
        assert values(registry) == {}
    finally:
        for pid in backends:
            os.kill(pid, signal.SIGCONT)
    poll_until(lambda: values(registry), "the gauges")
    seen.close()


def test_a_job_that_goes_on_is_not_stuck(pool: ConnectionPool) -> None:
    """A report makes it young again."""
    job_id = aged(pool, "pending", 45)
    document = jobs.Document("", "words")
    jobs.JobStore(pool).advance(job_id, Callback(str(uuid4()), Status.SCRAPING), document)
    with pool.connection() as connection:
        assert stuck.found(connection) == []
    assert count(pool, "jobs") == 1
