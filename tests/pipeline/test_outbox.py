"""The outbox: in one transaction with what makes it necessary, and each row taken by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from pipeline import jobs, outbox
from pipeline.mark import Mark
from pipeline.outbox import Action
from pipeline.states import Callback, Outcome, Status
from tests.pipeline.rows import count, inserted, new_job, rows

if TYPE_CHECKING:
    from psycopg_pool import ConnectionPool

pytestmark = [pytest.mark.process, pytest.mark.req("H-01", "P-12")]

DOCUMENT = jobs.Document("http://site.test/a", "Some words.")


def broken(pool: ConnectionPool, statement: bytes) -> None:
    """Break the database, as a half-done migration would."""
    with pool.connection() as connection:
        connection.execute(statement)


def test_job_and_row_are_written_together(pool: ConnectionPool) -> None:
    """A new job is there with the row that has it scraped."""
    job_id = inserted(pool)
    assert rows(pool, "job_id, action, payload, attempts, published_at") == [
        (job_id, "scrape", {"url": "http://site.test/a"}, 0, None)
    ]


def test_without_the_row_there_is_no_job(pool: ConnectionPool) -> None:
    """Where the row cannot be written, the job is not either."""
    broken(pool, b"ALTER TABLE outbox ADD CONSTRAINT never CHECK (action = '')")
    with pytest.raises(psycopg.errors.CheckViolation):
        jobs.JobStore(pool).insert(new_job())
    assert (count(pool, "jobs"), count(pool, "outbox")) == (0, 0)


def test_without_the_job_there_is_no_row(pool: ConnectionPool) -> None:
    """Where the job cannot be written, the row is not either."""
    broken(pool, b"ALTER TABLE jobs ADD CONSTRAINT never CHECK (url = '')")
    with pytest.raises(psycopg.errors.CheckViolation):
        jobs.JobStore(pool).insert(new_job())
    assert (count(pool, "jobs"), count(pool, "outbox")) == (0, 0)


def test_the_same_job_again_is_not_scraped_again(pool: ConnectionPool) -> None:
    """A job that is there already writes no row, and does not have the first done once more."""
    store, new = jobs.JobStore(pool), new_job()
    store.insert(new)
    acted(pool)
    assert store.insert(new)[1] is False
    assert rows(pool, "action, published_at IS NULL") == [("scrape", False)]


def acted(pool: ConnectionPool) -> outbox.Entry:
    """Claim the next row and note that it was acted on."""
    with pool.connection() as connection:
        entry = outbox.claim(connection)
        assert entry
        outbox.published(connection, entry)
    return entry


def test_a_scraped_document_is_to_be_chunked_once(pool: ConnectionPool) -> None:
    """The report that brings a document writes the row for it; its repetition does not."""
    store, job_id = jobs.JobStore(pool), inserted(pool)
    callback = Callback("task:final", Status.SCRAPING)
    outcomes = [store.advance(job_id, callback, DOCUMENT) for _ in range(2)]
    assert [found.outcome for found in outcomes if found] == [
        Outcome.ADVANCED,
        Outcome.ALREADY_ADVANCED,
    ]
    assert rows(pool) == [("scrape",), ("chunk",)]


def test_a_report_whose_row_cannot_be_written_changes_nothing(pool: ConnectionPool) -> None:
    """The job stays where it is, without a document, so that the report can be made again."""
    store, job_id = jobs.JobStore(pool), inserted(pool)
    broken(pool, b"ALTER TABLE outbox ADD CONSTRAINT never CHECK (action <> 'chunk')")
    with pytest.raises(psycopg.errors.CheckViolation):
        store.advance(job_id, Callback("task:final", Status.SCRAPING), DOCUMENT)
    job = store.get(job_id)
    assert job
    assert (job.status, count(pool, "documents"), count(pool, "callbacks")) == ("pending", 0, 0)


def test_a_page_with_nul_is_kept(pool: ConnectionPool) -> None:
    """PostgreSQL takes no NUL: a page that has one loses it, and not its job."""
    store, job_id = jobs.JobStore(pool), inserted(pool)
    document = jobs.Document("http://site.test/a", "before\0after")
    assert store.advance(job_id, Callback("task:final", Status.SCRAPING), document)
    with pool.connection() as connection:
        kept = jobs.document_of(connection, job_id)
    assert kept
    assert kept.content == "before\ufffdafter"


def test_rows_are_claimed_in_order_and_by_one_alone(pool: ConnectionPool) -> None:
    """What one has claimed, another passes by; when it lets go, the row is to be had again."""
    first, second = inserted(pool), inserted(pool)
    with pool.connection() as one, pool.connection() as other, pool.connection() as third:
        claims = [outbox.claim(connection) for connection in (one, other, third)]
        assert [entry.job_id for entry in claims if entry] == [first, second]
        one.rollback()
        again = outbox.claim(third)
        assert again
        assert again.job_id == first


def test_a_claim_tells_whose_job_it_is(pool: ConnectionPool) -> None:
    """An entry has the mark of its job, what is to be done, and the tries before."""
    mark = Mark("synthetic", "run-1")
    job_id = inserted(pool, mark)
    entry = acted(pool)
    assert (entry.job_id, entry.action, entry.mark) == (job_id, Action.SCRAPE, mark)
    assert (entry.payload, entry.attempts) == ({"url": "http://site.test/a"}, 0)
    with pool.connection() as connection:
        assert outbox.claim(connection) is None
    assert rows(pool, "publications, published_at IS NOT NULL") == [(1, True)]


def test_a_failed_row_waits_and_is_told_of(pool: ConnectionPool) -> None:
    """It is not due before its time; until then it is known how long that is."""
    inserted(pool)
    with pool.connection() as connection:
        assert outbox.seconds_to_next(connection) is None
        entry = outbox.claim(connection)
        assert entry
        outbox.failed(connection, entry, "the broker is away", 60)
    with pool.connection() as connection:
        assert outbox.claim(connection) is None
        seconds = outbox.seconds_to_next(connection)
        connection.execute("UPDATE outbox SET next_at = next_at - interval '1 minute'")
    assert seconds == pytest.approx(60, abs=5)
    assert acted(pool).attempts == 1
    assert rows(pool, "last_error") == [(None,)]


def test_a_poisoned_row_is_left_alone_until_it_is_written_anew(pool: ConnectionPool) -> None:
    """Nobody can act on it as it is; written once more, it is due again with what it is told."""
    job_id = inserted(pool)
    with pool.connection() as connection:
        entry = outbox.claim(connection)
        assert entry
        outbox.poison(connection, entry, "url: too short")
    with pool.connection() as connection:
        assert outbox.claim(connection) is None
        outbox.write(connection, job_id, Action.SCRAPE, {"url": "http://site.test/b"})
    assert acted(pool).payload == {"url": "http://site.test/b"}


def test_rows_go_with_their_job(pool: ConnectionPool) -> None:
    """Cleaning up a run leaves none of its rows."""
    inserted(pool, Mark("synthetic", "run-1"))
    kept = inserted(pool)
    jobs.JobStore(pool).remove_run("run-1")
    assert rows(pool, "job_id") == [(kept,)]


def test_a_row_carries_trace_and_baggage(pool: ConnectionPool) -> None:
    """What is current when it is written is what is acted on later."""
    span = SpanContext(0x1234, 0x5678, is_remote=False, trace_flags=TraceFlags(1))
    where = trace.set_span_in_context(NonRecordingSpan(span))
    token = context.attach(baggage.set_baggage("traffic", "synthetic", where))
    try:
        inserted(pool)
    finally:
        context.detach(token)
    assert acted(pool).carrier == {
        "traceparent": f"00-{0x1234:032x}-{0x5678:016x}-01",
        "baggage": "traffic=synthetic",
    }
