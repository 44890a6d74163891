"""Answers of a Prometheus, made up: for what a real one does not do on demand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler

from tests.sources.servers import Canned, Script

Points = Sequence[tuple[float, float]]


def series(name: str, points: Points, **labels: str) -> dict[str, object]:
    """Return a series of a matrix."""
    values = [[time, str(value)] for time, value in points]
    return {"metric": {"__name__": name, **labels}, "values": values}


def matrix(*every: dict[str, object], **envelope: object) -> bytes:
    """Return a good answer with these series; `envelope` has warnings and the like."""
    data = {"resultType": "matrix", "result": every}
    return json.dumps({"status": "success", "data": data, **envelope}).encode()


def scraped(
    labels: Mapping[str, str], until: float, *every: dict[str, object]
) -> tuple[dict[str, object], ...]:
    """Return series together with the `up` of their target, scraped each second, three times."""
    up = series("up", [(until - ago, 1) for ago in (2, 1, 0)], **labels)
    return (up, *every)


def answering(
    query: bytes,
    metadata: Mapping[str, str] | None = None,
    *,
    ahead: float | None = None,
    now: float = 0.0,
) -> Script:
    """Answer queries, and metadata by family and type; a clock that is `ahead` of `now`."""
    types = {name: [{"type": kind}] for name, kind in (metadata or {}).items()}
    others = json.dumps({"status": "success", "data": types}).encode()
    empty = json.dumps({"status": "success", "data": []}).encode()

    def script(handler: BaseHTTPRequestHandler) -> Canned | None:
        path = handler.path.partition("?")[0]
        body = empty
        if path == "/api/v1/query":
            body = query
        elif path == "/api/v1/metadata":
            body = others
        if ahead is None:
            return Canned(body=body)
        head = (
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            f"Date: {formatdate(now + ahead, usegmt=True)}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        handler.wfile.write(head.encode() + body)
        return None

    return script
