"""What of Grafana's HTTP API the validator uses, in front of real backends.

Not a Grafana: a reverse proxy with its paths, its check of tokens and its errors, as
grafana/grafana has them (pkg/services/datasourceproxy, pkg/services/ngalert/api, pkg/api).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

import requests

from tests.sources.servers import Canned, Served, serving
from validator.sources.http import make_session

TOKEN = "glsa_viewer"
WITHOUT_NOTIFICATIONS = "glsa_rules_only"
WITHOUT_ALERTS = "glsa_data_only"

_DATASOURCE = "/api/datasources/proxy/uid/"
_RULES = "/api/prometheus/grafana/api/v1/rules"
_ALERTMANAGER = "/api/alertmanager/grafana/"
_STATES = {"firing": "Alerting", "pending": "Pending", "inactive": "Normal"}


@contextmanager
def grafana(
    datasources: Mapping[str, str], *, rules: str = "", alertmanager: str = ""
) -> Iterator[Served]:
    """Serve data sources by their uid, and the alerts of a Prometheus and an Alertmanager."""
    with make_session() as session:
        session.trust_env = False

        def backend(path: str, query: str) -> Canned:
            if path.startswith(_DATASOURCE):
                uid, _, rest = path.removeprefix(_DATASOURCE).partition("/")
                if uid in datasources:
                    return _passed(session, f"{datasources[uid]}/{rest}?{query}")
                return _json(404, {"message": "Unable to find datasource", "traceID": ""})
            if path == _RULES:
                return _named(_passed(session, f"{rules}/api/v1/rules?{query}"))
            if path.startswith(_ALERTMANAGER):
                rest = path.removeprefix(_ALERTMANAGER)
                return _marked(_passed(session, f"{alertmanager}/{rest}?{query}"))
            return _json(404, {"message": "Not found"})

        def script(handler: BaseHTTPRequestHandler) -> Canned:
            path, _, query = handler.path.partition("?")
            if path == "/api/health":
                return _json(200, {"commit": "0", "database": "ok", "version": "11.3.0"})
            refused = _refused(handler.headers.get("Authorization", ""), path)
            return backend(path, query) if refused is None else refused

        with serving(script) as served:
            yield served


def _refused(authorization: str, path: str) -> Canned | None:
    """Return the refusal of a token that is none, or may not see `path`."""
    token = authorization.removeprefix("Bearer ")
    if not token:
        return _json(401, {"message": "Unauthorized", "statusCode": 401, "traceID": ""})
    if token not in (TOKEN, WITHOUT_NOTIFICATIONS, WITHOUT_ALERTS):
        body = {"message": "Invalid API key", "messageId": "api-key.invalid", "statusCode": 401}
        return _json(401, {**body, "traceID": ""})
    needed = ""
    if token == WITHOUT_ALERTS and path == _RULES:
        needed = "alert.rules:read"
    if token != TOKEN and path.startswith(_ALERTMANAGER):
        needed = "alert.instances:read"
    if not needed:
        return None
    words = "You'll need additional permissions to perform this action. Permissions needed: "
    body = {"accessErrorId": "ACE0000000000", "message": words + needed, "title": "Access denied"}
    return _json(403, body)


def _passed(session: requests.Session, url: str) -> Canned:
    """Return what a backend answers; one that is not there is a 502 without a body."""
    try:
        answer = session.get(url, timeout=10)
    except requests.exceptions.ConnectionError:
        return Canned(502)
    media = answer.headers.get("Content-Type", "")
    return Canned(answer.status_code, answer.content, media)


def _named(answer: Canned) -> Canned:
    """Return Prometheus's rules with Grafana's words for the states of alerts."""
    document: dict[str, Any] = json.loads(answer.body)
    for group in document["data"]["groups"]:
        for rule in group["rules"]:
            for alert in rule.get("alerts", ()):
                alert["state"] = _STATES[alert["state"]]
    return _json(answer.status, document)


def _marked(answer: Canned) -> Canned:
    """Return an Alertmanager's alerts with the labels that Grafana adds to its own."""
    document = json.loads(answer.body)
    for one in document if isinstance(document, list) else ():
        one.get("labels", {})["__alert_rule_uid__"] = "ddx"
    return _json(answer.status, document)


def _json(status: int, document: object) -> Canned:
    return Canned(status, json.dumps(document).encode())
