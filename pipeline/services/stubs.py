"""Stubs of other people's systems: Membership knows keys, inference makes vectors.

They are not instrumented: what they are stubs of would not report to us either.
"""

from __future__ import annotations

import math
import re
import zlib
from typing import TYPE_CHECKING

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


def membership(settings: Settings) -> ASGIApp:
    """Return Membership: three keys, and what their owners may do."""
    known = {
        settings.need("PIPELINE_USER_KEY"): ("user", "user", False),
        settings.need("PIPELINE_VALIDATOR_KEY"): ("obs-validator", "validator", True),
        settings.need("PIPELINE_SERVICE_KEY"): ("pipeline", "service", True),
    }

    async def verify(request: Request) -> JSONResponse:
        found = known.get(request.headers.get("x-api-key", ""))
        if found is None:
            return JSONResponse({"detail": "unknown key"}, 401)
        caller_id, role, may_mark = found
        return JSONResponse({"caller_id": caller_id, "role": role, "may_mark": may_mark})

    return Starlette(routes=[Route("/health", health), Route("/verify", verify)])


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
