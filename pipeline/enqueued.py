"""Tasks that somebody enqueued by himself: whose each is, and what became of it.

Kept in the cache for a day while the task waits, and for an hour once it has ended.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from redis import Redis

WAITING_SECONDS: Final = 24 * 3600
ENDED_SECONDS: Final = 3600


@dataclass(frozen=True, slots=True)
class Enqueued:
    """A task; `asked` is a digest of what it was told, to tell the same from another."""

    caller_id: str
    asked: str
    status: str = "queued"
    result: dict[str, Any] = field(default_factory=dict)


class Register:
    """The tasks that were enqueued by way of one service."""

    def __init__(self, cache: Redis, service: str) -> None:
        """Keep them in the cache."""
        self._cache = cache
        self._service = service

    def begin(self, job_id: str, new: Enqueued) -> Enqueued | None:
        """Keep a new task; return the one that has this id already, if there is one."""
        kept = json.dumps(asdict(new))
        if self._cache.set(self._key(job_id), kept, nx=True, ex=WAITING_SECONDS):
            return None
        return self.get(job_id)

    def get(self, job_id: str) -> Enqueued | None:
        """Return a task, unless there is none or its time is over."""
        text = self._cache.get(self._key(job_id))
        return Enqueued(**json.loads(text)) if isinstance(text, str | bytes) else None

    def end(self, job_id: str, status: str, result: dict[str, Any]) -> bool:
        """Keep what became of a task; tell whether anybody can still ask for it."""
        known = self.get(job_id)
        if known is None:
            return False
        ended = json.dumps(asdict(replace(known, status=status, result=result)))
        return bool(self._cache.set(self._key(job_id), ended, xx=True, ex=ENDED_SECONDS))

    def forget(self, job_id: str) -> None:
        """Drop a task that could not be published."""
        self._cache.delete(self._key(job_id))

    def _key(self, job_id: str) -> str:
        return f"enqueued:{self._service}:{job_id}"
