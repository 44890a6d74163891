"""Jobs in PostgreSQL: every change of a job goes through a locked row and the pure guards."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, LiteralString, cast

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from pipeline import outbox
from pipeline.mark import Mark
from pipeline.outbox import Action
from pipeline.states import Callback, Failure, Outcome, State, Status, advance

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from psycopg import Connection
    from psycopg_pool import ConnectionPool

_COLUMNS: LiteralString = (
    "id, caller_id, url, corpus_name, status, failed_stage, error, traffic, run_id, history,"
    " created_at, updated_at, (SELECT chunks FROM documents WHERE job_id = id) AS chunks"
)


@dataclass(frozen=True, slots=True)
class NewJob:
    """What a caller asks for."""

    id: UUID
    caller_id: str
    url: str
    corpus_name: str
    mark: Mark


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it is stored."""

    id: UUID
    caller_id: str
    url: str
    corpus_name: str
    status: Status
    failed_stage: str | None
    error: dict[str, str] | None
    mark: Mark
    history: list[dict[str, str]]
    created_at: datetime
    updated_at: datetime
    chunks: int | None

    def same_request(self, other: NewJob) -> bool:
        """Tell whether another request with this id asks for the same."""
        mine = (self.caller_id, self.url, self.corpus_name)
        return mine == (other.caller_id, other.url, other.corpus_name)

    def to_json(self) -> dict[str, Any]:
        """Return the job as the API answers it."""
        return {
            "id": str(self.id),
            "job_id": str(self.id),
            "status": self.status.value,
            "url": self.url,
            "corpus_name": self.corpus_name,
            "caller_id": self.caller_id,
            "failed_stage": self.failed_stage,
            "error": self.error,
            "chunks": self.chunks,
            "traffic": self.mark.traffic,
            "run_id": self.mark.run_id,
            "history": self.history,
            "created_at": self.created_at.isoformat(),
            "updated_at": self.updated_at.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class Document:
    """The text of a scraped page, and the trace in which it was reported."""

    source_url: str
    content: str
    carrier: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Advanced:
    """The job after a callback, and what the callback did."""

    job: Job
    outcome: Outcome


class JobStore:
    """The orchestrator's tables."""

    def __init__(self, pool: ConnectionPool) -> None:
        """Use the pool's connections."""
        self._pool = pool

    def insert(self, new: NewJob) -> tuple[Job, bool]:
        """Insert a pending job and have it scraped; return the stored one, and whether it is new.

        That it is to be scraped is written in the same transaction: neither is there alone.
        """
        with self._pool.connection() as connection:
            done = connection.execute(
                "INSERT INTO jobs (id, caller_id, url, corpus_name, traffic, run_id, history)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (id) DO NOTHING",
                (
                    new.id,
                    new.caller_id,
                    new.url,
                    new.corpus_name,
                    new.mark.traffic,
                    new.mark.run_id,
                    Jsonb([_entry(Status.PENDING)]),
                ),
            )
            if done.rowcount:
                outbox.write(connection, new.id, Action.SCRAPE, {"url": new.url})
            job = _select(connection, new.id, locked=False)
        if job is None:
            raise LookupError(f"job {new.id} was removed while it was inserted")
        return job, done.rowcount == 1

    def get(self, job_id: UUID) -> Job | None:
        """Return a job."""
        with self._pool.connection() as connection:
            return _select(connection, job_id, locked=False)

    def of_caller(self, caller_id: str, limit: int = 100) -> Sequence[Job]:
        """Return the newest jobs of a caller, oldest first."""
        with (
            self._pool.connection() as connection,
            connection.cursor(row_factory=dict_row) as cursor,
        ):
            cursor.execute(
                f"SELECT * FROM (SELECT {_COLUMNS} FROM jobs"  # noqa: S608 - a constant
                " WHERE caller_id = %s"
                " ORDER BY created_at DESC LIMIT %s) AS newest ORDER BY created_at",
                (caller_id, limit),
            )
            return [_job(row) for row in cursor]

    def advance(
        self, job_id: UUID, callback: Callback, document: Document | None = None
    ) -> Advanced | None:
        """Apply a callback in a transaction of its own; nothing if there is no such job."""
        with self._pool.connection() as connection:
            return advanced(connection, job_id, callback, document)

    def remove_run(self, run_id: str) -> tuple[int, int]:
        """Remove a synthetic run's jobs and documents; return how many of each."""
        with self._pool.connection() as connection:
            documents = connection.execute(
                "DELETE FROM documents USING jobs WHERE job_id = id AND run_id = %s"
                " AND traffic = 'synthetic'",
                (run_id,),
            ).rowcount
            jobs = connection.execute(
                "DELETE FROM jobs WHERE run_id = %s AND traffic = 'synthetic'", (run_id,)
            ).rowcount
        return jobs, documents

    def remove_older(self, age: float, limit: int) -> tuple[list[str], int]:
        """Remove at most `limit` synthetic jobs older than `age` seconds, by the server's clock.

        Returns their ids and how many documents went with them. A job that somebody is changing
        at this moment is left for the next time.
        """
        with self._pool.connection() as connection:
            rows = connection.execute(
                "SELECT id FROM jobs WHERE traffic = 'synthetic'"
                " AND created_at <= clock_timestamp() - %s * interval '1 second'"
                " ORDER BY created_at LIMIT %s FOR UPDATE SKIP LOCKED",
                (age, limit),
            ).fetchall()
            ids = [row[0] for row in rows]
            documents = connection.execute(
                "DELETE FROM documents WHERE job_id = ANY(%s)", (ids,)
            ).rowcount
            connection.execute("DELETE FROM jobs WHERE id = ANY(%s)", (ids,))
        return [str(one) for one in ids], documents

    def has(self, job_id: str) -> bool:
        """Tell whether there is such a job."""
        with self._pool.connection() as connection:
            found = connection.execute("SELECT 1 FROM jobs WHERE id::text = %s", (job_id,))
            return found.fetchone() is not None


def advanced(
    connection: Connection[Any], job_id: UUID, callback: Callback, document: Document | None = None
) -> Advanced | None:
    """Apply a callback under a lock on the job's row; nothing if there is no such job.

    A document is stored, and is to be chunked, in the same transaction.
    """
    job = _select(connection, job_id, locked=True)
    if job is None:
        return None
    repeated = connection.execute(
        "SELECT 1 FROM callbacks WHERE job_id = %s AND callback_id = %s",
        (job_id, callback.callback_id),
    ).fetchone()
    seen = frozenset({callback.callback_id} if repeated else ())
    state, outcome = advance(State(status=job.status, seen=seen), callback)
    if outcome is Outcome.ADVANCED:
        _store(connection, job_id, callback, state)
        if document is not None:
            _keep(connection, job_id, document)
        job = cast("Job", _select(connection, job_id, locked=False))
    return Advanced(job, outcome)


def document_of(connection: Connection[Any], job_id: UUID) -> Document | None:
    """Return the document of a job that was scraped."""
    row = connection.execute(
        "SELECT source_url, content FROM documents WHERE job_id = %s", (job_id,)
    ).fetchone()
    return None if row is None else Document(*row)


def note_chunks(connection: Connection[Any], job_id: UUID, count: int) -> None:
    """Remember how many chunks the job's document has."""
    connection.execute("UPDATE documents SET chunks = %s WHERE job_id = %s", (count, job_id))


def now() -> str:
    """Return this moment as the job's history and error write it."""
    return datetime.now(UTC).isoformat()  # noqa: TID251 - a service's own clock, not a check's


def failure(stage: Status, code: str, message: str) -> Failure:
    """Return a failure of this moment."""
    return Failure(stage=stage.value, code=code, message=message, at=now())


def _entry(status: Status) -> dict[str, str]:
    return {"status": status.value, "at": now()}


def _select(connection: Connection[Any], job_id: UUID, *, locked: bool) -> Job | None:
    with connection.cursor(row_factory=dict_row) as cursor:
        query: LiteralString = f"SELECT {_COLUMNS} FROM jobs WHERE id = %s"  # noqa: S608 - a constant
        cursor.execute(f"{query} FOR UPDATE" if locked else query, (job_id,))
        row = cursor.fetchone()
    return None if row is None else _job(row)


def _store(connection: Connection[Any], job_id: UUID, callback: Callback, state: State) -> None:
    connection.execute(
        "UPDATE jobs SET status = %s, failed_stage = %s, error = %s, history = history || %s,"
        " updated_at = clock_timestamp() WHERE id = %s",
        (
            state.status.value,
            state.failed_stage,
            Jsonb(state.error.to_json()) if state.error else None,
            Jsonb([_entry(state.status)]),
            job_id,
        ),
    )
    connection.execute(
        "INSERT INTO callbacks (job_id, callback_id) VALUES (%s, %s)",
        (job_id, callback.callback_id),
    )


def _keep(connection: Connection[Any], job_id: UUID, document: Document) -> None:
    connection.execute(
        "INSERT INTO documents (job_id, source_url, content) VALUES (%s, %s, %s)",
        (job_id, document.source_url, _storable(document.content)),
    )
    outbox.write(connection, job_id, Action.CHUNK, {}, document.carrier)


def _storable(text: str) -> str:
    """Return a text as PostgreSQL takes it: without NUL, which a page may well have."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _job(row: dict[str, Any]) -> Job:
    marked = Mark.checked(row.pop("traffic"), row.pop("run_id"))
    return Job(**{**row, "status": Status(row["status"])}, mark=marked)
