"""The relay: acts on what is in the outbox, again and again until it is done.

Each row is locked while it is acted on, so that several orchestrators share the work. One that is
killed lets go of its rows with its connections, and what it had done may be done once more.
"""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context, propagate
from opentelemetry.instrumentation.utils import suppress_instrumentation

from pipeline import logs, mark, outbox
from pipeline.backoff import jittered
from pipeline.payloads import PayloadError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from psycopg import Connection
    from psycopg_pool import ConnectionPool

    from pipeline.actions import Do, Done
    from pipeline.metrics import Metrics

THREADS: Final = 4
_FIRST: Final = 0.1
_STOP_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How often each thread looks unasked, and how long a row waits at most, in seconds."""

    look_seconds: float = 2.0
    most_seconds: float = 5.0


class Relay:
    """Threads that take rows from the outbox."""

    def __init__(self, pool: ConnectionPool, metrics: Metrics, pace: Pace | None = None) -> None:
        """Take rows through a pool of the relay's own, with a connection for each thread."""
        self._pool = pool
        self._metrics = metrics
        self._pace = pace or Pace()
        self._wake = threading.Semaphore(0)
        self._stopping = False
        self._threads: list[threading.Thread] = []

    def start(self, action: Callable[[outbox.Action], Do], threads: int = THREADS) -> None:
        """Begin to look, and do about each row what belongs to its action."""
        for number in range(threads):
            name = f"relay-{number}"
            thread = threading.Thread(target=self._run, args=(action,), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def wake(self) -> None:
        """Have one thread look now: a transaction that wrote a row has been committed."""
        self._wake.release()

    def stop(self) -> None:
        """End the threads, each once it has done what it has in hand or the time is over."""
        self._stopping = True
        self._wake.release(len(self._threads))
        until = time.monotonic() + _STOP_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        self._pool.close(timeout=1)

    def one(self, action: Callable[[outbox.Action], Do]) -> bool | None:
        """Act on one row that is due; tell whether it went well, or that there was none."""
        with ExitStack() as around:
            with self._pool.connection() as connection:
                with suppress_instrumentation():
                    entry = outbox.claim(connection)
                if entry is None:
                    return None
                around.enter_context(_in_trace(entry))
                done = self._act(connection, entry, action(entry.action))
            if done is None:
                return False
            done()
        return True

    def _act(self, connection: Connection[Any], entry: outbox.Entry, do: Do) -> Done | None:
        """Act, and note it in the same transaction; nothing is returned where it failed."""
        try:
            with connection.transaction():  # a savepoint: what fails leaves the row to be noted
                done = do(connection, entry)
                with suppress_instrumentation():
                    outbox.published(connection, entry)
        except PayloadError as error:
            self._poisoned(connection, entry, str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the row must not be lost
            self._failed(connection, entry, error)
        else:
            self._count(entry, "done")
            return done
        return None

    def _failed(self, connection: Connection[Any], entry: outbox.Entry, error: Exception) -> None:
        self._count(entry, "failed")
        seconds = jittered(entry.attempts, _FIRST, self._pace.most_seconds)
        with suppress_instrumentation():
            outbox.failed(connection, entry, f"{type(error).__name__}: {error}"[:1000], seconds)
        logs.get("relay").warning(
            "outbox_retried",
            action=entry.action.value,
            attempts=entry.attempts + 1,
            error_message=str(error)[:1000],
        )

    def _poisoned(self, connection: Connection[Any], entry: outbox.Entry, reason: str) -> None:
        self._count(entry, "poisoned")
        with suppress_instrumentation():
            outbox.poison(connection, entry, reason)
        logs.get("relay").error("outbox_poisoned", action=entry.action.value, error_message=reason)

    def _count(self, entry: outbox.Entry, outcome: str) -> None:
        labels = {"action": entry.action.value, "traffic": entry.mark.traffic}
        self._metrics.outbox_attempts.labels(outcome=outcome, **labels).inc()

    def _run(self, action: Callable[[outbox.Action], Do]) -> None:
        failures = 0
        while not self._stopping:
            wait = 0.0
            try:
                went_well = self.one(action)
                failures = failures + 1 if went_well is False else 0
                if went_well is None:
                    wait = self._idle()
            except Exception as error:  # noqa: BLE001 - PostgreSQL is away; the rows are not lost
                failures += 1
                logs.get("relay").warning("outbox_unreachable", error_message=str(error))
            if failures:  # whatever they lack, others are not to be asked for it at full speed
                wait = jittered(failures, _FIRST, self._pace.look_seconds)
            if wait:
                self._wake.acquire(timeout=wait)

    def _idle(self) -> float:
        """Return how long there is nothing to do, if nobody wakes us."""
        with suppress_instrumentation(), self._pool.connection() as connection:
            found = outbox.seconds_to_next(connection)
        return self._pace.look_seconds if found is None else min(found, self._pace.look_seconds)


@contextmanager
def _in_trace(entry: outbox.Entry) -> Iterator[None]:
    """Go on in the trace that the row belongs to, under the job's own mark."""
    carried = dict(entry.carrier)
    if "baggage" in carried:
        carried["baggage"] = mark.without_mark(carried["baggage"])
    token = context.attach(mark.in_context(entry.mark, propagate.extract(carried)))
    try:
        with logs.of_job(entry.job_id):
            yield
    finally:
        context.detach(token)
