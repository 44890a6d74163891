"""The search service."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import httpx
from fastapi import HTTPException
from pydantic import BaseModel, Field

from pipeline import clients, logs, web
from pipeline.metrics import observe
from pipeline.vectors import PgVectorStore

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from pipeline.settings import Settings


class SearchRequest(BaseModel):
    """What is searched for, and where."""

    query: str = Field(min_length=1, max_length=10_000)
    corpus_name: str = Field(default="default", min_length=1, max_length=200)
    limit: int = Field(default=5, ge=1, le=100)


def make(settings: Settings) -> ASGIApp:
    """Return the search service's application."""
    base = web.make(settings)
    service = base.service
    pool = clients.database(settings)
    base.closing.append(pool.close)
    store = PgVectorStore(pool)
    query_url = f"{settings.url('embedding-api')}/query"

    @base.app.post("/search")
    def search(request: SearchRequest, key: web.Key = None) -> dict[str, Any]:
        """Return the chunks of a corpus that are nearest to the query."""
        service.auth.caller(key)
        begun = time.perf_counter()
        try:
            answer = service.internal.post(query_url, json={"text": request.query})
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise HTTPException(503, "embedding-api gives no vector") from error
        hits = store.nearest(request.corpus_name, answer.json()["vector"], request.limit)
        observe(service.metrics.search_seconds, time.perf_counter() - begun)
        logs.get("search").info("searched", corpus_name=request.corpus_name, results=len(hits))
        return {"results": [asdict(hit) for hit in hits]}

    return base.asgi()
