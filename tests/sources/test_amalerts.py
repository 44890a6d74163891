"""Alerts as an Alertmanager shows them, made up: what keeps them from being delivered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.sources.conftest import http
from tests.sources.servers import Canned, always, serving
from validator.sources.alertmanager import AlertmanagerSource


def shown(name: str, **status: list[str]) -> dict[str, Any]:
    """Return an alert with this status beside its state."""
    return {
        "labels": {"alertname": name},
        "annotations": {},
        "startsAt": "2027-01-15T08:00:00Z",
        "endsAt": "2099-01-15T08:00:00Z",
        "fingerprint": "f",
        "receivers": [{"name": "pager"}],
        "status": {"state": "suppressed", "silencedBy": [], "inhibitedBy": [], **status},
    }


@pytest.mark.req("V-12")
def test_a_muted_alert_names_its_time_intervals() -> None:
    """As far as it is said; that takes no request more."""
    every = [shown("Stall", mutedBy=["nights", "weekends"]), shown("Full", mutedBy=[])]
    every += [shown("Old")]
    with serving(always(Canned(body=json.dumps(every).encode()))) as served:
        source = AlertmanagerSource("delivery", served.url, http("delivery"), 5.0)
        answer = source.alerts()
        source.close()
    muted = {alert.name: alert.muted_by for alert in answer.alerts}
    assert muted == {"Stall": ("nights", "weekends"), "Full": (), "Old": ()}
    assert answer.findings == ("Stall is muted by nights, weekends",)
    assert (answer.full, len(served.requests)) == (True, 1)
