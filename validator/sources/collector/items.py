"""What the collector holds: items, and the traces and jobs that they are of."""

from __future__ import annotations

from dataclasses import dataclass

from validator.model import Signal
from validator.sources.collector.losses import Mark

_OVERHEAD = 250
"""Bytes that an item takes beside its data: its objects and its places in the indexes."""


class Batch:
    """What the items of one scope of one request share; resource and scope are serialized."""

    __slots__ = ("resource", "scope", "seen")

    def __init__(self, resource: bytes, scope: bytes, seen: float) -> None:
        """Keep what is shared; `seen` is the time of receipt in Unix seconds."""
        self.resource = resource
        self.scope = scope
        self.seen = seen


@dataclass(frozen=True, slots=True)
class Piece:
    """A span or log record on its way into the store; `trace` is empty when it has none."""

    trace: bytes
    data: bytes
    marks: tuple[Mark, ...] = ()
    links: tuple[bytes, ...] = ()


class Item:
    """One span or log record that is held; the index sets its trace and jobs."""

    __slots__ = ("alive", "batch", "data", "jobs", "links", "signal", "trace")

    def __init__(self, signal: Signal, batch: Batch, piece: Piece) -> None:
        """Take the piece."""
        self.signal = signal
        self.batch = batch
        self.data = piece.data
        self.links = piece.links
        self.trace: Holder | None = None
        self.jobs: tuple[Job, ...] = ()
        self.alive = True

    @property
    def size(self) -> int:
        """Return about how many bytes it takes."""
        return len(self.data) + _OVERHEAD


class Holder:
    """Items that belong together, in order of arrival: those of one trace."""

    __slots__ = ("_dead", "_items", "key", "last")

    def __init__(self, key: bytes) -> None:
        """Hold nothing yet; `key` is the trace id, empty when it is not a trace's."""
        self.key = key
        self.last = float("-inf")
        self._items: list[Item] = []
        self._dead = 0

    @property
    def items(self) -> list[Item]:
        """Return the items that are still held."""
        return [item for item in self._items if item.alive] if self._dead else self._items

    def __bool__(self) -> bool:
        """Whether anything is still held."""
        return len(self._items) > self._dead

    def add(self, item: Item) -> None:
        """Hold `item` too."""
        self._items.append(item)
        self.last = item.batch.seen

    def drop(self) -> None:
        """Take note that one more item is dead; sweep when half of them are.

        So that a trace of n items goes in time proportional to n, not to its square.
        """
        self._dead += 1
        if self._dead * 2 > len(self._items):
            self._items = [item for item in self._items if item.alive]
            self._dead = 0


class Job(Holder):
    """A job: the traces that carry its mark, with how many items do, and its loose items."""

    __slots__ = ("mark", "traces")

    def __init__(self, mark: Mark) -> None:
        """Know nothing of the job yet."""
        super().__init__(b"")
        self.mark = mark
        self.traces: dict[Holder, int] = {}
