"""What the collector remembers of pieces that it no longer has, or never took."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from validator.sources.otlp_metrics import is_asked

Mark = tuple[str, str]
"""An attribute that names a job: key and value."""


@dataclass(frozen=True, slots=True)
class LinkedTo:
    """The trace that a span linked to; a trace that nothing else tells of went with the link."""

    trace: bytes


Owner = bytes | Mark | LinkedTo
"""Whose piece it was: a trace id, a mark, or a trace that it linked to."""

Why = Literal["evicted", "refused"]
Key = tuple[str, Owner]
"""The signal, and whose piece it was."""


def owners_of(trace: bytes, marks: Iterable[Mark], links: Iterable[bytes]) -> list[Owner]:
    """Return whose a piece is; `trace` is empty when it has none."""
    return [*marks, *([trace] if trace else []), *map(LinkedTo, links)]


@dataclass(slots=True)
class _Loss:
    """How many pieces of one owner were lost, for which reason last, and when one had come."""

    count: int
    why: Why
    received: float


class Losses:
    """Remembers whose pieces were lost, for a bounded number of owners.

    Beyond the bound the oldest is forgotten, but not that something was: whoever asks about a
    time when forgotten pieces had come is told that nobody knows whose they were.
    """

    def __init__(self, bound: int) -> None:
        """Remember the losses of at most `bound` owners."""
        self._bound = bound
        self._known: OrderedDict[Key, _Loss] = OrderedDict()
        self._forgotten = float("-inf")
        self._refused: dict[str, tuple[int, float, str]] = {}

    def note(self, key: Key, received: float, why: Why) -> None:
        """Remember that a piece of `key`, received at `received`, is not to be had."""
        loss = self._known.get(key)
        if loss is None:
            self._known[key] = _Loss(1, why, received)
        else:
            loss.count += 1
            loss.why = why
            loss.received = max(loss.received, received)
            self._known.move_to_end(key)
        if len(self._known) > self._bound:
            _, oldest = self._known.popitem(last=False)
            self._forgotten = max(self._forgotten, oldest.received)

    def note_request(self, signal: str, received: float, why: str) -> None:
        """Remember that a whole request was refused, so that nobody knows whose pieces it had."""
        count, _, _ = self._refused.get(signal, (0, 0.0, ""))
        self._refused[signal] = (count + 1, received, why)

    def told(self, signal: str, owners: Iterable[Owner], since: float) -> list[str]:
        """Return what was lost of `owners` that had come after `since`, a line each."""
        what = {"traces": "spans", "logs": "log records"}[signal]
        lines = []
        for owner in owners:
            loss = self._known.get((signal, owner))
            if loss is not None and loss.received >= since:
                lines.append(f"{what} {_named(owner)} were {loss.why}: {loss.count}")
        if self._forgotten > float("-inf") and self._forgotten >= since:
            lines.append(
                f"so many {what} were evicted that it is no longer known whose: "
                "give the collector more room, or ask sooner"
            )
        count, received, why = self._refused.get(signal, (0, float("-inf"), ""))
        if count and received >= since:
            lines.append(
                f"the collector refused a whole request of {what} that came after the job began "
                f"(the last of {count}: {why}), which may have held some of this job"
            )
        return lines


@dataclass(slots=True)
class _Rejection:
    """How many points of one metric were rejected, why, and when the last."""

    count: int
    why: str
    received: float


class Rejections:
    """Remembers for a while of which metrics points were rejected, within a bound as `Losses`."""

    def __init__(self, bound: int, age: float) -> None:
        """Remember the rejections of at most `bound` metrics, for `age` seconds."""
        self._bound = bound
        self._age = age
        self._known: OrderedDict[str, _Rejection] = OrderedDict()
        self._forgotten = float("-inf")

    def note(self, name: str, received: float, count: int, why: str) -> None:
        """Remember that points of a metric were rejected; it may have no name."""
        self._expire(received)
        known = self._known.pop(name, None)
        self._known[name] = _Rejection(count + (known.count if known else 0), why, received)
        if len(self._known) > self._bound:
            _, oldest = self._known.popitem(last=False)
            self._forgotten = max(self._forgotten, oldest.received)

    def told(self, metrics: frozenset[str], now: float) -> list[str]:
        """Return what was rejected of these families, or of what has no name, a line each."""
        self._expire(now)
        lines = {
            f"data points were rejected: {one.count} ({one.why})": None
            for name, one in self._known.items()
            if not name or is_asked(name, metrics)
        }
        if now - self._forgotten <= self._age:
            lines["so many metrics were rejected that it is no longer known which"] = None
        return [*lines]

    def _expire(self, now: float) -> None:
        """Let go of what is older than the age."""
        while self._known:
            name, oldest = next(iter(self._known.items()))
            if now - oldest.received <= self._age:
                return
            del self._known[name]


def _named(owner: Owner) -> str:
    """Return an owner for a message."""
    if isinstance(owner, LinkedTo):
        return f"that link to trace {owner.trace.hex()}"
    return f"of trace {owner.hex()}" if isinstance(owner, bytes) else f"of {owner[0]}={owner[1]}"
