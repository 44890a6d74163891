"""A reverse proxy before any backend: TLS, a token, tenants, and a clock that is off.

So one thing can be made wrong at a time, whatever the backend is: one of a test's own, or a real
one whose URL is given.
"""

from __future__ import annotations

import email.utils
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

import requests

from tests.sources.servers import Canned, Served, serving

_PASSED = ("accept", "content-type", "content-encoding", "x-scope-orgid")


@dataclass(frozen=True)
class Front:
    """What stands before a backend.

    `tenants` has the backend of each tenant by its name; one that is not in it gets `nobody`.
    `ahead` is by how many seconds the clock is ahead of ours.
    """

    token: str = ""
    tls: ssl.SSLContext | None = None
    tenants: Mapping[str, str] = field(default_factory=dict)
    nobody: str = ""
    ahead: float = 0.0


@contextmanager
def fronted(front: Front) -> Iterator[Served]:
    """Serve what the backends answer."""
    session = requests.Session()
    session.trust_env = False

    def script(handler: BaseHTTPRequestHandler) -> Canned | None:
        if front.token and handler.headers.get("Authorization") != f"Bearer {front.token}":
            return Canned(401, b"wrong token\n", "text/plain")
        tenant = handler.headers.get("X-Scope-OrgID", "")
        backend = front.tenants.get(tenant, front.nobody)
        answer = session.request(
            handler.command,
            f"{backend}{handler.path}",
            headers={name: value for name in _PASSED if (value := handler.headers.get(name))},
            data=handler.body,  # type: ignore[attr-defined]  # set by `serving`
            timeout=10,
        )
        handler.send_response_only(answer.status_code)
        handler.send_header("Date", email.utils.formatdate(time.time() + front.ahead, usegmt=True))
        handler.send_header("Content-Type", answer.headers.get("Content-Type", ""))
        handler.send_header("Content-Length", str(len(answer.content)))
        handler.end_headers()
        handler.wfile.write(answer.content)
        return None

    with session, serving(script, tls=front.tls) as served:
        yield served
