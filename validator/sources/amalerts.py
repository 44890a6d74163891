"""Alerts as an Alertmanager of API v2 shows them, Grafana's own included.

The forms: https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml. An alert whose
`endsAt` has passed is resolved, and left out of the answer as soon as that: what is not shown
any more is resolved, or was never sent. Which time intervals mute an alert (`mutedBy`) many
versions tell for groups of alerts alone, which are not asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from validator.errors import SourceError
from validator.model import Alert
from validator.sources.promapi import JsonApi, ahead, moment

_MOST = 5
_EVERY = (("active", "true"), ("silenced", "true"), ("inhibited", "true"), ("unprocessed", "true"))


def alerts_of(api: JsonApi, source: str, path: str) -> list[Alert]:
    """Return the alerts at `path`, such as `api/v2/alerts`, silenced and inhibited ones too."""
    told = api.read(path, *_EVERY)
    seen, off = api.clock.now(), ahead(told.offset)
    with api.reading(path):
        if not isinstance(told.data, list):
            raise TypeError(f"a list, and not {type(told.data).__name__}")
        return [_alert(one, source, seen, off) for one in told.data]


def _alert(shown: Mapping[str, Any], source: str, seen: float, off: float) -> Alert:
    """Return an alert as the model has it."""
    labels = dict(shown["labels"])
    status = shown["status"]
    since, ends = moment(shown.get("startsAt")), moment(shown.get("endsAt"))
    resolved = ends is not None and ends - off <= seen
    return Alert(
        name=labels.get("alertname", ""),
        state="resolved" if resolved else "firing",
        labels=labels,
        annotations=dict(shown.get("annotations") or {}),
        since=None if since is None else since - off,
        receivers=tuple(one["name"] for one in shown["receivers"]),
        source=source,
        seen=seen,
        silenced_by=tuple(status.get("silencedBy") or ()),
        inhibited_by=tuple(status.get("inhibitedBy") or ()),
        fingerprint=str(shown.get("fingerprint") or ""),
        muted_by=tuple(status.get("mutedBy") or ()),
    )


def mutes_told(alerts: Sequence[Alert]) -> tuple[str, ...]:
    """Say which time intervals keep alerts from being delivered, where that is known."""
    muted = [one for one in alerts if one.muted_by]
    return tuple(f"{one.name} is muted by {', '.join(one.muted_by)}"[:300] for one in muted)[:_MOST]


def silences_told(api: JsonApi, path: str, alerts: Sequence[Alert]) -> tuple[str, ...]:
    """Say who silenced what and why; asked only when something is silenced."""
    wanted = {silence for alert in alerts for silence in alert.silenced_by}
    if not wanted:
        return ()
    try:
        told = api.read(path)
        with api.reading(path):
            by_id = {one["id"]: one for one in told.data if one["id"] in wanted}
            return tuple(_silence(alert, by_id) for alert in alerts if alert.silenced_by)[:_MOST]
    except SourceError as exc:
        return (f"alerts are silenced; by whom could not be asked: {exc.failure}",)


def _silence(alert: Alert, by_id: Mapping[str, Mapping[str, Any]]) -> str:
    """Say of one alert who silenced it."""
    known = [by_id[one] for one in alert.silenced_by if one in by_id]
    words = [f"by {one['createdBy']} until {one['endsAt']}: {one['comment']}" for one in known]
    return f"{alert.name} is silenced {'; '.join(words)}".strip()[:300]
