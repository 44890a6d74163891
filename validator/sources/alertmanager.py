"""Alertmanager's API v2 as a source of alerts."""

from __future__ import annotations

from validator.ports import Answer, Probed
from validator.sources.amalerts import alerts_of, mutes_told, silences_told
from validator.sources.base import SourceBase
from validator.sources.http import Http
from validator.sources.promapi import JsonApi, middle
from validator.sources.promremarks import remarks

_ALERTS = "api/v2/alerts"
_SILENCES = "api/v2/silences"
_STATUS = "api/v2/status"


class AlertmanagerSource(SourceBase):
    """Asks for the alerts that have arrived, with the receivers that their routes lead to.

    An Alertmanager knows only alerts that fire, and forgets them when they are resolved: a pending
    one has not been sent to it. It takes one request, and one more while something is silenced.
    """

    kind = "alertmanager"

    def __init__(self, name: str, url: str, http: Http, lag_budget: float) -> None:
        """Ask the server at `url`, with its base path (Mimir's is `/alertmanager`)."""
        super().__init__(name, http, lag_budget)
        self._api = JsonApi(http, url)

    def alerts(self) -> Answer:
        """Return the firing alerts; findings tell who or what keeps some from being told."""
        api = self._api.question()
        alerts = alerts_of(api, self._name, _ALERTS)
        findings = silences_told(api, _SILENCES, alerts) + mutes_told(alerts)
        return Answer(alerts=tuple(alerts), findings=findings)

    def probe(self) -> Probed:
        """Ask for its status; notes tell of a cluster that is not ready and of silences."""
        api = self._api.question()
        told = api.read(_STATUS)
        with api.reading(_STATUS):
            version = str(told.data["versionInfo"]["version"])
            cluster = str(told.data["cluster"]["status"])
        notes = [] if cluster in ("ready", "disabled") else [f"its cluster is {cluster}"]
        notes += remarks(api, _silences_remark)
        return Probed(version, told.latency, middle(told.offset), tuple(notes))


def _silences_remark(api: JsonApi) -> list[str]:
    """Remark on silences that hold now."""
    told = api.read(_SILENCES)
    with api.reading(_SILENCES):
        active = [one for one in told.data if one["status"]["state"] == "active"]
    return [f"silences that hold: {len(active)}"] if active else []
