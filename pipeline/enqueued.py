"""Tasks that somebody enqueued by himself: whose each is, and what became of it.

Kept in the cache for a minute while the task is published, for a day while it waits, and for an
hour once it has ended.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis
    from redis.client import Pipeline

PUBLISHING: Final = "publishing"
"""Nobody knows yet whether the broker has the task: it is published by whoever asks for it."""
PUBLISHING_SECONDS: Final = 60
WAITING_SECONDS: Final = 24 * 3600
ENDED_SECONDS: Final = 3600


@dataclass(frozen=True, slots=True)
class Enqueued:
    """A task; `asked` is a digest of what it was told, to tell the same from another.

    `run_id` is that of a synthetic run.
    """

    caller_id: str
    asked: str
    status: str = PUBLISHING
    result: dict[str, Any] = field(default_factory=dict)
    run_id: str = ""


class Register:
    """The tasks that were enqueued by way of one service."""

    def __init__(self, cache: Redis, service: str) -> None:
        """Keep them in the cache."""
        self._cache = cache
        self._service = service

    def begin(self, job_id: str, new: Enqueued) -> Enqueued | None:
        """Keep a new task; return the one that has this id already, if there is one."""
        kept, key = json.dumps(asdict(new)), self._key(job_id)
        if new.run_id:
            self._cache.sadd(_of_run(new.run_id), key)
            self._cache.expire(_of_run(new.run_id), WAITING_SECONDS)
        if self._cache.set(key, kept, nx=True, ex=PUBLISHING_SECONDS):
            return None
        return self.get(job_id)

    def published(self, job_id: str) -> None:
        """Note that the broker has the task, unless it has ended already."""

        def waits(known: Enqueued) -> tuple[Enqueued, int] | None:
            is_new = known.status == PUBLISHING
            return (replace(known, status="queued"), WAITING_SECONDS) if is_new else None

        self._change(job_id, waits)

    def get(self, job_id: str) -> Enqueued | None:
        """Return a task, unless there is none or its time is over."""
        text = self._cache.get(self._key(job_id))
        return Enqueued(**json.loads(text)) if isinstance(text, str | bytes) else None

    def end(self, job_id: str, status: str, result: dict[str, Any]) -> bool:
        """Keep what became of a task; tell whether anybody can still ask for it."""
        return self._change(
            job_id, lambda known: (replace(known, status=status, result=result), ENDED_SECONDS)
        )

    def _change(
        self, job_id: str, change: Callable[[Enqueued], tuple[Enqueued, int] | None]
    ) -> bool:
        """Change an entry, as one step for all who do; tell whether that was done."""
        key = self._key(job_id)

        def work(pipeline: Pipeline) -> None:
            text = pipeline.get(key)
            pipeline.multi()
            known = Enqueued(**json.loads(text)) if isinstance(text, str | bytes) else None
            changed = change(known) if known else None
            if changed:
                pipeline.set(key, json.dumps(asdict(changed[0])), xx=True, ex=changed[1])

        return bool(self._cache.transaction(work, key))

    def _key(self, job_id: str) -> str:
        return f"enqueued:{self._service}:{job_id}"


def forget_run(cache: Redis, run_id: str) -> None:
    """Drop the entries of a synthetic run: a task of its that is in hand finds itself unknown."""
    keys = cache.smembers(_of_run(run_id))
    cache.delete(_of_run(run_id), *keys)


def _of_run(run_id: str) -> str:
    return f"enqueued:run:{run_id}"
