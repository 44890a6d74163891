"""However a source of alerts breaks: what it answers is the truth, or it says what is wrong.

No check reads alerts yet, so these trials are of answers and not of verdicts: an answer that calls
itself full has every alert with its receivers, unless another tenant gave it; anything else is
an error that names a fault that was met, or an answer that is not full and says why.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.sources.faulty import NAMED, SIZE, Fault, Spell, Wire, weather
from tests.sources.servers import Canned
from tests.traces import EPOCH
from validator.errors import SourceError
from validator.ports import AlertSource, Answer
from validator.sources.alertmanager import AlertmanagerSource
from validator.sources.grafana import GrafanaSource
from validator.sources.http import Bounds, Http, make_session
from validator.sources.prometheus import PrometheusSource
from validator.testing import FakeClock

pytestmark = pytest.mark.slow

TRIALS = 1_000
URL = "http://backend.example"
LABELS: tuple[Mapping[str, str], ...] = (
    {"alertname": "QueueStall", "severity": "page", "queue": "embed"},
    {"alertname": "StuckJob", "severity": "ticket"},
)
RECEIVERS = ("pager", "team")


@dataclass
class FakeAlerting:
    """A Prometheus and an Alertmanager, or both as Grafana shows its own; all alerts fire."""

    clock: FakeClock
    began: float = field(init=False)

    def __post_init__(self) -> None:
        """Fire from now on."""
        self.began = self.clock.time

    def answer(self, request: requests.PreparedRequest, *, elsewhere: bool) -> Canned:
        """Return rules, alerts or silences; another tenant has rules of its own that are quiet."""
        path = urlsplit(str(request.url)).path
        if path.endswith("/rules"):
            document: Any = {"status": "success", "data": {"groups": [self._group(elsewhere)]}}
        elif path.endswith("/alerts"):
            document = [] if elsewhere else [self._alert(labels) for labels in LABELS]
        else:
            silence = {
                "id": "s-1",
                "createdBy": "ann",
                "endsAt": self._time(60),
                "comment": "tests",
            }
            document = [] if elsewhere else [silence]
        return Canned(body=json.dumps(document).encode())

    def _group(self, elsewhere: bool) -> Mapping[str, Any]:
        last = self._time(self.clock.time - self.began)
        rules = [
            {
                "type": "alerting",
                "name": labels["alertname"],
                "query": "x > 1",
                "health": "ok",
                "state": "inactive" if elsewhere else "firing",
                "alerts": [] if elsewhere else [self._active(labels)],
                "lastEvaluation": last,
            }
            for labels in LABELS
        ]
        return {"name": "g", "file": "f", "interval": 1, "lastEvaluation": last, "rules": rules}

    def _active(self, labels: Mapping[str, str]) -> Mapping[str, Any]:
        return {"labels": labels, "annotations": {}, "state": "firing", "activeAt": self._time(0)}

    def _alert(self, labels: Mapping[str, str]) -> Mapping[str, Any]:
        silenced = ["s-1"] if labels["alertname"] == "StuckJob" else []
        return {
            "labels": labels,
            "annotations": {},
            "startsAt": self._time(0),
            "endsAt": self._time(3600),
            "fingerprint": labels["alertname"],
            "receivers": [{"name": name} for name in RECEIVERS],
            "status": {"state": "active", "silencedBy": silenced, "inhibitedBy": []},
        }

    def _time(self, seconds: float) -> str:
        return datetime.fromtimestamp(self.began + seconds, UTC).isoformat()


SOURCES: Mapping[str, Callable[[Http], AlertSource]] = {
    "alertmanager": lambda http: AlertmanagerSource("backend", URL, http, 5.0),
    "grafana": lambda http: GrafanaSource("backend", URL, http, 5.0),
    "prometheus": lambda http: PrometheusSource("backend", URL, http, 5.0),
}
DELIVERED = ("alertmanager", "grafana")
"""Those that know who receives an alert, and who silenced it."""


@dataclass(frozen=True)
class Asked:
    """One question: what came of it, and which faults it met."""

    answer: Answer | None
    error: SourceError | None
    met: tuple[Fault, ...]


def asked(name: str, spells: tuple[Spell, ...], times: Iterable[float]) -> list[Asked]:
    """Ask a source at these times, in seconds from the start."""
    clock = FakeClock(float(EPOCH))
    wire = Wire(clock, FakeAlerting(clock), spells)
    session = make_session()
    session.mount("http://", wire)
    session.trust_env = False
    source = SOURCES[name](Http("backend", session, clock, Bounds(timeout=2.0, size=SIZE)))
    found = []
    for time in times:
        clock.sleep(max(0.0, EPOCH + time - clock.time))
        had = len(wire.met)
        answer, error = None, None
        try:
            answer = source.alerts()
        except SourceError as exc:
            error = exc
        found.append(Asked(answer, error, tuple(wire.met[had:])))
    source.close()
    return found


def told(answer: Answer) -> set[tuple[str, str, tuple[str, ...], tuple[str, ...]]]:
    """Return what an answer says of each alert."""
    return {(one.name, one.state, one.receivers, one.silenced_by) for one in answer.alerts}


def truth(name: str) -> set[tuple[str, str, tuple[str, ...], tuple[str, ...]]]:
    """Return what is to be said of each alert."""
    receivers = RECEIVERS if name in DELIVERED else ()
    silenced = {"StuckJob": ("s-1",)} if name in DELIVERED else {}
    return {
        (one["alertname"], "firing", receivers, silenced.get(one["alertname"], ()))
        for one in LABELS
    }


def wrong(name: str, one: Asked) -> str:
    """Say what is wrong with what came of a question; empty if nothing is."""
    words = {word for fault in one.met for word in NAMED[fault]}
    if one.error is not None:
        named = any(word in str(one.error) or word == one.error.failure for word in words)
        return "" if named else f"{one.error} names none of {one.met}"
    assert one.answer is not None
    if not one.answer.full:
        said = "\n".join(one.answer.findings)
        named = any(word in said for word in words) or Fault.EMPTY in one.met
        return "" if named else f"{said} names none of {one.met}"
    if told(one.answer) == truth(name) or Fault.EMPTY in one.met:
        return ""
    return f"it is full, and says {told(one.answer)} after {one.met}"


@pytest.mark.req("V-13")
@pytest.mark.parametrize("name", SOURCES)
def test_without_a_fault_all_is_told(name: str) -> None:
    """Every alert, who receives it where that is known, and by whom it is silenced."""
    (one,) = asked(name, (), [1.0])
    assert one.error is None
    assert one.answer is not None
    assert (one.answer.full, told(one.answer)) == (True, truth(name))
    silenced = ["StuckJob is silenced by ann" in text for text in one.answer.findings]
    assert any(silenced) == (name in DELIVERED)


@pytest.mark.req("V-13")
@pytest.mark.parametrize("name", SOURCES)
def test_no_fault_makes_an_answer_that_is_not_true(name: str) -> None:
    """A thousand times eight questions: the truth, or an error that names a fault that was met."""
    failures = []
    for seed in range(TRIALS):
        chance = random.Random(f"{name} {seed}")
        spells = weather(chance, ("", "", "/rules", "/alerts", "/silences"))
        times = sorted(chance.uniform(0, 14) for _ in range(8))
        for one in asked(name, spells, times):
            said = wrong(name, one)
            failures += [f"seed {seed}: {said}\n    {spells}"] if said else []
    assert not failures, f"{len(failures)} wrong:\n" + "\n".join(failures[:20])
