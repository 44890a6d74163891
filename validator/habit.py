"""When what a job leaves becomes readable, learned from its earlier runs, and when to look."""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

_REMEMBERED = 20
"""So many runs: enough for a quantile, few enough that a change is learned within a day."""

_ENOUGH = 3
"""So many runs before they are a habit."""

_LOOKS = 3
"""So many looks while the job runs, and as many after its end. With one at the end, one or two
after the settle time and one for a page that changed meanwhile, a run stays below ten requests."""

_OUTLIERS = 0.05
"""Of the latest arrivals this share is not waited for with a look of its own."""

_MARGIN = 0.005
"""Seconds by which a look is later than what it is for."""


@dataclass(slots=True)
class Habit:
    """The habit of one source, for the jobs of one suite; times in seconds."""

    arrivals: deque[tuple[float, ...]] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    last: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    counts: deque[int] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    def note(self, arrivals: Sequence[float], duration: float) -> None:
        """Learn from a run: when each piece became readable after the submission.

        `duration` is how long the job took.
        """
        if arrivals:
            self.arrivals.append(tuple(time for time in arrivals if time < duration))
            self.last.append(max(0.0, max(arrivals) - duration))
            self.counts.append(len(arrivals))

    def running(self) -> tuple[float, ...]:
        """Return how long after the submission it is worth a look while the job runs."""
        if len(self.arrivals) < _ENOUGH:
            return ()
        return looks([time for run in self.arrivals for time in run], _LOOKS)

    def misses(self, count: int) -> bool:
        """Whether `count` pieces are fewer than any run before this one has left."""
        return len(self.counts) >= _ENOUGH and count < min(self.counts)

    def after_end(self) -> tuple[float, ...]:
        """Return how long after the job's end it is worth a look: when the last piece comes."""
        return looks(self.last, _LOOKS) if len(self.last) >= _ENOUGH else ()


def looks(arrivals: Sequence[float], most: int) -> tuple[float, ...]:
    """Return at most `most` times to look so that what has arrived waits as briefly as can be.

    The longest wait counts, but for that of the outliers: the narrowest width of which `most`
    intervals cover all arrivals, each looked at where it ends.
    """
    times = sorted(arrivals)
    times = times[: max(1, len(times) - int(len(times) * _OUTLIERS))] if times else []
    if not times:
        return ()
    low, high = 0.0, times[-1] - times[0]
    while high - low > 0.001:
        middle = (low + high) / 2
        if len(_ends(times, middle)) <= most:
            high = middle
        else:
            low = middle
    return tuple(end + _MARGIN for end in _ends(times, high))


def _ends(times: Sequence[float], width: float) -> list[float]:
    """Return the last arrivals of the fewest intervals of `width` that cover all of them."""
    ends = []
    index = 0
    while index < len(times):
        after = bisect.bisect_right(times, times[index] + width)
        ends.append(times[after - 1])
        index = after
    return ends
