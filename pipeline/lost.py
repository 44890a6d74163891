"""Tasks that the broker has lost: they were published, nobody works on them, and they are nowhere.

A server that is killed may have acknowledged more than it had written. What a job waits for is
looked for in the queue, in the workers' hands and among the dead letters; if it is in none of
them, it is published once more. A task that is published twice is the same task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from pipeline import dead_letters, logs, outbox
from pipeline.celery_app import EMBED_TASK, QUEUES, SCRAPE_TASK
from pipeline.outbox import Action
from pipeline.publish import task_id_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from psycopg import Connection
    from redis import Redis

MOST: Final = 5
"""How often a task is published anew: what gets lost each time is not the broker's fault."""
_TASKS: Final = {Action.SCRAPE: SCRAPE_TASK, Action.EMBED: EMBED_TASK}
_BATCH: Final = 200
_TAIL: Final = 2000
"""The properties stand at the end of a message, behind a body that may be long."""
_IDS: Final = """\
local found = {}
local items = ARGV[1] == 'list' and redis.call('LRANGE', KEYS[1], ARGV[2], ARGV[3])
    or redis.call('HVALS', KEYS[1])
for i, item in ipairs(items) do
    found[i] = string.match(string.sub(item, -tonumber(ARGV[4])), '"correlation_id": "([^"]*)"')
        or string.match(string.sub(item, -tonumber(ARGV[4])), '"task_id": "([^"]*)"') or ''
end
return found"""
_WAITING: Final = (
    "SELECT job_id, action FROM outbox JOIN jobs ON jobs.id = job_id"
    " WHERE published_at < now() - %s * interval '1 second' AND publications <= %s"
    " AND status NOT IN ('done', 'failed')"
    " AND (action = 'scrape' AND status = 'pending'"
    " OR action = 'embed' AND status IN ('chunking', 'embedding'))"
    " AND updated_at < now() - %s * interval '1 second'"
)


def waiting(connection: Connection[Any], seconds: float) -> list[tuple[UUID, Action]]:
    """Return the jobs whose task was published so long ago and has not reported since."""
    rows = connection.execute(_WAITING, (seconds, MOST, seconds)).fetchall()
    return [(job_id, Action(action)) for job_id, action in rows]


def anywhere(client: Redis) -> set[str]:
    """Return the ids of all tasks that the broker has."""
    ids = client.register_script(_IDS)
    found: set[str] = set()
    for key in (*QUEUES.values(), *dead_letters.LISTS.values()):
        for some in _batches(ids, key):
            found.update(some)
    # Last, because it is from the queues that they come here.
    found.update(_texts(ids(keys=["unacked"], args=["hash", 0, 0, _TAIL])))
    return found


def republish(connection: Connection[Any], client: Redis, seconds: float) -> list[UUID]:
    """Have those published once more that are nowhere; return their jobs."""
    candidates = waiting(connection, seconds)
    if not candidates:
        return []
    there = anywhere(client)
    found = []
    for job_id, action in candidates:
        if task_id_of(job_id, _TASKS[action]) in there:
            continue
        outbox.reopen(connection, job_id, action)
        with logs.of_job(job_id):
            logs.get("relay").warning("task_lost", action=action.value)
        found.append(job_id)
    return found


def _batches(ids: Any, key: str) -> Iterator[set[str]]:
    start = 0
    while True:
        some = ids(keys=[key], args=["list", start, start + _BATCH - 1, _TAIL])
        yield _texts(some)
        if len(some) < _BATCH:
            return
        start += _BATCH


def _texts(items: Iterable[bytes]) -> set[str]:
    return {item.decode(errors="replace") for item in items}
