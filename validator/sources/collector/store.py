"""The collector's memory: spans and log records as bytes, within bounds, and what it answers."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice

from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from validator.model import Signal, TraceRef
from validator.ports import Clock, Question
from validator.sources.collector.index import Index, marks_asked
from validator.sources.collector.items import Batch, Item, Piece
from validator.sources.collector.limits import Limits
from validator.sources.collector.losses import LinkedTo, Losses, Owner, owners_of
from validator.sources.collector.pieces import marks_in

_LOOKED_BACK = 2_000
"""So many of the latest items are looked at for the names of services that send at all."""

_FLUSHED = 10.0
"""Seconds after which exporters have flushed what they held when the collector began: twice the
5 s of the SDKs' batch processors."""


def _service(resource: bytes) -> str:
    """Return the `service.name` of a resource as it came, empty if it has none."""
    for attribute in Resource.FromString(resource).attributes:
        if attribute.key == "service.name":
            return attribute.value.string_value
    return ""


@dataclass(frozen=True, slots=True)
class Found:
    """What the store has for a question; `lost` says what it had or refused, a line each."""

    items: list[Item]
    traces: tuple[TraceRef, ...]
    lost: tuple[str, ...]
    control_seen: bool
    version: int
    heard: tuple[str, ...]


@dataclass(slots=True)
class Figures:
    """What the collector counts of one signal."""

    received: int = 0
    rejected: int = 0
    evicted: int = 0
    resident: int = 0


@dataclass(slots=True)
class _Shelf:
    """The items of one signal, oldest first."""

    queue: deque[Item] = field(default_factory=deque)
    figures: Figures = field(default_factory=Figures)


class Store:
    """Holds what came in, within bounds, and answers questions. Any thread may call it."""

    def __init__(self, limits: Limits, job_id_keys: Iterable[str], clock: Clock) -> None:
        """Hold at most `limits`; `job_id_keys` are the attributes that are indexed."""
        self.job_id_keys = frozenset(job_id_keys)
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._shelves = {Signal.TRACES: _Shelf(), Signal.LOGS: _Shelf()}
        self._size = 0
        self._index = Index()
        self._losses = Losses(limits.losses)
        self._began = clock.now()
        self._version = int(self._began * 1000)
        self._listeners: list[Callable[[], None]] = []

    @property
    def version(self) -> int:
        """Return a number that differs after each change, and after a restart."""
        return self._version

    @property
    def size(self) -> int:
        """Return about how many bytes the items take."""
        return self._size

    def subscribe(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` after each change, from any thread; return what ends that."""
        with self._lock:
            self._listeners.append(listener)

        def end() -> None:
            with self._lock:
                if listener in self._listeners:
                    self._listeners.remove(listener)

        return end

    def touch(self) -> None:
        """Tell the listeners of a change that lies elsewhere (metrics)."""
        with self._changing():
            pass

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the lock for a change, and tell the listeners after it."""
        with self._lock:
            yield
            self._version += 1
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener()

    def add(self, signal: Signal, batch: Batch, pieces: Iterable[Piece]) -> None:
        """Take the pieces of one batch in, and evict what no longer has room."""
        with self._changing():
            shelf = self._shelves[signal]
            for piece in pieces:
                item = Item(signal, batch, piece)
                self._index.add(item, piece)
                shelf.queue.append(item)
                shelf.figures.received += 1
                self._size += item.size
            self._evict()

    def refuse(self, signal: Signal, owners: Iterable[Owner]) -> None:
        """Remember that a piece of these traces or jobs was refused."""
        now = self._clock.now()
        with self._lock:
            self._shelves[signal].figures.rejected += 1
            for owner in owners:
                self._losses.note((signal.value, owner), now, "refused")

    def refuse_request(self, signal: Signal, why: str) -> None:
        """Remember that a whole request was refused."""
        with self._changing():
            self._losses.note_request(signal.value, self._clock.now(), why)

    def figures(self) -> dict[Signal, Figures]:
        """Return the present figures of each signal."""
        with self._lock:
            self._evict()
            return {
                signal: replace(shelf.figures, resident=len(shelf.queue))
                for signal, shelf in self._shelves.items()
            }

    def ask(self, signal: Signal, question: Question) -> Found:
        """Return whole traces of the job, and its loose items; the order is that of arrival."""
        scanned = self._scan(signal, question)
        with self._lock:
            self._evict()
            holders = self._index.holders(signal, question)
            loose = self._index.loose(question)
            for item in scanned:
                if item.trace is None:
                    loose.append(item)
                elif item.trace.last >= question.since:
                    holders.setdefault(item.trace, "job_id")
            wanted = [i for holder in holders for i in holder.items]
            wanted.extend(i for i in dict.fromkeys(loose) if i.alive)
            asked = {bytes.fromhex(trace_id) for trace_id in question.trace_ids}
            keys = asked.union(holder.key for holder in holders)
            links = map(LinkedTo, sorted(asked))
            owners: list[Owner] = [*sorted(keys), *marks_asked(question), *links]
            return Found(
                items=[item for item in wanted if item.signal is signal],
                traces=tuple(
                    sorted(
                        (TraceRef(holder.key.hex(), via) for holder, via in holders.items() if via),
                        key=lambda reference: reference.trace_id,
                    )
                ),
                lost=(
                    *self._losses.told(signal.value, owners, question.since),
                    *self._before_it_listened(question, wanted),
                ),
                control_seen=self._holds(signal, question.control),
                version=self._version,
                heard=self._heard(signal, question.since),
            )

    def _heard(self, signal: Signal, since: float) -> tuple[str, ...]:
        """Return the services of the latest items that came since then, of any job."""
        resources: set[bytes] = set()
        for item in islice(reversed(self._shelves[signal].queue), _LOOKED_BACK):
            if item.batch.seen < since:
                break
            resources.add(item.batch.resource)
        return tuple(sorted({name for one in resources if (name := _service(one))}))

    def _before_it_listened(self, question: Question, found: list[Item]) -> list[str]:
        """Say that the job may have left something before there was anybody to take it.

        Of a job whose beginning is not known only what came in well after the collector's own
        beginning is known to be whole.
        """
        if question.since != float("-inf"):
            return []
        first = min((item.batch.seen for item in found), default=self._began)
        if first >= self._began + _FLUSHED:
            return []
        at = datetime.fromtimestamp(self._began, UTC).strftime("%H:%M:%S UTC")
        return [f"listens only since {at}: what the job had sent before that is not known"]

    def _scan(self, signal: Signal, question: Question) -> list[Item]:
        """Return the items that carry the job's id under a key that is not indexed.

        It reads everything that is held, outside of the lock.
        """
        marks = {mark for mark in marks_asked(question) if mark[0] not in self.job_id_keys}
        if not marks:
            return []
        keys = frozenset(key for key, _ in marks)
        with self._lock:
            held = [item for shelf in self._shelves.values() for item in shelf.queue]
        wanted = (i for i in held if i.signal is signal or i.trace is not None)
        return [item for item in wanted if marks.intersection(marks_in(item, keys))]

    def _holds(self, signal: Signal, trace_id: str) -> bool:
        """Whether an item of that signal is held of the trace."""
        trace = self._index.trace(bytes.fromhex(trace_id)) if trace_id else None
        return trace is not None and any(item.signal is signal for item in trace.items)

    def _evict(self) -> None:
        """Let go of the oldest items until all are within the bounds."""
        oldest = self._clock.now() - self._limits.age
        for shelf in self._shelves.values():
            while shelf.queue and (
                len(shelf.queue) > self._limits.items or shelf.queue[0].batch.seen < oldest
            ):
                self._evict_from(shelf)
        while self._size > self._limits.size:
            filled = (shelf for shelf in self._shelves.values() if shelf.queue)
            self._evict_from(min(filled, key=lambda shelf: shelf.queue[0].batch.seen))

    def _evict_from(self, shelf: _Shelf) -> None:
        """Let go of the oldest item of a shelf, remembering whose it was."""
        item = shelf.queue.popleft()
        self._index.remove(item)
        self._size -= item.size
        shelf.figures.evicted += 1
        trace = b"" if item.trace is None else item.trace.key
        for owner in owners_of(trace, (job.mark for job in item.jobs), item.links):
            self._losses.note((item.signal.value, owner), item.batch.seen, "evicted")
