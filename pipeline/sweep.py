"""Removing what synthetic runs leave: by the run, or by age when nobody came to clean up.

Only what carries the mark is ever looked for, so a user's jobs, vectors and tasks are not touched.
A task that a worker has in hand is left to it: it finds its job gone, or the entry of what was
enqueued, and takes back what it wrote, as it does when the broker delivers it again.
"""

from __future__ import annotations

import base64
import json
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import RedisError

from pipeline import mark
from pipeline.celery_app import QUEUES
from pipeline.enqueued import forget_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from celery import Celery
    from redis import Redis

    from pipeline.jobs import JobStore
    from pipeline.mark import Mark
    from pipeline.vectors import VectorStore

BATCH: Final = 500
"""Rows of one transaction, and messages read at a time: what a user's job may have to wait for."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A task that waits in its queue: the message as the broker has it, its mark and its job.

    One that somebody enqueued by himself is of no job.
    """

    message: bytes
    mark: Mark
    job_id: str | None


@dataclass(frozen=True, slots=True)
class Sweep:
    """Where synthetic runs leave things."""

    store: JobStore
    vectors: VectorStore
    broker: Celery
    cache: Redis

    def run(self, run_id: str) -> dict[str, int]:
        """Remove everything of a run; return how many of each there were."""
        with suppress(RedisError):  # without it a task in hand ends as it would have
            forget_run(self.cache, run_id)
        queued = self._take_out(lambda found: found.mark.run_id == run_id, _Never())
        removed, documents = self.store.remove_run(run_id)
        vectors = self.vectors.remove_run(run_id)
        return {"jobs": removed, "documents": documents, "vectors": vectors, "queued": queued}

    def older_than(self, age: float, within: float) -> tuple[dict[str, int], bool]:
        """Remove what is older than `age` seconds, and stop after `within` seconds.

        Returns how many of each were removed, and whether that was all. A task is removed when
        its job is gone: a job is stored before its first task is published.
        """
        until = _Until(time.monotonic() + within)
        counts = {"jobs": 0, "documents": 0, "vectors": 0, "queued": 0}
        more = True
        while more and not until.over():
            gone, documents = self.store.remove_older(age, BATCH)
            counts["jobs"] += len(gone)
            counts["documents"] += documents
            counts["vectors"] += sum(self.vectors.remove_job(job_id) for job_id in gone)
            more = len(gone) == BATCH
        left = True
        while left and not until.over():
            vectors = self.vectors.remove_older(age, BATCH)
            counts["vectors"] += vectors
            left = vectors >= BATCH
        counts["queued"] = self._take_out(self._is_orphan, until)
        return counts, not (more or left or until.over())

    def _is_orphan(self, found: Waiting) -> bool:
        if found.mark.traffic != mark.SYNTHETIC or found.job_id is None:
            return False
        return not self.store.has(found.job_id)

    def _take_out(self, wanted: Callable[[Waiting], bool], until: _Until) -> int:
        """Take the waiting tasks that are wanted out of their queues; return how many."""
        removed = 0
        with self.broker.connection_for_write() as connection:
            client: Any = connection.default_channel.client
            for queue in QUEUES.values():
                for found in _waiting(client, queue, until):
                    if wanted(found):
                        removed += client.lrem(queue, 1, found.message)
        return removed


class _Until:
    """A limit on time."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline

    def over(self) -> bool:
        """Whether it has passed."""
        return time.monotonic() > self._deadline


class _Never(_Until):
    """No limit."""

    def __init__(self) -> None:
        super().__init__(float("inf"))


def _read(message: bytes) -> Waiting | None:
    """Read a message; one that is no task's is left to its worker, who makes it a dead letter."""
    try:
        whole = json.loads(message)
        _, named, *_ = json.loads(base64.b64decode(whole["body"]))
        of_job = named.get("sink", "orchestrator") == "orchestrator"
        job_id = str(named.get("job_id", "")) if of_job else None
        return Waiting(message, mark.of_message(whole["headers"]), job_id)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _waiting(client: Any, queue: str, until: _Until) -> Iterator[Waiting]:
    """Yield the tasks of a queue, the newest first, as far as the time goes.

    New ones come in at the left and push others on: a task may be seen twice, and none is missed.
    """
    start = 0
    while not until.over():
        messages = client.lrange(queue, start, start + BATCH - 1)
        for message in messages:
            found = _read(message)
            if found is not None:
                yield found
        if len(messages) < BATCH:
            return
        start += BATCH
