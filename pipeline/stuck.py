"""Jobs that go on no more: which they are, and how they are set going again (P-11, H-01)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from psycopg.rows import class_row

from pipeline import outbox
from pipeline.outbox import Action

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from psycopg import Connection

MINUTES: Final = 30.0
UNPUBLISHED_SECONDS: Final = 30.0
_OPEN = "status NOT IN ('done', 'failed')"
_STUCK = f"{_OPEN} AND updated_at < now() - %s * interval '1 second'"
_COLUMNS = (
    "id, status, url, caller_id, traffic, updated_at,"
    " extract(epoch FROM now() - updated_at)::float8 AS seconds"
)
_ACTIONS: Final = {"pending": Action.SCRAPE, "scraping": Action.CHUNK}
"""By the status, what a job waits for; later on it is the embed task."""


@dataclass(frozen=True, slots=True)
class Stuck:
    """A job that has not ended, and since when nothing happened to it."""

    id: UUID
    status: str
    url: str
    caller_id: str
    traffic: str
    updated_at: datetime
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return it as the command shows it."""
        found = asdict(self)
        return {**found, "id": str(self.id), "updated_at": self.updated_at.isoformat()}


def found(connection: Connection[Any], minutes: float = MINUTES) -> list[Stuck]:
    """Return the jobs that have not ended and have not changed for so long, the oldest first."""
    with connection.cursor(row_factory=class_row(Stuck)) as cursor:
        query = f"SELECT {_COLUMNS} FROM jobs WHERE {_STUCK} ORDER BY updated_at"  # noqa: S608 - constants
        return cursor.execute(query.encode(), (minutes * 60,)).fetchall()


def counts(connection: Connection[Any], minutes: float = MINUTES) -> dict[str, int]:
    """Return how many there are, by their traffic."""
    query = f"SELECT traffic, count(*) FROM jobs WHERE {_STUCK} GROUP BY traffic"  # noqa: S608 - constants
    return dict(connection.execute(query.encode(), (minutes * 60,)).fetchall())


def unpublished(connection: Connection[Any], seconds: float = UNPUBLISHED_SECONDS) -> list[Stuck]:
    """Return the pending jobs of that age that nothing is written of in the outbox."""
    with connection.cursor(row_factory=class_row(Stuck)) as cursor:
        query = (
            f"SELECT {_COLUMNS} FROM jobs"  # noqa: S608 - constants
            " WHERE status = 'pending' AND created_at < now() - %s * interval '1 second'"
            " AND NOT EXISTS (SELECT 1 FROM outbox WHERE job_id = jobs.id) ORDER BY created_at"
        )
        return cursor.execute(query.encode(), (seconds,)).fetchall()


def republish(connection: Connection[Any], job: Stuck) -> Action:
    """Have done once more what a job waits for; return what that is.

    A task that is published twice is the same task: its reports change nothing the second time.
    """
    action = _ACTIONS.get(job.status, Action.EMBED)
    row = connection.execute(
        "SELECT payload FROM outbox WHERE job_id = %s AND action = %s", (job.id, action.value)
    ).fetchone()
    if row is not None:
        outbox.reopen(connection, job.id, action)
    elif action is Action.SCRAPE:
        outbox.write(connection, job.id, action, {"url": job.url})
    else:  # its chunks were kept by nobody: have them made again
        action = Action.CHUNK
        outbox.write(connection, job.id, action, {})
    return action
