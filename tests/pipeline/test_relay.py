"""The relay: what is in the outbox is done, whatever is away for a while, and by one alone."""

from __future__ import annotations

import base64
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from psycopg import OperationalError
from redis import Redis

from pipeline import celery_app, jobs, mark, metrics, outbox
from pipeline.actions import TRIES, Actions, Chunker
from pipeline.celery_app import EMBED_TASK, SCRAPE_TASK
from pipeline.flow import Flow
from pipeline.outbox import Action
from pipeline.publish import task_id_of
from pipeline.relay import Pace, Relay
from pipeline.settings import Settings
from pipeline.states import Callback, Status
from pipeline.testing import poll_until
from tests.pipeline import servers
from tests.pipeline.rows import count, inserted, rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from psycopg import Connection
    from psycopg_pool import ConnectionPool

pytestmark = [pytest.mark.process, pytest.mark.req("H-01", "P-12")]

Answer = "Callable[[httpx.Request], httpx.Response]"
SETTINGS = Settings("orchestrator", {})
PACE = Pace(look_seconds=0.05, most_seconds=0.05)


class Stage:
    """An orchestrator's insides: the store, the flow, a broker, and chunking as it answers now."""

    def __init__(self, pool: ConnectionPool, broker_url: str) -> None:
        """Work on the pool's database, and publish to the broker."""
        self.pool = pool
        self.metrics = metrics.build(SETTINGS)
        self.store = jobs.JobStore(pool)
        self.flow = Flow(SETTINGS, self.metrics, self.store)
        self.broker = celery_app.make(Settings("orchestrator", {"PIPELINE_BROKER_URL": broker_url}))
        celery_app.declare_tasks(self.broker)
        self.answers: list[httpx.Response | Exception] = []
        self.asked: list[httpx.Request] = []
        client = httpx.Client(transport=httpx.MockTransport(self._answer))
        self.actions = Actions(self.broker, Chunker(client, "http://chunking.test"), self.flow)
        self.relay = Relay(pool, self.metrics, PACE)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        found = self.answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    def one(self) -> bool | None:
        """Act on the next row, however long it was to wait."""
        with self.pool.connection() as connection:
            connection.execute("UPDATE outbox SET next_at = now() WHERE next_at > now()")
        return self.relay.one(self.actions.of)

    def scraped(self) -> Any:
        """Return a job that was scraped, whose scrape task was published."""
        job_id = inserted(self.pool)
        assert self.one()
        self.flow.report(
            job_id,
            Callback("task:final", Status.SCRAPING),
            jobs.Document("http://site.test/a", "One. Two."),
        )
        return job_id

    def count(self, action: str, outcome: str) -> float:
        """Return how many attempts ended so."""
        found = self.metrics.registry.get_sample_value(
            "outbox_attempts_total", {"action": action, "outcome": outcome, "traffic": "user"}
        )
        return found or 0.0


@pytest.fixture
def stage(pool: ConnectionPool, redis_url: str, redis: Redis) -> Iterator[Stage]:
    """Return the insides of an orchestrator, with an empty broker."""
    assert redis.dbsize() == 0
    found = Stage(pool, redis_url)
    yield found
    found.broker.close()


def messages(redis: Redis, queue: str) -> list[dict[str, Any]]:
    """Return the tasks that wait in a queue, the oldest first, with what they are told."""
    found = []
    for item in reversed(redis.lrange(queue, 0, -1)):
        whole = json.loads(item)
        _, told, _ = json.loads(base64.b64decode(whole["body"]))
        found.append({"headers": whole["headers"], "told": told})
    return found


def told(pool: ConnectionPool) -> list[tuple[str]]:
    """Return what went wrong with each row."""
    return rows(pool, "last_error")


def chunked(*texts: str) -> httpx.Response:
    """Return an answer of the chunking service."""
    return httpx.Response(200, json={"chunks": [{"index": 0, "text": text} for text in texts]})


def test_a_new_job_is_published(stage: Stage, redis: Redis) -> None:
    """Its task has the id that follows from the job's, and is told what its worker expects."""
    job_id = inserted(stage.pool, mark.Mark("synthetic", "run-1"))
    assert stage.one() is True
    assert stage.one() is None
    (message,) = messages(redis, "scrape")
    assert message["headers"]["id"] == task_id_of(job_id, SCRAPE_TASK)
    assert message["headers"]["mark_run_id"] == "run-1"
    assert message["told"] == {
        "job_id": str(job_id),
        "url": "http://site.test/a",
        "sink": "orchestrator",
    }


def test_it_is_acted_on_in_the_trace_of_the_request(stage: Stage) -> None:
    """The span that is current, and the mark, are those of the request that wrote the row."""
    span = SpanContext(0x1234, 0x5678, is_remote=False, trace_flags=TraceFlags(1))
    forged = baggage.set_baggage("traffic", "synthetic", baggage.set_baggage("kept", "1"))
    token = context.attach(trace.set_span_in_context(NonRecordingSpan(span), forged))
    try:
        inserted(stage.pool)  # a user's, whatever the baggage says
    finally:
        context.detach(token)
    seen: list[Any] = []

    def see(_connection: Connection[Any], _entry: outbox.Entry) -> Callable[[], None]:
        found = trace.get_current_span().get_span_context()
        seen.extend([found.trace_id, found.span_id, mark.current(), baggage.get_baggage("kept")])
        return lambda: None

    assert stage.relay.one(lambda _action: see)
    assert seen == [0x1234, 0x5678, mark.Mark(), "1"]
    assert mark.current() == mark.Mark()
    assert not trace.get_current_span().get_span_context().is_valid


def test_chunks_and_the_embed_row_are_one_transaction(stage: Stage, redis: Redis) -> None:
    """A scraped document is chunked, the job goes on, and its chunks are published."""
    job_id = stage.scraped()
    stage.answers = [chunked("One.", "Two.")]
    assert stage.one()
    assert json.loads(stage.asked[0].content) == {"job_id": str(job_id), "content": "One. Two."}
    job = stage.store.get(job_id)
    assert job
    assert (job.status, job.chunks) == ("chunking", 2)
    assert rows(stage.pool, "action, published_at IS NULL")[-1] == ("embed", True)
    assert stage.one()
    (message,) = messages(redis, "embed")
    assert message["headers"]["id"] == task_id_of(job_id, EMBED_TASK)
    assert message["told"]["chunks"] == ["One.", "Two."]
    assert message["told"]["source_url"] == "http://site.test/a"


def test_chunking_that_fails_for_a_while_is_asked_again(stage: Stage) -> None:
    """Unreachable, overloaded, broken or talking nonsense: each is tried once more."""
    job_id = stage.scraped()
    stage.answers = [
        httpx.ConnectError("away"),
        httpx.Response(503),
        httpx.Response(429),
        httpx.Response(200, json={"pieces": []}),
        chunked("One."),
    ]
    assert [stage.one() for _ in range(5)] == [False, False, False, False, True]
    job = stage.store.get(job_id)
    assert job
    assert job.status == "chunking"
    assert stage.count("chunk", "failed") == 4
    assert stage.count("chunk", "done") == 1


def test_chunking_that_stays_away_fails_the_job(stage: Stage) -> None:
    """After the last try the job fails in chunking, with the code; nothing is left to do."""
    job_id = stage.scraped()
    stage.answers = [httpx.ConnectError("away") for _ in range(TRIES)]
    assert [stage.one() for _ in range(TRIES)] == [*[False] * (TRIES - 1), True]
    job = stage.store.get(job_id)
    assert job
    assert job.error
    assert (job.failed_stage, job.error["code"]) == ("chunking", "chunking_unavailable")
    assert stage.one() is None


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refused_document_fails_the_job_at_once(stage: Stage, status: int) -> None:
    """What chunking refuses it would refuse again."""
    job_id = stage.scraped()
    stage.answers = [httpx.Response(status, text="too long")]
    assert stage.one()
    job = stage.store.get(job_id)
    assert job
    assert job.error
    assert (job.failed_stage, job.error["code"]) == ("chunking", "chunking_refused")
    assert str(status) in job.error["message"]
    assert len(stage.asked) == 1


def test_a_job_that_is_removed_meanwhile_is_let_go(stage: Stage, redis: Redis) -> None:
    """Its document is gone when chunking is to be asked: nothing is asked and nothing published."""
    job_id = stage.scraped()
    with stage.pool.connection() as connection:
        connection.execute("DELETE FROM documents WHERE job_id = %s", (job_id,))
    assert stage.one() is True
    assert stage.asked == []
    assert redis.llen("embed") == 0


def test_a_job_that_failed_meanwhile_is_not_embedded(stage: Stage) -> None:
    """Its document is chunked in vain."""
    job_id = stage.scraped()
    failure = jobs.failure(Status.SCRAPING, "test_error", "failed")
    stage.flow.report(job_id, Callback("other", Status.SCRAPING, failure), None)
    stage.answers = [chunked("One.")]
    assert stage.one()
    assert ("embed",) not in rows(stage.pool)


def test_who_holds_the_job_is_given_way(stage: Stage) -> None:
    """A clean-up holds the job and waits for its row: the relay gives way and nothing hangs."""
    job_id = stage.scraped()
    stage.answers = [chunked("One."), chunked("One.")]
    with stage.pool.connection() as cleaning:
        cleaning.execute("SELECT 1 FROM jobs WHERE id = %s FOR UPDATE", (job_id,))
        assert stage.one() is False
        cleaning.rollback()
    assert rows(stage.pool, "attempts, last_error LIKE 'LockNotAvailable%%'")[-1] == (1, True)
    assert stage.one()


def test_a_payload_that_does_not_fit_is_poisoned(stage: Stage, redis: Redis) -> None:
    """It is not published, it says what is wrong, and others are not held up by it."""
    inserted(stage.pool)
    other = inserted(stage.pool)
    with stage.pool.connection() as connection:
        connection.execute("UPDATE outbox SET payload = '{\"url\": 5}' WHERE id = 1")
    assert stage.one() is False
    assert stage.one() is True
    assert [message["told"]["job_id"] for message in messages(redis, "scrape")] == [str(other)]
    (reason,) = rows(stage.pool, "poisoned")[0]
    assert reason == (
        "the payload of scraper.scrape_task does not fit: url: Input should be a valid string"
    )
    assert stage.count("scrape", "poisoned") == 1


def test_two_relays_publish_each_job_once(stage: Stage, redis: Redis) -> None:
    """Of two orchestrators with four threads each, one publishes a job."""
    expected = {str(inserted(stage.pool)) for _ in range(60)}
    relays = [Relay(stage.pool, stage.metrics, PACE) for _ in range(2)]

    def drained(relay: Relay) -> int:
        done = 0
        while relay.one(stage.actions.of):
            done += 1
        return done

    with ThreadPoolExecutor(8) as threads:
        each = list(threads.map(drained, relays * 4))
    assert sum(each) == 60
    assert sum(number > 0 for number in each) > 1
    published = [message["told"]["job_id"] for message in messages(redis, "scrape")]
    assert (len(published), set(published)) == (60, expected)


def test_a_full_broker_loses_nothing(stage: Stage, redis: Redis) -> None:
    """While it is full jobs are taken; once there is room all of them are published."""
    redis.config_set("maxmemory", 1)
    try:
        expected = {str(inserted(stage.pool)) for _ in range(5)}
        assert [stage.one() for _ in range(5)] == [False] * 5
        assert all("used memory > 'maxmemory'" in error for (error,) in told(stage.pool))
    finally:
        redis.config_set("maxmemory", 0)
    assert [stage.one() for _ in range(6)] == [*[True] * 5, None]
    assert {message["told"]["job_id"] for message in messages(redis, "scrape")} == expected


def test_threads_publish_at_once_and_after_an_outage(
    postgres: servers.Postgres, tmp_path: Path
) -> None:
    """Jobs taken while the broker is away are published once it is there; later ones at once."""
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    url = postgres.new()
    with servers.pool(url) as pool, servers.pool(url) as own:
        stage = Stage(pool, f"redis://127.0.0.1:{port}/0")
        relay = Relay(own, stage.metrics, PACE)
        relay.start(stage.actions.of)
        try:
            inserted(pool)
            relay.wake()
            poll_until(lambda: stage.count("scrape", "failed") >= 2, "attempts that fail")
            with (
                servers.redis(tmp_path / "redis", str(port)) as broker,
                Redis.from_url(broker) as redis,
            ):
                poll_until(lambda: redis.llen("scrape") == 1, "the job published")
                inserted(pool)
                relay.wake()
                poll_until(lambda: redis.llen("scrape") == 2, "the next one published")
        finally:
            relay.stop()
            stage.broker.close()
        assert not [thread for thread in relay._threads if thread.is_alive()]


def test_killed_between_publishing_and_noting_it(stage: Stage, redis: Redis) -> None:
    """The row is due again at once; what is published twice is the same task."""
    job_id = inserted(stage.pool)

    def publish_and_die(action: Action) -> Any:
        def do(connection: Connection[Any], entry: outbox.Entry) -> Any:
            stage.actions.of(action)(connection, entry)
            connection.close()  # as the kernel does for a process that is killed
            return lambda: None

        return do

    with pytest.raises(OperationalError):
        stage.relay.one(publish_and_die)
    assert redis.llen("scrape") == 1
    assert rows(stage.pool, "publications, attempts") == [(0, 0)]
    assert poll_until(stage.one, "the row that its claimer let go")
    first, second = messages(redis, "scrape")
    assert first["told"] == second["told"]
    assert first["headers"]["id"] == second["headers"]["id"] == task_id_of(job_id, SCRAPE_TASK)
    assert count(stage.pool, "outbox") == 1


def test_what_is_unexpected_ends_no_thread(stage: Stage, redis: Redis) -> None:
    """An action with a bug is noted at its row, and tried again as anything else."""
    inserted(stage.pool)

    def broken(_action: Action) -> Any:
        def do(_connection: Connection[Any], _entry: outbox.Entry) -> Any:
            raise ZeroDivisionError("a bug")

        return do

    assert stage.relay.one(broken) is False
    assert rows(stage.pool, "attempts, last_error") == [(1, "ZeroDivisionError: a bug")]
    assert stage.one() is True
    assert redis.llen("scrape") == 1
