"""Publishing for callers: a queue takes no more than it may hold, and says so at once.

A place is taken before the task is published, by one script that counts what waits and who is
about to publish. So many callers at once do not add more than there is room for; who dies in
between gives his place back when its time is over.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from kombu.exceptions import OperationalError
from redis.exceptions import OutOfMemoryError, RedisError, ResponseError

from pipeline import celery_app, clients
from pipeline.celery_app import QUEUES
from pipeline.publish import publish

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from celery import Celery

    from pipeline.settings import Settings

DEPTH: Final = 1000
_PLACE_SECONDS: Final = 15
"""Longer than any attempt to publish takes."""
_PLACE: Final = """\
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
local depth = redis.call('LLEN', KEYS[1]) + redis.call('ZCARD', KEYS[2])
if depth >= tonumber(ARGV[1]) then return 0 end
redis.call('ZADD', KEYS[2], now + tonumber(ARGV[2]), ARGV[3])
return 1"""


class QueueFullError(Exception):
    """As many tasks wait as may."""


class BrokerFullError(Exception):
    """The broker has no memory for another task."""


class BrokerAwayError(Exception):
    """The broker cannot be reached, or does not answer in time."""


class Queues:
    """Publishes tasks of callers."""

    def __init__(self, settings: Settings) -> None:
        """Publish to the broker of the settings, up to their depth."""
        self._most = int(settings.number("PIPELINE_MAX_QUEUE_DEPTH", DEPTH))
        self._app: Celery = celery_app.make(settings)
        celery_app.declare_tasks(self._app)
        self._client = clients.broker(settings)
        self._place = self._client.register_script(_PLACE)

    def publish(self, task: str, job_id: UUID, payload: dict[str, Any]) -> str:
        """Publish a task if its queue has room; return its id."""
        try:
            with self._a_place(QUEUES[task]):
                return publish(self._app, task, job_id, payload)
        except (OperationalError, RedisError) as error:
            raise _told(error) from error

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
        self._app.close()

    @contextmanager
    def _a_place(self, queue: str) -> Iterator[None]:
        places, mine = f"places:{queue}", str(uuid4())
        if not self._place(keys=[queue, places], args=[self._most, _PLACE_SECONDS, mine]):
            raise QueueFullError(f"{self._most} tasks wait in {queue}, and no more may")
        try:
            yield
        finally:
            with suppress(RedisError):  # it is given back when its time is over
                self._client.zrem(places, mine)


def _told(error: Exception) -> Exception:
    """Return what the broker's error means to a caller."""
    known: BaseException | None = error
    while known is not None:
        if isinstance(known, OutOfMemoryError) or "used memory > 'maxmemory'" in str(known):
            return BrokerFullError("the broker's memory is full (maxmemory): it takes no tasks")
        if isinstance(known, ResponseError):
            return BrokerAwayError(f"the broker refuses the task: {known}")
        known = known.__cause__
    return BrokerAwayError(f"the broker cannot be reached: {error}")
