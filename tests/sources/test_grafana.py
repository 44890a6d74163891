"""Grafana's own alerts in the states that only Grafana has, made up as its API answers them."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from tests.sources.conftest import http
from tests.sources.servers import Canned, Script, always, serving
from validator.errors import SourceError, SourceFailure
from validator.ports import Answer
from validator.sources.grafana import GrafanaSource
from validator.sources.http import Bounds

LABELS = {"alertname": "Slow", "grafana_folder": "pipeline"}


def source(url: str) -> GrafanaSource:
    """Return a source that asks once."""
    return GrafanaSource("grafana", url, http("grafana", Bounds(timeout=5, attempts=1)), 5.0)


def rule(*states: str, health: str = "ok", **more: Any) -> dict[str, Any]:
    """Return a rule with an alert in each of these states."""
    alerts = [
        {
            "labels": {**LABELS, "n": str(n)},
            "annotations": {},
            "state": state,
            "activeAt": "2027-01-15T08:00:00Z",
            "value": "1",
        }
        for n, state in enumerate(states)
    ]
    return {
        "name": "Slow",
        "type": "alerting",
        "state": "firing",
        "health": health,
        "lastEvaluation": "2027-01-15T08:00:00Z",
        "alerts": alerts,
        **more,
    }


def delivered(*labels: dict[str, str]) -> list[dict[str, Any]]:
    """Return alerts as the Alertmanager shows them."""
    return [
        {
            "labels": {**LABELS, **more, "__alert_rule_uid__": "ddx"},
            "annotations": {},
            "startsAt": "2027-01-15T08:00:00Z",
            "endsAt": "2099-01-15T08:00:00Z",
            "fingerprint": "f1",
            "receivers": [{"name": "pager"}],
            "status": {"state": "active", "silencedBy": [], "inhibitedBy": []},
        }
        for more in labels
    ]


def grafana(rules: list[dict[str, Any]], alerts: object) -> Script:
    """Answer as a Grafana with these rules and these alerts."""
    groups = [{"name": "g", "interval": 10, "rules": rules}] if rules else []
    told = {"status": "success", "data": {"groups": groups}}

    def script(handler: BaseHTTPRequestHandler) -> Canned:
        rest = handler.path.partition("?")[0]
        return Canned(body=json.dumps(told if "rules" in rest else alerts).encode())

    return script


def alerts(rules: list[dict[str, Any]], others: object = ()) -> Answer:
    """Return the answer that the source makes of rules and of the Alertmanager's alerts."""
    with serving(grafana(rules, list(others) if isinstance(others, tuple) else others)) as served:
        asked = source(served.url)
        answer = asked.alerts()
        asked.close()
    return answer


@pytest.mark.req("V-12")
def test_states_of_grafana_become_pending_and_firing() -> None:
    """Normal alerts are none; those without data, or in error, are findings about their rule."""
    states = ("Alerting", "Pending", "Normal", "Normal (NoData)", "Recovering", "Alerting (Error)")
    answer = alerts([rule(*states, "NoData")])
    shown = [(alert.labels["n"], alert.state) for alert in answer.alerts]
    assert shown == [("0", "firing"), ("1", "pending"), ("4", "firing"), ("5", "firing")]
    assert answer.findings == ("rule Slow has no data", "rule Slow cannot be evaluated")
    assert not answer.full


def test_what_the_alertmanager_knows_is_joined_by_labels() -> None:
    """Grafana's own labels make no difference; what only it has comes as well."""
    answer = alerts([rule("Alerting")], delivered({"n": "0"}, {"n": "7"}))
    shown = {alert.labels["n"]: (alert.receivers, alert.fingerprint) for alert in answer.alerts}
    assert shown == {"0": (("pager",), "f1"), "7": (("pager",), "f1")}
    assert answer.full
    assert "__alert_rule_uid__" not in answer.alerts[0].labels


def test_what_mutes_an_alert_comes_along() -> None:
    """With a finding, and the answer is full."""
    muted = delivered({"n": "0"})
    muted[0]["status"]["mutedBy"] = ["nights"]
    answer = alerts([rule("Alerting")], muted)
    assert [alert.muted_by for alert in answer.alerts] == [("nights",)]
    assert (answer.full, answer.findings) == (True, ("Slow is muted by nights",))


@pytest.mark.req("V-13")
@pytest.mark.parametrize(
    ("rules", "finding"),
    [
        ([], "Grafana shows no alert rules: there are none, or the token may not read them"),
        ([rule(health="error", lastError="boom")], "rule Slow cannot be evaluated: boom"),
        ([rule(lastEvaluation="0001-01-01T00:00:00Z")], "rule Slow was never evaluated yet"),
    ],
)
def test_rules_that_cannot_fire_are_no_silence(rules: list[dict[str, Any]], finding: str) -> None:
    """That nothing fires is no full answer where nothing can."""
    answer = alerts(rules)
    assert (answer.alerts, answer.full, answer.findings) == ((), False, (finding,))


PAUSED = rule(lastEvaluation="0001-01-01T00:00:00Z", name="Asleep", isPaused=True)


def test_a_paused_rule_is_not_waited_for() -> None:
    """Nobody wants it to fire: it is told, and the answer is full and as young as the others."""
    earlier = {**PAUSED, "lastEvaluation": "2020-01-01T00:00:00Z"}
    answer = alerts([rule("Alerting"), PAUSED, earlier])
    assert (len(answer.alerts), answer.full) == (1, True)
    assert answer.findings == ("alert rules that are paused: Asleep, Asleep",)
    assert answer.as_of == alerts([rule("Alerting")]).as_of


@pytest.mark.req("V-13")
def test_where_every_rule_is_paused_nothing_can_fire() -> None:
    """Then silence says nothing."""
    answer = alerts([{**PAUSED, "name": f"r{n}"} for n in range(7)])
    assert (answer.alerts, answer.full) == ((), False)
    assert answer.findings == (
        "every alert rule is paused: nothing can fire",
        "alert rules that are paused: r0, r1, r2, r3, r4 and 2 more",
    )


@pytest.mark.parametrize(
    "canned",
    [
        Canned(body=b'{"status":"success","data":{"groups":[{"rules":[{"type":"alerting"}]}]}}'),
        Canned(body=json.dumps({"status": "success", "data": {"groups": [{}]}}).encode()),
        Canned(body=b"<html>Grafana</html>", media="text/html"),
    ],
)
def test_another_form_is_nonsense(canned: Canned) -> None:
    """An answer that the API does not have is no absence of alerts."""
    with serving(always(canned)) as served:
        asked = source(served.url)
        with pytest.raises(SourceError) as caught:
            asked.alerts()
        asked.close()
    assert caught.value.failure is SourceFailure.NONSENSE


def test_an_unknown_state_is_nonsense() -> None:
    """A state that is not known is not guessed at."""
    with pytest.raises(SourceError) as caught:
        alerts([rule("Snoozing")])
    assert caught.value.failure is SourceFailure.NONSENSE


def test_alerts_of_another_form_leave_out_the_receivers() -> None:
    """What the rules tell is told; that the receivers are not known is a finding."""
    answer = alerts([rule("Alerting")], {"message": "moved"})
    assert (len(answer.alerts), answer.full) == (1, False)
    assert answer.findings == ("who receives the alerts could not be asked: nonsense",)


def test_a_database_that_is_not_well_is_a_note() -> None:
    """Health is asked for without a token's rights, and rules with them."""
    health = Canned(body=b'{"database": "failing", "version": "11.3.0", "commit": "0"}')
    answering = grafana([rule()], [])

    def script(handler: BaseHTTPRequestHandler) -> Canned | None:
        return health if handler.path == "/api/health" else answering(handler)

    with serving(script) as served:
        asked = source(served.url)
        probed = asked.probe()
        asked.close()
    assert (probed.version, probed.notes) == ("11.3.0", ("its database is failing",))
