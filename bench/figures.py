"""A figure: what was measured, how, and whether its bound holds."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

_WIDE = 110
_UNDER = " " * 20


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value.

    `bound` is the most that it may be, None where the figure only stands beside another; `least`
    is the least that it may be. A value that is not a number (nothing was measured) never holds.
    """

    name: str
    value: float
    unit: str
    how: str
    bound: float | None = None
    least: float | None = None

    @property
    def holds(self) -> bool:
        """Whether the value is within its bounds."""
        if math.isnan(self.value):
            return False
        high = self.bound is None or self.value <= self.bound
        return high and (self.least is None or self.value >= self.least)

    @property
    def bounded(self) -> bool:
        """Whether anything is promised of the value."""
        return self.bound is not None or self.least is not None

    def document(self) -> dict[str, Any]:
        """Return the figure for a JSON file."""
        return {**asdict(self), "holds": self.holds}


def percentile(values: Iterable[float], share: float) -> float:
    """Return the smallest value that `share` of all values do not exceed; NaN of none."""
    ordered = sorted(values)
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as lines: whether it holds, value, bound and name, and below it how."""
    lines = []
    for figure in figures:
        word = ("ok" if figure.holds else "FAILS") if figure.bounded else ""
        value = f"{_number(figure.value)} {figure.unit}".strip()
        lines.append(f"{word:<5} {value:>10}  {_bounds(figure):<26} {figure.name}")
        lines += textwrap.wrap(figure.how, _WIDE, initial_indent=_UNDER, subsequent_indent=_UNDER)
    return "\n".join(lines)


def markdown(figures: Sequence[Figure]) -> str:
    """Return the figures as a Markdown table."""
    lines = ["| figure | value | bound | holds |", "|---|---|---|---|"]
    for figure in figures:
        word = ("yes" if figure.holds else "**no**") if figure.bounded else ""
        value = f"{_number(figure.value)} {figure.unit}"
        lines.append(f"| {figure.name} | {value} | {_bounds(figure)} | {word} |")
    return "\n".join(lines)


def _bounds(figure: Figure) -> str:
    said = []
    if figure.least is not None:
        said.append(f"at least {_number(figure.least)}")
    if figure.bound is not None:
        said.append(f"at most {_number(figure.bound)}")
    return ", ".join(said)


def _number(value: float) -> str:
    if value == int(value) if math.isfinite(value) else False:
        return str(int(value))
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
