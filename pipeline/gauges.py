"""Gauges that are looked up when somebody asks: queues, dead letters, the outbox, stuck jobs.

Asking never waits long. What does not answer in time is absent, which is told from zero.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from opentelemetry.instrumentation.utils import suppress_instrumentation
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from pipeline import logs, outbox, stuck
from pipeline.celery_app import QUEUES
from pipeline.dead_letters import Letters
from pipeline.mark import SYNTHETIC, USER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from prometheus_client.core import Metric
    from psycopg_pool import ConnectionPool
    from redis import Redis

    Look = Callable[[], list[Metric]]

WITHIN: Final = 0.5
FRESH: Final = 1.0


class Gauges(Collector):
    """What several looks find, each in a thread of its own so that one that hangs holds up none."""

    def __init__(self, *looks: Look, within: float = WITHIN, fresh: float = FRESH) -> None:
        """Look for at most `within` seconds, and keep what was seen for `fresh` seconds."""
        self._sources = [_Source(look, fresh) for look in looks]
        self._within = within

    def collect(self) -> Iterator[Metric]:
        """Yield what was seen just now or lately enough."""
        until = time.monotonic() + self._within
        for source in self._sources:
            source.begin()
        for source in self._sources:
            yield from source.seen(until)

    def close(self) -> None:
        """Look no more."""
        for source in self._sources:
            source.close()


class _Source:
    def __init__(self, look: Look, fresh: float) -> None:
        self._look = look
        self._fresh = fresh
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="gauges")
        self._running: Future[list[Metric]] | None = None
        self._begun = -fresh

    def begin(self) -> None:
        """Begin to look, unless a look is under way or its result is fresh."""
        with self._lock:
            if self._running is not None and not self._running.done():
                return
            if time.monotonic() - self._begun >= self._fresh:
                self._begun = time.monotonic()
                self._running = self._thread.submit(self._quietly)

    def seen(self, until: float) -> list[Metric]:
        """Return what was seen, or nothing if that takes too long or failed."""
        running = self._running
        if running is None:
            return []
        try:
            return running.result(max(0.0, until - time.monotonic()))
        except Exception as error:  # noqa: BLE001 - absent rather than wrong
            logs.get("gauges").warning("gauges_absent", error_message=repr(error)[:500])
            return []

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _quietly(self) -> list[Metric]:
        with suppress_instrumentation():
            return self._look()


def of_broker(client: Redis) -> Look:
    """Return a look at the queues and the dead letters."""
    letters = Letters(client)

    def look() -> list[Metric]:
        waiting = {queue: int(client.llen(queue)) for queue in QUEUES.values()}
        return [
            _family("queue_depth", "Tasks that wait in a queue", "queue", waiting),
            _family("dlq_depth", "Dead letters of a queue", "queue", letters.depths()),
        ]

    return look


def of_database(pool: ConnectionPool, minutes: float = stuck.MINUTES) -> Look:
    """Return a look at the outbox, and at jobs that are stuck for so many minutes."""

    def look() -> list[Metric]:
        with pool.connection(timeout=WITHIN) as connection:
            connection.execute(f"SET LOCAL statement_timeout = {int(WITHIN * 1000)}".encode())
            pending, oldest = outbox.pending(connection)
            found = stuck.counts(connection, minutes)
        said = "Rows of the outbox that nobody has acted on"
        return [
            _family("outbox_pending", said, "traffic", _of_all(pending)),
            _family(
                "outbox_oldest_seconds", "Age of the oldest of them", "traffic", _of_all(oldest)
            ),
            _family("stuck_jobs", "Jobs without an end or a change", "traffic", _of_all(found)),
        ]

    return look


def _of_all(values: Mapping[str, float]) -> dict[str, float]:
    return {traffic: values.get(traffic, 0) for traffic in (USER, SYNTHETIC)}


def _family(name: str, said: str, label: str, values: Mapping[str, float]) -> Metric:
    found = GaugeMetricFamily(name, said, labels=[label])
    for key, value in values.items():
        found.add_metric([key], value)
    return found
