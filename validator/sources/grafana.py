"""Grafana-managed alerts: what Grafana's own rules and its own Alertmanager tell.

Paths (grafana/grafana, pkg/services/ngalert/api/tooling/definitions: prom.go, alertmanager.go):
`/api/prometheus/grafana/api/v1/rules` and `/api/alertmanager/grafana/api/v2/{alerts,silences}`.
Errors are `{"message": …}`: 401 `Invalid API key`, 403 `Access denied…` or the permissions that are
lacking, 404 `Unable to find datasource` (pkg/services/datasourceproxy). Grafana's other backends
are read through its data source proxy, `/api/datasources/proxy/uid/<uid>`, as the base path of a
source of their own type.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from validator.errors import SourceError
from validator.model import Alert
from validator.ports import Answer, Probed
from validator.sources.amalerts import alerts_of, mutes_told, silences_told
from validator.sources.base import SourceBase
from validator.sources.http import Http
from validator.sources.promapi import JsonApi, Told, ahead, middle
from validator.sources.promrules import Rules, read_rules, told_by

_RULES = "api/prometheus/grafana/api/v1/rules"
_ALERTS = "api/alertmanager/grafana/api/v2/alerts"
_SILENCES = "api/alertmanager/grafana/api/v2/silences"

_MOST_PAUSED = 5
_NO_RULES = "Grafana shows no alert rules: there are none, or the token may not read them"


class GrafanaSource(SourceBase):
    """Asks Grafana's rules for alerts, and its Alertmanager for who receives them.

    A service account that may read rules and no notifications sees alerts without receivers;
    that is a finding, and the answer is not full. It takes two requests, and one more while
    something is silenced.
    """

    kind = "grafana"

    def __init__(self, name: str, url: str, http: Http, lag_budget: float) -> None:
        """Ask the Grafana at `url`; the token of a service account comes with `http`."""
        super().__init__(name, http, lag_budget)
        self._api = JsonApi(http, url)

    def alerts(self) -> Answer:
        """Return the pending and firing alerts of Grafana's rules."""
        api = self._api.question()
        told, rules = _rules(api)
        off, seen = ahead(told.offset), self._http.clock.now()
        alerts = told_by(self._name, rules.alerts, seen, off)
        findings = [*told.warnings, *rules.broken, *_none(rules)]
        try:
            delivered = alerts_of(api, self._name, _ALERTS)
        except SourceError as exc:
            findings.append(f"who receives the alerts could not be asked: {exc.failure}")
            delivered = []
        full = not findings
        findings += _paused(rules)
        findings += silences_told(api, _SILENCES, delivered) + mutes_told(delivered)
        since = rules.evaluated
        return Answer(
            alerts=_joined(alerts, delivered),
            full=full,
            findings=tuple(findings),
            as_of=None if since is None else since - off,
            again=None if since is None else max(seen, since + rules.interval - off) + 0.05,
        )

    def probe(self) -> Probed:
        """Ask for Grafana's health, which needs no token, and for its rules, which do."""
        api = self._api.question()
        told = api.read("api/health")
        with api.reading("api/health"):
            version, database = str(told.data.get("version", "")), str(told.data["database"])
        _, rules = _rules(api)
        notes = [] if database == "ok" else [f"its database is {database}"]
        notes += [*rules.broken, *_none(rules), *_paused(rules)]
        return Probed(version, told.latency, middle(told.offset), tuple(notes))


def _rules(api: JsonApi) -> tuple[Told, Rules]:
    """Return what the rules tell."""
    told = api.get(_RULES)
    with api.reading(_RULES):
        return told, read_rules(told.data["groups"])


def _none(rules: Rules) -> list[str]:
    """Say that nothing can fire, if so."""
    if rules.count:
        return []
    return ["every alert rule is paused: nothing can fire"] if rules.paused else [_NO_RULES]


def _paused(rules: Rules) -> list[str]:
    """Say which rules are not evaluated since somebody wants it so."""
    more = len(rules.paused) - _MOST_PAUSED
    named = ", ".join(rules.paused[:_MOST_PAUSED]) + (f" and {more} more" if more > 0 else "")
    return [f"alert rules that are paused: {named}"] if rules.paused else []


def _joined(alerts: Iterable[Alert], delivered: Iterable[Alert]) -> tuple[Alert, ...]:
    """Return the rules' alerts with what the Alertmanager knows of them, and those it alone has.

    They are the same by their labels, less Grafana's own, such as `__alert_rule_uid__`.
    """
    by_labels = {_public(one.labels): one for one in delivered}
    joined = []
    for alert in alerts:
        other = by_labels.pop(_public(alert.labels), None)
        joined.append(
            alert
            if other is None
            else replace(
                alert,
                receivers=other.receivers,
                silenced_by=other.silenced_by,
                inhibited_by=other.inhibited_by,
                muted_by=other.muted_by,
                fingerprint=other.fingerprint,
            )
        )
    return (*joined, *by_labels.values())


def _public(labels: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    """Return the labels that are not Grafana's own."""
    return frozenset((k, v) for k, v in labels.items() if not k.startswith("__"))
