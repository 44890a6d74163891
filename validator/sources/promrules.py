"""Alerting rules as Prometheus and Grafana tell of them, and the alerts that they have raised.

`GET /api/v1/rules?type=alert`: groups of rules, each with its `health` and its `alerts`, whose
`state` is `pending` or `firing` (https://prometheus.io/docs/prometheus/latest/querying/api/#rules).
Grafana answers the same at `/api/prometheus/grafana/api/v1/rules`, with states of its own:
`Alerting`, `Pending`, `Recovering`, `Normal`, `NoData`, `Error`, also as `Normal (NoData)`
(grafana/grafana, pkg/services/ngalert/api/tooling/definitions/prom.go and ngalert/state).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from validator.model import Alert
from validator.sources.promapi import moment

_STATES = {
    "pending": "pending",
    "firing": "firing",
    "alerting": "firing",
    "recovering": "firing",
}
_NO_ALERT = {"normal", "inactive"}
_MOST_BROKEN = 5


@dataclass(frozen=True, slots=True)
class Rules:
    """What the rules said when they were evaluated last.

    `count` is how many alerting rules there are that may fire; `broken` tells of those that could
    not be evaluated. `evaluated` is the oldest last evaluation in Unix seconds of the server's
    clock, None if there was none; `interval` the longest time in seconds between two. `paused` are
    the names of rules that somebody has paused, as newer Grafanas say; they count in nothing else.
    """

    count: int
    alerts: tuple[Alert, ...]
    broken: tuple[str, ...]
    evaluated: float | None
    interval: float
    paused: tuple[str, ...] = ()


def read_rules(groups: Any) -> Rules:
    """Return what rule groups tell; raises LookupError or TypeError where they have no such form.

    The alerts have neither source nor time: whoever asked adds them.
    """
    alerts: list[Alert] = []
    broken: list[str] = []
    times: list[float] = []
    paused: list[str] = []
    count, interval = 0, 0.0
    for group in groups:
        every = [rule for rule in group["rules"] if rule["type"] == "alerting"]
        rules = [rule for rule in every if not rule.get("isPaused")]
        paused += [str(rule["name"]) for rule in every if rule.get("isPaused")]
        count += len(rules)
        for rule in rules:
            time = moment(rule.get("lastEvaluation"))
            broken += _broken(rule, evaluated=time is not None)
            times += [] if time is None else [time]
            interval = max(interval, float(group.get("interval") or 0.0))
            for one in rule.get("alerts") or ():
                read = read_alert(one)
                alerts += [] if read is None else [read]
                broken += _without_data(rule["name"], one)
    told = tuple(dict.fromkeys(broken))[:_MOST_BROKEN]
    return Rules(count, tuple(alerts), told, min(times, default=None), interval, tuple(paused))


def told_by(source: str, alerts: Iterable[Alert], seen: float, off: float) -> tuple[Alert, ...]:
    """Return alerts with who told them, and their times by our clock: theirs is `off` s ahead."""
    return tuple(
        replace(one, source=source, seen=seen, since=None if one.since is None else one.since - off)
        for one in alerts
    )


def _broken(rule: Mapping[str, Any], *, evaluated: bool) -> list[str]:
    """Say that a rule could not be evaluated, if so."""
    name = rule["name"]
    if not evaluated:
        return [f"rule {name} was never evaluated yet"]
    if rule["health"] in ("err", "error"):
        return [f"rule {name} cannot be evaluated: {rule.get('lastError', '')}"[:300]]
    return []


def _without_data(name: str, alert: Mapping[str, Any]) -> list[str]:
    """Say that Grafana had no data for a rule, or an error."""
    state = str(alert["state"]).lower()
    if "nodata" in state:
        return [f"rule {name} has no data"]
    return [f"rule {name} cannot be evaluated"] if "error" in state else []


def read_alert(alert: Mapping[str, Any]) -> Alert | None:
    """Return one alert, None if it is none at present."""
    word = str(alert["state"]).lower().partition(" ")[0]
    if word not in _STATES:
        if word in _NO_ALERT or word in ("nodata", "error"):
            return None
        raise ValueError(f"the state {word!r:.40}")
    labels = {str(key): str(value) for key, value in alert["labels"].items()}
    return Alert(
        name=labels.get("alertname", ""),
        state=_STATES[word],
        labels=labels,
        annotations=dict(alert.get("annotations") or {}),
        since=moment(alert.get("activeAt")),
        receivers=(),
        source="",
        seen=0.0,
    )
