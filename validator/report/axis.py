"""The time axis of a waterfall."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from validator.model import Evidence
from validator.report.text import duration

WIDTH: Final = 1000
"""The axis is this long in the drawing's own unit."""
_THINNEST: Final = 3.0
_WEEK: Final = 7 * 86_400 * 10**9


@dataclass(frozen=True, slots=True)
class Axis:
    """The stretch of time that is drawn, in Unix nanoseconds."""

    start: int
    end: int

    def place(self, start: int, end: int) -> tuple[float, float]:
        """Return where a bar begins and how wide it is; what is outside is moved to the edge."""
        length = max(self.end - self.start, 1)
        x = min(max((start - self.start) / length * WIDTH, 0), WIDTH - _THINNEST)
        right = min(max((end - self.start) / length * WIDTH, x + _THINNEST), WIDTH)
        return round(x, 2), round(right - x, 2)

    def holds(self, time: int) -> bool:
        """Whether a time is on the axis."""
        return self.start <= time <= self.end

    def ticks(self) -> tuple[str, ...]:
        """Return the labels of five ticks."""
        return tuple(duration((self.end - self.start) * part / 4e9) for part in range(5))


def axis_of(evidence: Evidence) -> Axis:
    """Return an axis for all spans whose times can be true (within a week of the judging)."""
    around = int(evidence.now * 1e9)
    times = [time for span in evidence.spans for time in (span.start, span.end)]
    likely = [time for time in times if abs(time - around) < _WEEK] or times or [around]
    return Axis(min(likely), max(likely))
