"""Recordings of real backends, served again over HTTP as they were answered.

They lie in `tests/data/recordings/<backend>-<version>/`, one file per request.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from tests.sources.servers import Canned, Script

RECORDINGS = Path(__file__).parents[1] / "data" / "recordings"


@dataclass(frozen=True)
class Recording:
    """One request that was asked, and its answer; `headers` lower-case."""

    name: str
    method: str
    path: str
    request: dict[str, str]
    status: int
    headers: dict[str, str]
    body: bytes

    def canned(self) -> Canned:
        """Return the answer; the body was stored decompressed, so it is sent so."""
        kept = {"content-type", "content-length", "content-encoding", "date"}
        others = {name: value for name, value in self.headers.items() if name not in kept}
        media = self.headers.get("content-type", "")
        return Canned(self.status, self.body, media, others)


def recording(backend: str, name: str) -> Recording:
    """Return the recording whose file's name begins with `name`, such as `21` or `21-whole-v2`."""
    (path,) = sorted((RECORDINGS / backend).glob(f"{name}*.json"))
    stored: dict[str, Any] = json.loads(path.read_text())
    asked, answered = stored["request"], stored["response"]
    body: str = answered["body"] or ""
    binary = answered["encoding"] == "base64"
    return Recording(
        name=path.stem,
        method=asked["method"],
        path=asked["path"],
        request={key.lower(): value for key, value in asked["headers"].items()},
        status=answered["status"],
        headers={key.lower(): value for key, value in answered["headers"].items()},
        body=base64.b64decode(body) if binary else body.encode(),
    )


def replaying(*recordings: Recording) -> Script:
    """Answer each path with its recording (the first whose `Accept` fits), others with 404."""

    def script(handler: BaseHTTPRequestHandler) -> Canned:
        path = handler.path.partition("?")[0]
        for one in recordings:
            wanted = one.request.get("accept", "")
            if one.path.partition("?")[0] == path and wanted in handler.headers.get("Accept", ""):
                return one.canned()
        return Canned(404, b"404 page not found\n", "text/plain; charset=utf-8")

    return script
