"""What a range of raw samples says of its targets: when they were scraped, and how that went.

Prometheus gives every sample of a scrape the time at which the scrape began, and `up` that time as
well (https://prometheus.io/docs/concepts/jobs_instances/). So a series is current if its last
sample is as young as its target's last `up`; one that ended with an earlier scrape has left the
page. Where nothing is scraped but pushed (remote write, OTLP) there is no `up`: then the samples
of one job and instance are each other's witness.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Key = frozenset[tuple[str, str]]

_OWN_TIMES = 300.0
"""Seconds for which a sample with a time of its own is current, as in Prometheus's look-back."""


@dataclass(frozen=True, slots=True)
class Line:
    """One series' raw samples, the oldest first; `labels` are without the name."""

    name: str
    labels: Mapping[str, str]
    times: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Target:
    """Who is scraped, or pushes; times in Unix seconds of the server's clock.

    `scrapes` are the times of its scrapes that are known, failed ones too, the oldest first.
    `duration` is how many seconds one takes.
    `down_since` is the first known of the failed scrapes that it has had last, None if the last
    one was good. `pushes` says that it has no `up`.
    """

    key: Key
    job: str
    instance: str
    scrapes: tuple[float, ...]
    duration: float = 0.0
    down_since: float | None = None
    was_up: bool = True
    pushes: bool = False

    @property
    def last(self) -> float:
        """Return when it was scraped last."""
        return self.scrapes[-1]

    @property
    def interval(self) -> float | None:
        """Return the usual seconds between two of its scrapes."""
        if len(self.scrapes) < 2:
            return None
        pairs = zip(self.scrapes, self.scrapes[1:], strict=False)
        return statistics.median_low([later - earlier for earlier, later in pairs])

    def overdue(self, now: float) -> bool:
        """Whether it should have been scraped again long ago.

        A scrape may take as long as the interval and be readable only then, so one that was
        missed is noticed after two intervals.
        """
        interval = self.interval
        return interval is not None and now - self.last > 2.5 * interval + 1.0

    def words(self) -> str:
        """Name it for people."""
        return f"{self.job} at {self.instance}" if self.instance else self.job or "a target"


@dataclass(slots=True)
class Scene:
    """The targets of one answer, and which series is whose."""

    targets: dict[Key, Target] = field(default_factory=dict)
    _by_instance: dict[tuple[str, str], list[Target]] = field(default_factory=dict)

    def target_of(self, line: Line) -> Target | None:
        """Return whose a series is: it has all labels of the target, or its job and instance."""
        near = self._by_instance.get(_place(line), [])
        labels = line.labels.items()
        fitting = [target for target in near if target.key <= labels]
        return max(fitting or near, key=lambda target: len(target.key), default=None)

    def add(self, target: Target, place: tuple[str, str]) -> None:
        """Add a target."""
        self.targets[target.key] = target
        self._by_instance.setdefault(place, []).append(target)


def lines_of(result: Any) -> list[Line]:
    """Return the series of a matrix; of a native histogram its count and its sum.

    The forms: https://prometheus.io/docs/prometheus/latest/querying/api/#range-vectors
    """
    found: list[Line] = []
    for series in result:
        labels = dict(series["metric"])
        name = labels.pop("__name__", "")
        values = series.get("values", [])
        if values:
            found.append(_line(name, labels, values))
        for part in ("count", "sum"):
            values = [(time, shown[part]) for time, shown in series.get("histograms", [])]
            if values:
                found.append(_line(f"{name}_{part}", labels, values))
    return found


def _line(name: str, labels: Mapping[str, str], values: Iterable[Any]) -> Line:
    points = [(float(time), float(value)) for time, value in values]
    return Line(name, labels, tuple(t for t, _ in points), tuple(v for _, v in points))


def scene_of(lines: Iterable[Line]) -> Scene:
    """Return the targets of an answer that has `up` and `scrape_duration_seconds` in it."""
    scene = Scene()
    every = list(lines)
    durations = {
        frozenset(line.labels.items()): line.values[-1]
        for line in every
        if line.name == "scrape_duration_seconds"
    }
    for line in every:
        if line.name == "up":
            key = frozenset(line.labels.items())
            scene.add(_scraped(line, key, durations.get(key, 0.0)), _place(line))
    pushed: dict[tuple[str, str], set[float]] = {}
    for line in every:
        if scene.target_of(line) is None:
            pushed.setdefault(_place(line), set()).update(line.times)
    for (job, instance), times in pushed.items():
        key = frozenset({("job", job), ("instance", instance)})
        scene.add(Target(key, job, instance, tuple(sorted(times)), pushes=True), (job, instance))
    return scene


def _place(line: Line) -> tuple[str, str]:
    return line.labels.get("job", ""), line.labels.get("instance", "")


def _scraped(line: Line, key: Key, duration: float) -> Target:
    down_since = None
    for time, value in zip(reversed(line.times), reversed(line.values), strict=True):
        if value == 1:
            break
        down_since = time
    job, instance = _place(line)
    was_up = 1 in line.values
    return Target(key, job, instance, line.times, duration, down_since, was_up)


def is_current(line: Line, target: Target) -> bool:
    """Whether the target's last scrape had the series.

    One whose times are none of the scrapes' has times of its own (an exporter that gives them).
    """
    last = line.times[-1]
    if target.down_since is not None and last < target.down_since:
        return False
    if target.pushes:
        return last > target.last - 0.5 * (target.interval or 1.0)
    if last >= target.last:
        return True
    return last not in target.scrapes and target.last - last < _OWN_TIMES
