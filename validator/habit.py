"""When what a job leaves becomes readable, learned from its earlier runs, and when to look."""

from __future__ import annotations

import bisect
import math
import statistics
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain

_REMEMBERED = 40
"""So many runs: enough for a quantile, few enough that a change is learned within a day."""

_DECISIVE = 16
"""So many runs for what decides while the job runs: each knows it better than those before."""

_ENOUGH = 3
"""So many runs before they are a habit."""

_ENOUGH_LAGS = 10
"""So many pieces before it is known how late they usually are."""

_TIGHT = 0.05
"""Seconds between two looks within which it is known when what came between them came."""

_GOLDEN = 0.6180339887
"""Multiples of it, modulo one, are spread evenly however many there are (a Weyl sequence)."""

_MARGIN = 0.01
"""Seconds by which a look is later than what it is for."""

_NARROW = 0.02
"""Seconds between looks that are near enough: a shorter wait is not worth another request."""

_RESOLUTION = 0.001
"""Seconds to which a wait is worth knowing."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """Between when and when a piece became readable, and when what it tells of `happened`.

    All in seconds on one clock; it was not to be had at `after`, and was at `by`.
    """

    happened: float
    after: float
    by: float

    def since(self, moment: float) -> Arrival:
        """Return the same, in seconds since a moment."""
        return Arrival(self.happened - moment, self.after - moment, self.by - moment)


@dataclass(slots=True)
class Habit:
    """The habit of one source, for the jobs of one suite; times in seconds.

    What was seen is kept as it was seen, and what it means is reckoned when it is needed: the more
    is known of the lag, the better is known when the pieces of earlier runs came.

    `decisive` is what decided a verdict while the job ran, since the submission; `last` the last
    piece of each run since its job's end; `counts` are how many pieces there were; `lags` how much
    later than it happened a piece was readable, where that is known; `runs` counts what was learned
    from.
    """

    decisive: deque[tuple[Arrival, ...]] = field(default_factory=lambda: deque(maxlen=_DECISIVE))
    last: deque[tuple[int, Arrival]] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    counts: deque[int] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    lags: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    runs: int = 0

    @property
    def known(self) -> bool:
        """Whether there have been enough runs to speak of a habit."""
        return len(self.last) >= _ENOUGH

    def learn(
        self,
        arrived: Sequence[Arrival],
        decisive: Sequence[Arrival],
        submitted: float,
        ended: float,
    ) -> None:
        """Learn from a run; one that nothing was seen of is no habit."""
        if not arrived:
            return
        self.lags.extend(
            (one.after + one.by) / 2 - one.happened
            for one in arrived
            if one.by - one.after <= _TIGHT
        )
        lag, _ = self._usual_lag()
        last = max(arrived, key=lambda one: (min(one.by, one.happened + lag), one.happened))
        self.decisive.append(tuple(one.since(submitted) for one in decisive))
        self.last.append((self.runs, last.since(ended)))
        self.counts.append(len(arrived))
        self.runs += 1

    def _ends(self) -> list[float]:
        """Return how long after the job's end the last piece of each run became readable."""
        lag, steady = self._usual_lag()
        found: list[float] = []
        for number, one in self.last:
            usual = one.happened + lag
            known = one.after <= usual <= one.by and steady <= min(_TIGHT, one.by - one.after)
            found.append(max(0.0, usual if known else _somewhere(number, one, found)))
        return found

    def _decided(self) -> list[float]:
        """Return how long after the submission what decided a verdict became readable.

        As long after it happened as others did, else in the middle, which halves what is unknown:
        one look is for it, and soon shows better.
        """
        lag = statistics.median(self.lags) if self.lags else math.inf
        found = []
        for one in chain.from_iterable(self.decisive):
            usual = one.happened + lag
            found.append(usual if one.after <= usual <= one.by else (one.after + one.by) / 2)
        return found

    def _usual_lag(self) -> tuple[float, float]:
        """Return how much later than it happened a piece is readable, and by how much that differs.

        Both are infinite as long as too few are known.
        """
        if len(self.lags) < _ENOUGH_LAGS:
            return math.inf, math.inf
        tenths = statistics.quantiles(self.lags, n=10, method="inclusive")
        return tenths[4], tenths[-1] - tenths[0]

    def running(self, most: int) -> tuple[float, ...]:
        """Return how long after the submission it is worth a look while the job runs.

        `most` is how many looks there are in all; those after the job's end get their share.
        """
        if not self.known:
            return ()
        running, _ = spread([self._decided(), self._ends()], most)
        return running

    def decides(self, count: int) -> bool:
        """Whether more than `count` pieces have ever decided a verdict while the job ran."""
        return any(len(run) > count for run in self.decisive)

    def misses(self, count: int) -> bool:
        """Whether `count` pieces are fewer than a run usually leaves."""
        return len(self.counts) >= _ENOUGH and count < statistics.median_low(self.counts)

    def after_end(self, most: int, since: float = -1.0) -> tuple[float, ...]:
        """Return at most `most` times after the job's end, later than `since`, to look."""
        if not self.known:
            return ()
        (after,) = spread([[time for time in self._ends() if time > since]], most)
        return after


def _somewhere(number: int, one: Arrival, others: Sequence[float]) -> float:
    """Return when a piece came of which only the looks tell: between them, each run elsewhere.

    So looks go where things may be, and what is not known of them gets less with each run. But not
    long after all `others`: nobody looked for a while then, and that it came soon is likelier. What
    is taken for too early is seen late once more, and corrected.
    """
    between = one.after + (number * _GOLDEN % 1.0) * (one.by - one.after)
    if len(others) < _ENOUGH:
        return between
    apart = max(others) - min(others)
    return min(between, max(one.after, max(others) + max(apart, _TIGHT)))


def spread(parts: Sequence[Iterable[float]], most: int) -> list[tuple[float, ...]]:
    """Return at most `most` times to look so that what has arrived waits as briefly as can be.

    Each of `parts` has a time of its own, and gets at least one look if anything arrived in it.
    The longest wait counts: the narrowest width of which `most` intervals cover all arrivals, each
    looked at a little after it ends, for the next arrival may be later than any so far. As much
    later as they are apart on average, which most are not.
    """
    sorted_parts = [_padded(sorted(part)) for part in parts]
    high = max((part[-1] - part[0] for part in sorted_parts if part), default=0.0)
    low, high = _NARROW, max(_NARROW, high)
    while high - low > _RESOLUTION:
        middle = (low + high) / 2
        if sum(len(_groups(part, middle)) for part in sorted_parts) <= most:
            high = middle
        else:
            low = middle
    return [_looks(_groups(part, high)) for part in sorted_parts]


def _padded(times: Sequence[float]) -> Sequence[float]:
    """Return times with one before and one after them: the next arrival may be either.

    As far off as they are apart on average, which is how far off it is to be expected.
    """
    if len(times) < 2:
        return times
    apart = (times[-1] - times[0]) / (len(times) - 1)
    return [times[0] - apart, *times, times[-1] + apart]


def _looks(groups: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Return a time to look for each group of arrivals, a little after its last."""
    found = []
    for group, after in zip(groups, [*groups[1:], [math.inf]], strict=False):
        found.append(min(group[-1] + _MARGIN, (group[-1] + after[0]) / 2))
    return tuple(found)


def _groups(times: Sequence[float], width: float) -> list[Sequence[float]]:
    """Return the arrivals in the fewest intervals of `width` that cover all of them."""
    groups = []
    index = 0
    while index < len(times):
        after = bisect.bisect_right(times, times[index] + width + _RESOLUTION)
        groups.append(times[index:after])
        index = after
    return groups
