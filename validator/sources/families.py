"""Metric families as Prometheus's API knows them: by the names of their samples, and metadata."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from validator.sources.otlp_metrics import bare
from validator.sources.scrapes import Line

ABOUT_TARGETS = ("up", "scrape_duration_seconds", "target_info")
"""What comes with every question, for what it says of the targets."""

_SUFFIXES = "(?:_total|_bucket|_count|_sum)?"
_KNOWN = frozenset({"counter", "gauge", "histogram", "summary"})


def selector(metrics: Iterable[str], seconds: float) -> str:
    """Return PromQL for the raw samples of families in the last `seconds`, and of the targets."""
    bases = sorted({name for metric in metrics for name in (metric, bare(metric))})
    family = f"(?:{'|'.join(map(re.escape, bases))}){_SUFFIXES}"
    pattern = "|".join((*ABOUT_TARGETS, *([family] if bases else [])))
    return f"{{__name__=~{json.dumps(pattern)}}}[{round(seconds * 1000)}ms]"


def is_asked(name: str, metrics: frozenset[str]) -> bool:
    """Whether a series' name is of a family that is asked for, with or without its suffix."""
    return name in metrics or bare(name) in metrics | {bare(metric) for metric in metrics}


@dataclass(frozen=True, slots=True)
class Families:
    """The types that metadata tells, by name, and what the names of the samples show."""

    types: Mapping[str, str]
    names: frozenset[str] = field(default_factory=frozenset)

    def of(self, line: Line) -> tuple[str, str]:
        """Return the family of a series, without suffix, and its type.

        The older text format calls a counter's family by its `_total`, OpenMetrics without.
        """
        name, base = line.name, bare(line.name)
        if name == "target_info":
            return name, "gauge"
        told = self.types.get(name)
        if told is not None:
            return (base if told == "counter" else name), _type(told)
        told = self.types.get(base)
        if told is not None and base != name:
            return base, _type(told)
        return self._guessed(name, base, line)

    def _guessed(self, name: str, base: str, line: Line) -> tuple[str, str]:
        """Return what a series without metadata looks like."""
        if base == name:
            return name, "summary" if "quantile" in line.labels else "unknown"
        if name.endswith("_total"):
            return base, "counter"
        if f"{base}_bucket" in self.names:
            return base, "histogram"
        if {f"{base}_count", f"{base}_sum"} <= self.names:
            return base, "summary"
        return name, "unknown"


def _type(told: str) -> str:
    return told if told in _KNOWN else "unknown"
