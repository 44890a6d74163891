"""Alerts on their way: pending, firing, delivered, silenced, inhibited, resolved."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import Gauge

from tests.backends.grafana_proxy import (
    TOKEN,
    WITHOUT_ALERTS,
    WITHOUT_NOTIFICATIONS,
    grafana,
)
from tests.backends.prometheus import Exporter, Prometheus, alertmanager, prometheus
from tests.sources.conftest import http
from tests.sources.servers import Served
from validator.clock import SystemClock
from validator.errors import SourceError, SourceFailure
from validator.model import Alert
from validator.ports import AlertSource
from validator.sources.alertmanager import AlertmanagerSource
from validator.sources.grafana import GrafanaSource
from validator.sources.http import Bounds, Http, make_session
from validator.sources.prometheus import PrometheusSource

pytestmark = [pytest.mark.process, pytest.mark.slow]

CLOCK = SystemClock()
RULES = """\
groups:
- name: load
  rules:
  - {alert: Loaded, expr: load > 2, for: 1s, labels: {severity: page}, annotations: {summary: Too much.}}
  - {alert: Broken, expr: load > 100, labels: {severity: critical}}
  - {record: load:twice, expr: load * 2}
"""  # noqa: E501 - a rule a line
CONFIG = """\
route:
  receiver: team
  group_by: [alertname]
  group_wait: 0s
  group_interval: 1s
  routes:
  - {receiver: pager, matchers: ['severity="page"'], continue: true}
  - {receiver: team}
receivers: [{name: team}, {name: pager}]
inhibit_rules:
- {source_matchers: [alertname="Broken"], target_matchers: [alertname="Loaded"]}
"""


@dataclass
class World:
    """A gauge, the Prometheus that has rules on it, its Alertmanager, and both through Grafana."""

    load: Gauge
    server: Prometheus
    manager: str
    grafana: Served

    def prometheus(self) -> PrometheusSource:
        """Return Prometheus as a source."""
        return PrometheusSource("rules", self.server.url, http("rules"), 5.0)

    def alertmanager(self) -> AlertmanagerSource:
        """Return the Alertmanager as a source."""
        return AlertmanagerSource("delivery", self.manager, http("delivery"), 5.0)

    def through_grafana(self, token: str = TOKEN) -> GrafanaSource:
        """Return both as Grafana shows its own."""
        session = make_session({"Authorization": f"Bearer {token}"} if token else {})
        client = Http("grafana", session, CLOCK, Bounds(timeout=5.0, attempts=1))
        return GrafanaSource("grafana", self.grafana.url, client, 5.0)

    def set(self, load: float) -> None:
        """Set the gauge, and wait until what it brings about is there, or over, everywhere."""
        self.load.set(load)
        wanted = {name for name, limit in (("Loaded", 2), ("Broken", 100)) if load > limit}
        until(lambda: {alert.name for alert in self.alertmanager().alerts().alerts} == wanted)
        until(lambda: {alert.name for alert in self.prometheus().alerts().alerts} == wanted)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Start it once for all tests."""
    exporter = Exporter().start()
    load = Gauge("load", "Load.", registry=exporter.registry)
    with (
        alertmanager(tmp_path_factory.mktemp("alertmanager"), CONFIG) as manager,
        prometheus(
            tmp_path_factory.mktemp("prometheus"),
            rules=RULES,
            alertmanager=manager.removeprefix("http://"),
        ) as server,
        grafana({}, rules=server.url, alertmanager=manager) as served,
    ):
        server.target({"scraper": [exporter.instance]})
        until(lambda: server.query("load"))
        until(lambda: PrometheusSource("r", server.url, http("r"), 5.0).alerts().full)
        yield World(load, server, manager, served)
    exporter.stop()


def until(holds: Callable[[], object]) -> None:
    """Wait until something holds, for at most half a minute."""
    pause, deadline = threading.Event(), CLOCK.monotonic() + 30
    while not holds():
        assert CLOCK.monotonic() < deadline
        pause.wait(0.03)


def the(source: AlertSource, name: str) -> Alert | None:
    """Return the alert of this name, None if there is none."""
    return next((alert for alert in source.alerts().alerts if alert.name == name), None)


def silence(world: World, comment: str) -> str:
    """Silence `Loaded` for a minute; returns the silence's id."""
    now = datetime.now(UTC)  # noqa: TID251 - Alertmanager's clock is the machine's
    body = {
        "matchers": [{"name": "alertname", "value": "Loaded", "isRegex": False, "isEqual": True}],
        "startsAt": now.isoformat(),
        "endsAt": (now + timedelta(minutes=1)).isoformat(),
        "createdBy": "somebody",
        "comment": comment,
    }
    answer = world.server.session.post(f"{world.manager}/api/v2/silences", json=body, timeout=5)
    made: str = answer.json()["silenceID"]
    return made


@pytest.mark.req("V-12", "V-07")
def test_an_alert_goes_its_way(world: World) -> None:
    """It is pending, fires, arrives with its receivers, and is gone when it is resolved."""
    rules, manager = world.prometheus(), world.alertmanager()
    assert rules.alerts().alerts == manager.alerts().alerts == ()
    assert rules.alerts().full
    began = CLOCK.now()
    world.load.set(3)
    states: list[str] = []

    def fires() -> bool:
        alert = the(rules, "Loaded")
        if alert is not None and alert.state not in states:
            states.append(alert.state)
        return "firing" in states

    until(fires)
    assert states == ["pending", "firing"]
    until(lambda: the(manager, "Loaded"))
    fired, delivered = the(rules, "Loaded"), the(manager, "Loaded")
    assert fired is not None
    assert delivered is not None
    assert (fired.labels["severity"], fired.annotations) == ("page", {"summary": "Too much."})
    assert (fired.receivers, fired.source) == ((), "rules")
    assert fired.since is not None
    assert began - 1 < fired.since < CLOCK.now()
    assert (delivered.state, delivered.receivers) == ("firing", ("pager", "team"))
    assert delivered.labels.items() >= fired.labels.items()
    assert (delivered.silenced_by, delivered.inhibited_by) == ((), ())
    assert delivered.fingerprint
    assert delivered.source == "delivery"
    world.set(0)
    assert rules.alerts().full
    assert manager.alerts().full


def test_evaluations_are_what_an_answer_speaks_of(world: World) -> None:
    """`as_of` is the last evaluation, and later at the next one."""
    source, pause = world.prometheus(), threading.Event()
    first = source.alerts()
    assert first.as_of is not None
    assert first.again is not None
    assert first.as_of < CLOCK.now()
    pause.wait(max(0.0, first.again - CLOCK.now()) + 0.2)
    second = source.alerts().as_of
    assert second is not None
    assert second > first.as_of


@pytest.mark.req("V-12")
def test_silences_are_told(world: World) -> None:
    """A silenced alert is shown with the silence's id, and a finding says who and why."""
    world.set(3)
    made = silence(world, "while we deploy")
    source = world.alertmanager()
    until(lambda: (alert := the(source, "Loaded")) is not None and alert.silenced_by)
    answer = source.alerts()
    assert answer.alerts[0].silenced_by == (made,)
    assert answer.findings[0].startswith("Loaded is silenced by somebody until ")
    assert answer.findings[0].endswith(": while we deploy")
    assert source.probe().notes == ("silences that hold: 1",)
    shown = the(world.through_grafana(), "Loaded")
    assert shown is not None
    assert shown.silenced_by == (made,)
    url = f"{world.manager}/api/v2/silence/{made}"
    world.server.session.delete(url, timeout=5).raise_for_status()
    until(lambda: (alert := the(source, "Loaded")) is not None and not alert.silenced_by)
    world.set(0)


@pytest.mark.req("V-12")
def test_inhibited_alerts_name_what_inhibits_them(world: World) -> None:
    """An inhibited alert is shown with the fingerprint of the one that inhibits it."""
    world.set(101)
    source = world.alertmanager()
    until(lambda: (alert := the(source, "Loaded")) is not None and alert.inhibited_by)
    broken, loaded = the(source, "Broken"), the(source, "Loaded")
    assert broken is not None
    assert loaded is not None
    assert loaded.inhibited_by == (broken.fingerprint,)
    assert broken.receivers == ("team",)
    world.set(0)


@pytest.mark.req("V-12")
def test_grafana_joins_rules_and_delivery(world: World) -> None:
    """An alert of Grafana's is one, with its state and time from the rule and its receivers."""
    source = world.through_grafana()
    assert (source.alerts().alerts, source.alerts().full) == ((), True)
    world.set(3)
    answer = source.alerts()
    (alert,) = answer.alerts
    rule = the(world.prometheus(), "Loaded")
    assert rule is not None
    assert (alert.state, alert.receivers, alert.since) == ("firing", ("pager", "team"), rule.since)
    assert (alert.source, answer.full, answer.findings) == ("grafana", True, ())
    assert answer.as_of is not None
    world.set(0)
    assert source.alerts().alerts == ()


@pytest.mark.req("V-13")
def test_grafana_tokens_that_may_not(world: World) -> None:
    """What a token may not see is told apart from what is not there."""
    answer = world.through_grafana(WITHOUT_NOTIFICATIONS).alerts()
    assert (answer.full, answer.alerts) == (False, ())
    assert answer.findings == ("who receives the alerts could not be asked: refused",)
    for token, words in (
        (WITHOUT_ALERTS, "403: You'll need additional permissions"),
        ("stale", "401: Invalid API key"),
        ("", "401: Unauthorized"),
    ):
        source = world.through_grafana(token)
        for ask in (source.alerts, source.probe):
            with pytest.raises(SourceError) as caught:
                ask()
            assert caught.value.failure is SourceFailure.REFUSED
            assert words in str(caught.value)


def test_probes_tell_versions(world: World) -> None:
    """Each backend says which version it is."""
    assert world.alertmanager().probe().version.startswith("0.")
    probed = world.through_grafana().probe()
    assert (probed.version, probed.notes) == ("11.3.0", ())
    probed = world.prometheus().probe()
    assert (probed.clock_offset, probed.notes) == (0.0, ())
