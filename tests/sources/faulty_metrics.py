"""Made-up metrics for the trials: pages, and a Prometheus that scrapes them each second."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import requests

from tests.sources.prom_answers import series
from tests.sources.servers import Canned
from validator.testing import FakeClock, FakeSubmitter

FAMILY = "embedding_requests"
_PHASE = 0.35
"""Scrapes begin so many seconds after each full one."""
_TARGET = {"job": "embedding-api", "instance": "e-1:9000"}
_WINDOW = re.compile(r"\[(\d+)ms\]$")


@dataclass(frozen=True)
class Counted:
    """A series: `before` until `grows` seconds after the job was sent, then `after`."""

    labels: Mapping[str, str]
    before: float
    after: float
    grows: float = 0.8

    def at(self, time: float, sent: float) -> float:
        """Return its value at a Unix time; the job was sent at `sent`, 0 if it was not yet."""
        return self.after if sent and time - sent >= self.grows else self.before


def counted(operation: str, before: float, after: float, traffic: str = "synthetic") -> Counted:
    """Return a series of the family."""
    return Counted({"operation": operation, "traffic": traffic}, before, after)


@dataclass
class Metered:
    """Counters, and the job that makes them grow."""

    clock: FakeClock
    rows: list[Counted]
    job: FakeSubmitter | None = None

    @property
    def sent(self) -> float:
        """Return when the job was sent, 0 if it was not."""
        return self.job.submitted if self.job is not None else 0.0


class FakePage(Metered):
    """A `/metrics` page; elsewhere is an empty one."""

    def answer(self, _request: requests.PreparedRequest, *, elsewhere: bool) -> Canned:
        """Return the page as it is now."""
        lines = [f"# TYPE {FAMILY}_total counter"]
        for row in self.rows:
            labels = ",".join(f'{key}="{value}"' for key, value in row.labels.items())
            lines.append(f"{FAMILY}_total{{{labels}}} {row.at(self.clock.time, self.sent)}")
        lines += ["# TYPE python_info gauge", "python_info 1", ""]
        body = b"" if elsewhere else "\n".join(lines).encode()
        return Canned(body=body, media="text/plain; version=0.0.4")


class FakePrometheus(Metered):
    """Answers raw samples of the last scrapes; elsewhere is another one, that scrapes nothing."""

    def answer(self, request: requests.PreparedRequest, *, elsewhere: bool) -> Canned:
        """Return what a query finds, or what is known of the family."""
        parts = urlsplit(str(request.url))
        if parts.path == "/api/v1/metadata":
            told = [{"type": "counter", "help": "", "unit": ""}]
            return _good({} if elsewhere else {f"{FAMILY}_total": told, FAMILY: told})
        if parts.path == "/api/v1/targets":
            return _good({"activeTargets": [], "droppedTargets": []})
        if parts.path != "/api/v1/query":
            return _good([])
        query = parse_qs(parts.query)["query"][0]
        window = _WINDOW.search(query)
        if window:
            found = [] if elsewhere else self._matrix(int(window[1]) / 1000)
            return _good({"resultType": "matrix", "result": found})
        last = [] if elsewhere or query != "up" else [self._up(3)]
        vector = [{"metric": one["metric"], "value": [self.clock.time, "1"]} for one in last]
        return _good({"resultType": "vector", "result": vector})

    def _scrapes(self, seconds: float) -> list[float]:
        last = math.floor(self.clock.time - _PHASE) + _PHASE
        return [last - ago for ago in range(int(seconds), -1, -1) if ago < seconds]

    def _up(self, seconds: float) -> dict[str, object]:
        return series("up", [(time, 1) for time in self._scrapes(seconds)], **_TARGET)

    def _matrix(self, seconds: float) -> list[dict[str, object]]:
        times = self._scrapes(seconds)
        return [self._up(seconds)] + [
            series(
                f"{FAMILY}_total",
                [(t, row.at(t, self.sent)) for t in times],
                **_TARGET,
                **row.labels,
            )
            for row in self.rows
        ]


def _good(data: object) -> Canned:
    return Canned(body=json.dumps({"status": "success", "data": data}).encode())
