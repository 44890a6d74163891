"""The outbox: what has to happen next to a job, written in the transaction that makes it so.

A row is due until somebody has acted on it. It stays afterwards, as the proof that this was done,
and goes with its job.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from opentelemetry import propagate
from psycopg.rows import dict_row
from psycopg.types.json import Json

from pipeline.mark import Mark

if TYPE_CHECKING:
    from uuid import UUID

    from psycopg import Connection

_OPEN = "published_at IS NULL AND poisoned IS NULL"
_ANEW = (
    "published_at = NULL, poisoned = NULL, attempts = 0, written_at = clock_timestamp(),"
    " next_at = clock_timestamp()"
)
_WRITE = (
    "INSERT INTO outbox (job_id, action, payload, carrier)"  # noqa: S608 - a constant
    " VALUES (%s, %s, %s, %s)"
    f" ON CONFLICT (job_id, action) DO UPDATE SET payload = EXCLUDED.payload, {_ANEW}"
)
_CLAIM = (
    "SELECT o.id, job_id, action, payload, carrier, attempts, traffic, run_id"  # noqa: S608
    " FROM outbox AS o JOIN jobs ON jobs.id = o.job_id"
    f" WHERE {_OPEN} AND o.next_at <= now()"
    " ORDER BY o.next_at LIMIT 1 FOR UPDATE OF o SKIP LOCKED"
)
_NEXT = (
    "SELECT extract(epoch FROM min(next_at) - now())::float8 FROM outbox"  # noqa: S608 - a constant
    f" WHERE {_OPEN} AND next_at > now()"
)


class Action(StrEnum):
    """What is to be done: publish the scrape task, have the document chunked, publish the embed."""

    SCRAPE = "scrape"
    CHUNK = "chunk"
    EMBED = "embed"


@dataclass(frozen=True, slots=True)
class Entry:
    """A row that was claimed; `carrier` is the trace that it belongs to, `mark` its job's."""

    id: int
    job_id: UUID
    action: Action
    payload: dict[str, Any]
    carrier: dict[str, str]
    mark: Mark
    attempts: int


def carrier() -> dict[str, str]:
    """Return the trace and the baggage that are current, as HTTP headers would carry them."""
    found: dict[str, str] = {}
    propagate.inject(found)
    return found


def write(
    connection: Connection[Any],
    job_id: UUID,
    action: Action,
    payload: dict[str, Any],
    carried: dict[str, str] | None = None,
) -> None:
    """Have the action done once this transaction is committed; done already, it is done again."""
    connection.execute(
        _WRITE.encode(),
        (job_id, action.value, Json(payload), Json(carrier() if carried is None else carried)),
    )


def claim(connection: Connection[Any]) -> Entry | None:
    """Return a row that is due and lock it until the transaction ends; others pass it by."""
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_CLAIM.encode()).fetchone()
    if row is None:
        return None
    marked = Mark.checked(row.pop("traffic"), row.pop("run_id"))
    return Entry(**{**row, "action": Action(row["action"])}, mark=marked)


def seconds_to_next(connection: Connection[Any]) -> float | None:
    """Return in how many seconds a row that is not due yet will be, if there is one."""
    row = connection.execute(_NEXT.encode()).fetchone()
    return None if row is None else row[0]


def pending(connection: Connection[Any]) -> tuple[dict[str, int], dict[str, float]]:
    """Return, by traffic, how many rows nobody has acted on, and the age of the oldest."""
    rows = connection.execute(
        "SELECT traffic, count(*), extract(epoch FROM now() - min(written_at))::float8"
        " FROM outbox AS o JOIN jobs ON jobs.id = job_id"
        " WHERE published_at IS NULL GROUP BY traffic"
    ).fetchall()
    return {row[0]: row[1] for row in rows}, {row[0]: row[2] for row in rows}


def published(connection: Connection[Any], entry: Entry) -> None:
    """Note that the action was done."""
    connection.execute(
        "UPDATE outbox SET published_at = clock_timestamp(), publications = publications + 1,"
        " last_error = NULL WHERE id = %s",
        (entry.id,),
    )


def failed(connection: Connection[Any], entry: Entry, error: str, seconds: float) -> None:
    """Note that the action failed, and have it tried again after so many seconds."""
    connection.execute(
        "UPDATE outbox SET attempts = attempts + 1, last_error = %s,"
        " next_at = clock_timestamp() + %s * interval '1 second' WHERE id = %s",
        (error, seconds, entry.id),
    )


def reopen(connection: Connection[Any], job_id: UUID, action: Action) -> None:
    """Have an action done once more, in the trace that it was done in."""
    connection.execute(
        f"UPDATE outbox SET {_ANEW} WHERE job_id = %s AND action = %s".encode(),  # noqa: S608
        (job_id, action.value),
    )


def poison(connection: Connection[Any], entry: Entry, reason: str) -> None:
    """Leave the row alone from now on: as it is, nobody can act on it."""
    connection.execute("UPDATE outbox SET poisoned = %s WHERE id = %s", (reason, entry.id))
