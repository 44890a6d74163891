"""Stubs of other people's systems: Membership knows keys, inference makes vectors.

They are not instrumented: what they are stubs of would not report to us either.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import zlib
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pipeline.services.behaviours import BODIES, SLOW, STATUSES, TEXTS, Behaviour, Data
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


class _Inference:
    """The inference server, how it behaves now, and what it was asked so far."""

    def __init__(self, seconds: float) -> None:
        """Take so many seconds for each request."""
        self._seconds = seconds
        self._behaviour = Behaviour()
        self._counts = {"requests": 0, "texts": 0}

    async def embeddings(self, request: Request) -> Response:
        """Answer with the vectors of texts, or as it was told to."""
        texts = (await request.json())["input"]
        self._counts["requests"] += 1
        self._counts["texts"] += len(texts)
        mode = self._behaviour.next()
        await asyncio.sleep(self._behaviour.seconds if mode == SLOW else self._seconds)
        if mode in STATUSES:
            return JSONResponse({"error": mode}, STATUSES[mode])
        if mode in TEXTS:
            return Response(TEXTS[mode], media_type="application/json")
        data: Data = [{"index": at, "embedding": vector(text)} for at, text in enumerate(texts)]
        body = BODIES[mode if mode != SLOW else "ok"](data)
        return Response(json.dumps(body), media_type="application/json")

    async def behave(self, request: Request) -> JSONResponse:
        """Behave like this from now on: `mode`, `times`, `seconds`."""
        try:
            self._behaviour = Behaviour.model_validate_json(await request.body())
        except ValidationError as error:
            return JSONResponse({"detail": str(error)}, 422)
        return JSONResponse(self._behaviour.model_dump())

    async def counts(self, _request: Request) -> JSONResponse:
        """Tell how many requests there were, and of how many texts."""
        return JSONResponse(self._counts)


def inference(settings: Settings) -> ASGIApp:
    """Return the inference server: the same text always has the same vector."""
    stub = _Inference(settings.number("PIPELINE_INFERENCE_LATENCY", 0))
    return Starlette(
        routes=[
            Route("/health", health),
            Route("/v1/embeddings", stub.embeddings, methods=["POST"]),
            Route("/behaviour", stub.behave, methods=["POST"]),
            Route("/counts", stub.counts),
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
