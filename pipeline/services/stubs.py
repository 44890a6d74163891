"""Stubs of other people's systems: Membership knows keys, inference makes vectors.

They are not instrumented: what they are stubs of would not report to us either.
"""

from __future__ import annotations

import math
import re
import zlib
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from pipeline.vectors import DIMENSION

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp

    from pipeline.settings import Settings

_WORD = re.compile(r"\w+")


async def health(_request: Request) -> JSONResponse:
    """Say that the stub is up."""
    return JSONResponse({"status": "ok"})


class Membership:
    """Knows keys and what their owners may do; keys come and go, as in life."""

    def __init__(self, known: dict[str, dict[str, Any]]) -> None:
        """Begin with these callers, by their keys."""
        self._known = known
        self._verified = 0

    async def verify(self, request: Request) -> JSONResponse:
        """Answer whose the key is."""
        self._verified += 1
        found = self._known.get(request.headers.get("x-api-key", ""))
        if found is None:
            return JSONResponse({"detail": "unknown key"}, 401)
        return JSONResponse(found)

    async def grant(self, request: Request) -> JSONResponse:
        """Know one more key: `{"key": …, "caller_id": …, "role": …, "may_mark": …}`."""
        given = await request.json()
        self._known[given.pop("key")] = given
        return JSONResponse({"keys": len(self._known)})

    async def revoke(self, request: Request) -> JSONResponse:
        """Forget a key: `{"key": …}`."""
        self._known.pop((await request.json())["key"], None)
        return JSONResponse({"keys": len(self._known)})

    async def seen(self, _request: Request) -> JSONResponse:
        """Tell how often it was asked."""
        return JSONResponse({"verified": self._verified})


def membership(settings: Settings) -> ASGIApp:
    """Return Membership: three keys at first, and what their owners may do."""
    stub = Membership(
        {
            settings.need(f"PIPELINE_{name}_KEY"): {
                "caller_id": caller_id,
                "role": role,
                "may_mark": may_mark,
            }
            for name, caller_id, role, may_mark in (
                ("USER", "user", "user", False),
                ("VALIDATOR", "obs-validator", "validator", True),
                ("SERVICE", "pipeline", "service", True),
            )
        }
    )
    return Starlette(
        routes=[
            Route("/health", health),
            Route("/verify", stub.verify),
            Route("/keys", stub.grant, methods=["POST"]),
            Route("/keys", stub.revoke, methods=["DELETE"]),
            Route("/seen", stub.seen),
        ]
    )


def inference(_settings: Settings) -> ASGIApp:
    """Return the inference server: the same text always has the same vector."""

    async def embeddings(request: Request) -> JSONResponse:
        texts = (await request.json())["input"]
        data = [{"index": at, "embedding": vector(text)} for at, text in enumerate(texts)]
        return JSONResponse({"data": data})

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/v1/embeddings", embeddings, methods=["POST"]),
        ]
    )


def vector(text: str) -> list[float]:
    """Return a unit vector of a text; texts that share words are near to each other."""
    sums = [0.0] * DIMENSION
    for word in _WORD.findall(text.lower()):
        number = zlib.crc32(word.encode())
        sums[number % DIMENSION] += 1.0 if number & 0x10000 else -1.0
    length = math.sqrt(sum(value * value for value in sums))
    if not length:
        return [1.0] + [0.0] * (DIMENSION - 1)
    return [round(value / length, 6) for value in sums]
