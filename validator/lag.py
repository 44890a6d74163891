"""How long a source takes to show what has happened, measured, and what follows from it."""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field

_BOUNDS = tuple(0.005 * 1.3**power for power in range(45))
"""Upper bounds of the buckets in seconds: from 5 ms, each 30 % above the last, to ten minutes. A
quantile is so off by 30 % at most, which is less than one run differs from the next."""

_ENOUGH = 20
"""So many observations before a quantile is believed: one job leaves about as many spans."""

_MOST_PATIENCE = 3.0
"""A source that has become slower is waited for up to so many times its declared lag budget."""


@dataclass(slots=True)
class LagHistogram:
    """The ingest lag of one source: seconds from an event to the first answer that had it.

    Bounded in memory whatever the number of observations; one for each source, kept over runs.
    """

    counts: list[int] = field(default_factory=lambda: [0] * (len(_BOUNDS) + 1))
    total: int = 0
    most: float = 0.0

    def note(self, seconds: float) -> None:
        """Count one observation; clocks that differ may make it negative, which counts as none."""
        lag = max(0.0, seconds)
        self.counts[bisect.bisect_left(_BOUNDS, lag)] += 1
        self.total += 1
        self.most = max(self.most, lag)

    def quantile(self, share: float) -> float | None:
        """Return a lag that `share` of the observations do not exceed, None if there are few."""
        if self.total < _ENOUGH:
            return None
        rank, seen = share * self.total, 0
        for bound, count in zip(_BOUNDS, self.counts, strict=False):
            seen += count
            if seen >= rank:
                return min(bound, self.most)
        return self.most

    def looks(self) -> tuple[float, ...]:
        """Return after how many seconds it is worth a look: when half, and nearly all, is there."""
        return tuple(lag for share in (0.5, 0.95) if (lag := self.quantile(share)) is not None)

    def exceeds(self, declared: float) -> bool:
        """Whether it is known to be longer than declared."""
        slow = self.quantile(0.99)
        return slow is not None and slow > declared

    def budget(self, declared: float) -> float:
        """Return how long to wait before what is missing is missing, in seconds.

        Never less than declared: that a source has been fast so far does not prove that it will
        be. More if it has become slower, so that slowness is not told as loss; within bounds,
        since growing patience must not hide decay (which is a finding of its own).
        """
        slow = self.quantile(0.99)
        if slow is None:
            return declared
        return min(max(declared, 1.2 * slow), _MOST_PATIENCE * declared)
