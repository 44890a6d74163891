"""Why a metric family has no sample now, as far as a Prometheus can tell."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from validator.errors import SourceError
from validator.sources.otlp_metrics import bare
from validator.sources.promapi import JsonApi
from validator.sources.scrapes import Line, Scene, Target
from validator.sources.standing import Standing, down_since

DAYS = 30
"""How far back a family is looked for that has no sample now."""

_FRESH = 60.0
"""Seconds for which what was found out so stays good."""

_MOST = 3


@dataclass(frozen=True, slots=True)
class Past:
    """What is known of families: their series of old, and what is wrong where there are none.

    `told` is False where the server could not be asked.
    """

    at: float
    series: tuple[Mapping[str, str], ...]
    troubles: tuple[str, ...]
    told: bool = True

    def of(self, metric: str) -> list[Mapping[str, str]]:
        """Return the series of a family, by its name with or without a suffix."""
        names = {metric, bare(metric)}
        return [one for one in self.series if {one["__name__"], bare(one["__name__"])} & names]

    def jobs(self, metric: str) -> frozenset[str]:
        """Return the jobs that had the family."""
        return frozenset(one.get("job", "") for one in self.of(metric))

    def fresh(self, now: float) -> bool:
        """Whether it need not be asked again."""
        return now - self.at < _FRESH


def past_of(api: JsonApi, metrics: frozenset[str], now: float) -> Past:
    """Ask for series of old; where a family has none, also what is wrong with targets."""
    bases = "|".join(sorted({re.escape(n) for m in metrics for n in (m, bare(m))}))
    pattern = f"(?:{bases})(?:_total|_count|_sum)?"
    try:
        window = ("start", f"{now - DAYS * 86400:.0f}"), ("end", f"{now:.0f}")
        told = api.get(
            "api/v1/series", ("match[]", f"{{__name__=~{json.dumps(pattern)}}}"), *window
        )
        with api.reading("api/v1/series"):
            series = [{**one, "__name__": one["__name__"]} for one in told.data]
    except SourceError as exc:
        trouble = f"what there was before could not be asked: {exc.failure}"
        return Past(now, (), (trouble,), told=False)
    past = Past(now, tuple(series), ())
    return past if all(map(past.of, metrics)) else replace(past, troubles=tuple(_troubles(api)))


def _troubles(api: JsonApi) -> list[str]:
    """Return which targets were never scraped, or cannot be; nothing where no one tells."""
    try:
        told = api.get("api/v1/targets", ("state", "active"))
        with api.reading("api/v1/targets"):
            found = [_trouble(one) for one in told.data["activeTargets"]]
    except SourceError:  # neither Mimir nor a Thanos without sidecars has targets
        return []
    return [one for one in found if one][:_MOST]


def _trouble(target: Mapping[str, Any]) -> str:
    labels = target["labels"]
    who = f"{labels.get('job', '')} at {labels.get('instance', '')}"
    if target["health"] == "unknown":
        return f"{who} was never scraped yet"
    if target["health"] == "down":
        return f"{who} is down: {target['lastError']}"[:200]
    return ""


@dataclass(frozen=True, slots=True)
class Absence:
    """A family that no target's last scrape has, and what is known beside."""

    metric: str
    lines: tuple[Line, ...]
    scene: Scene
    standing: Standing
    past: Past
    types: Mapping[str, str]
    now: float

    def findings(self) -> list[str]:
        """Say why; each begins with the metric's name."""
        reasons = self._ended() or self._before() or self._never()
        return [f"{self.metric}: {reason}" for reason in dict.fromkeys(reasons)][: _MOST + 1]

    def _ended(self) -> list[str]:
        """Tell of series that ended a short while ago."""
        found = []
        for line in self.lines:
            target = self.scene.target_of(line)
            if target is not None:
                ago = f"{self.now - line.times[-1]:.0f} s"
                found.append(self._state(target) or f"{target.words()} lost it {ago} ago: stale")
        return found

    def _before(self) -> list[str]:
        """Tell of series that ended longer ago."""
        places = {(s.get("job", ""), s.get("instance", "")) for s in self.past.of(self.metric)}
        by_place = {(t.job, t.instance): t for t in self.scene.targets.values()}
        found = []
        for job, instance in sorted(places):
            target = by_place.get((job, instance))
            state = "is no target any more" if target is None else self._state(target, named=False)
            words = state or "is scraped, but has it no more"
            found.append(f"stale: {job} at {instance} had it within {DAYS} days, and {words}")
        return found

    def _never(self) -> list[str]:
        """Tell that it never was there, and what may be meant."""
        words = f"never seen: no series of this name in {DAYS} days"
        base = bare(self.metric)
        if {self.metric, base, f"{base}_total"} & self.types.keys():
            words += "; a page declares it, but has counted nothing under it yet"
        else:
            near = difflib.get_close_matches(base, self.types, n=1, cutoff=0.75)
            words += f"; nearest: {near[0]}" if near else ""
        return [words, *self.past.troubles]

    def _state(self, target: Target, *, named: bool = True) -> str:
        """Say what is wrong with a target, empty if nothing is."""
        who = f"{target.words()} " if named else ""
        if target in self.standing.down:
            return f"{who}{down_since(target, self.now)}"
        if target in self.standing.gone:
            return f"{who}is no target any more since {self.now - target.last:.0f} s"
        return ""
