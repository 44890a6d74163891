"""What the collector remembers of pieces that it no longer has, or never took."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Mark = tuple[str, str]
"""An attribute that names a job: key and value."""

Why = Literal["evicted", "refused"]
Key = tuple[str, bytes | Mark]
"""The signal, and whose piece it was: a trace id or a mark."""


@dataclass(slots=True)
class _Loss:
    """How many pieces of one owner were lost, for which reason last, and when one had come."""

    count: int
    why: Why
    received: float


class Losses:
    """Remembers whose pieces were lost, for a bounded number of traces and jobs.

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

    def told(self, signal: str, owners: Iterable[bytes | Mark], since: float) -> list[str]:
        """Return what was lost of `owners` that had come after `since`, a line each."""
        what = {"traces": "spans", "logs": "log records"}[signal]
        lines = []
        for owner in owners:
            loss = self._known.get((signal, owner))
            if loss is not None and loss.received >= since:
                lines.append(f"{what} of {_named(owner)} were {loss.why}: {loss.count}")
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


def _named(owner: bytes | Mark) -> str:
    """Return an owner for a message."""
    return f"trace {owner.hex()}" if isinstance(owner, bytes) else f"{owner[0]}={owner[1]}"
