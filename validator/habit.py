"""When what a job leaves becomes readable, learned from its earlier runs, and when to look."""

from __future__ import annotations

import bisect
import math
import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

_REMEMBERED = 20
"""So many runs: enough for a quantile, few enough that a change is learned within a day."""

_DECISIVE = 8
"""So many runs for what decides while the job runs: each knows it better than those before."""

_ENOUGH = 3
"""So many runs before they are a habit."""

_RUNNING = 2
"""So many looks while the job runs; with the rest, a run stays below ten requests."""

_ENOUGH_LAGS = 10
"""So many pieces before it is known how late they usually are."""

_LOOKS = 4
"""So many looks after the job's end, if nothing else is said."""

_TIGHT = 0.05
"""Seconds between two looks within which it is known when what came between them came."""

_GOLDEN = 0.6180339887
"""Multiples of it, modulo one, are spread evenly however many there are (a Weyl sequence)."""

_MARGIN = 0.005
"""Seconds by which a look is later than what it is for."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """Between when and when a piece became readable, and when what it tells of `happened`.

    All in seconds on one clock; it was not to be had at `after`, and was at `by`.
    """

    happened: float
    after: float
    by: float


@dataclass(slots=True)
class Habit:
    """The habit of one source, for the jobs of one suite; times in seconds.

    `decisive` are when what decided a verdict while the job ran became readable, after the
    submission; `last` is when the last piece did, after the job's end; `counts` are how many there
    were; `lags` how much later than it happened a piece was readable, where that is known;
    `unknown` counts the pieces of which it is not.
    """

    decisive: deque[tuple[float, ...]] = field(default_factory=lambda: deque(maxlen=_DECISIVE))
    last: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    counts: deque[int] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    lags: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    unknown: int = 0

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
        """Learn from a run."""
        self.lags.extend(
            (one.after + one.by) / 2 - one.happened
            for one in arrived
            if one.by - one.after <= _TIGHT
        )
        times = [self._time(one, ended) - submitted for one in arrived]
        decided = [self._guess(one) - submitted for one in decisive]
        self.note(times, ended - submitted, decided)

    def _time(self, one: Arrival, ended: float) -> float:
        """Return when a piece became readable, as far as that can be told.

        As long after it happened as others did, if that agrees with the looks and says more than
        they do; else anywhere between them, over the runs everywhere: so looks go where things may
        be, and what is not known of them gets less with each run.
        """
        lag, spread = self._usual_lag()
        usual = one.happened + lag
        if one.after <= usual <= one.by and spread <= min(_TIGHT, one.by - one.after):
            return usual
        self.unknown += 1
        between = one.after + (self.unknown * _GOLDEN % 1.0) * (one.by - one.after)
        return min(between, self._latest(one, ended))

    def _guess(self, one: Arrival) -> float:
        """Return when a decisive piece became readable: one look is for it, and soon shows better.

        As long after it happened as others did, else in the middle, which halves what is unknown.
        """
        usual = one.happened + (statistics.median(self.lags) if self.lags else math.inf)
        return usual if one.after <= usual <= one.by else (one.after + one.by) / 2

    def _latest(self, one: Arrival, ended: float) -> float:
        """Return when a piece that came after the usual looks is taken to have come, at most.

        Nobody looked for a while then. That it came soon is likelier than that it came in the
        middle, and what is taken for too early is seen late once more, and corrected.
        """
        if not self.known:
            return math.inf
        apart = max(self.last) - min(self.last)
        return max(one.after, ended + max(self.last) + max(apart, _TIGHT))

    def _usual_lag(self) -> tuple[float, float]:
        """Return how much later than it happened a piece is readable, and by how much that differs.

        Both are infinite as long as too few are known.
        """
        if len(self.lags) < _ENOUGH_LAGS:
            return math.inf, math.inf
        tenths = statistics.quantiles(self.lags, n=10, method="inclusive")
        return tenths[4], tenths[-1] - tenths[0]

    def note(
        self, arrivals: Sequence[float], duration: float, decisive: Sequence[float] = ()
    ) -> None:
        """Learn when each piece became readable after the submission, of which some decided.

        `duration` is how long the job took.
        """
        if arrivals:
            self.decisive.append(tuple(time for time in decisive if time < duration))
            self.last.append(max(0.0, max(arrivals) - duration))
            self.counts.append(len(arrivals))

    def running(self) -> tuple[float, ...]:
        """Return how long after the submission it is worth a look while the job runs."""
        if not self.known:
            return ()
        return looks([time for run in self.decisive for time in run], _RUNNING)

    def misses(self, count: int) -> bool:
        """Whether `count` pieces are fewer than any run before this one has left."""
        return len(self.counts) >= _ENOUGH and count < min(self.counts)

    def after_end(self, most: int = _LOOKS, since: float = -1.0) -> tuple[float, ...]:
        """Return at most `most` times after the job's end, later than `since`, to look."""
        if not self.known:
            return ()
        return looks([time for time in self.last if time > since], most)


def looks(arrivals: Sequence[float], most: int) -> tuple[float, ...]:
    """Return at most `most` times to look so that what has arrived waits as briefly as can be.

    The longest wait counts: the narrowest width of which `most` intervals cover all arrivals, each
    looked at a little after it ends, for the next arrival may be later than any so far. As much
    later as they are apart on average, which most are not.
    """
    times = sorted(arrivals)
    if not times:
        return ()
    low, high = 0.0, times[-1] - times[0]
    while high - low > 0.001:
        middle = (low + high) / 2
        if len(_groups(times, middle)) <= most:
            high = middle
        else:
            low = middle
    found = []
    groups = _groups(times, high)
    for group, after in zip(groups, [*groups[1:], [math.inf]], strict=True):
        apart = (group[-1] - group[0]) / len(group)
        found.append(group[-1] + min(apart, (after[0] - group[-1]) / 2) + _MARGIN)
    return tuple(found)


def _groups(times: Sequence[float], width: float) -> list[Sequence[float]]:
    """Return the arrivals in the fewest intervals of `width` that cover all of them."""
    groups = []
    index = 0
    while index < len(times):
        after = bisect.bisect_right(times, times[index] + width)
        groups.append(times[index:after])
        index = after
    return groups
