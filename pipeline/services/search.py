"""The search service."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import httpx
from fastapi import HTTPException
from pydantic import BaseModel, Field, ValidationError

from pipeline import api, health, logs, web
from pipeline.embed_errors import StoreUnavailableError
from pipeline.metrics import observe
from pipeline.services.embedding_api import QueryResponse
from pipeline.vectors import DIMENSION, Hit
from pipeline.vectors.choose import open_store

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from pipeline.settings import Settings


class SearchRequest(BaseModel):
    """What is searched for, and where."""

    query: api.Text = Field(min_length=1, max_length=10_000)
    corpus_name: api.CorpusName = "default"
    limit: int = Field(default=5, ge=1, le=100)


class SearchResponse(BaseModel):
    """The nearest chunks of a corpus, best first; none of a corpus that nobody has filled."""

    results: list[Hit]


def make(settings: Settings) -> ASGIApp:
    """Return the search service's application."""
    base = web.make(settings)
    service = base.service
    store = open_store(settings)
    base.closing.append(store.close)
    service.dependencies.add("vectors", store.ping, needed=True)
    embedding = health.service(service.internal, settings.url("embedding-api"))
    service.dependencies.add("embedding-api", embedding)
    query_url = f"{settings.url('embedding-api')}/query"

    @base.app.post("/search", responses=api.refusals(429))
    def search(request: SearchRequest, key: web.Key = None) -> SearchResponse:
        """Return the chunks of a corpus that are nearest to the query."""
        service.admit(key)
        begun = time.perf_counter()
        vector = _vector(service.internal, query_url, request.query)
        try:
            hits = store.nearest(request.corpus_name, vector, request.limit)
        except StoreUnavailableError as error:
            raise _unavailable(f"{error.code}: {error}") from error
        observe(service.metrics.search_seconds, time.perf_counter() - begun)
        logs.get("search").info("searched", corpus_name=request.corpus_name, results=len(hits))
        return SearchResponse(results=hits)

    return base.asgi()


def _vector(client: httpx.Client, url: str, text: str) -> list[float]:
    """Return a text's vector; 503 when embedding-api gives none, 422 when it has none."""
    try:
        answer = client.post(url, json={"text": text})
    except httpx.HTTPError as error:
        raise _unavailable("embedding-api cannot be reached") from error
    if answer.status_code == 422:
        said = {"type": "query_unfit", "loc": ["body", "query"], "msg": "it cannot be embedded"}
        raise HTTPException(422, [said])
    if answer.status_code != 200:
        after = answer.headers.get("Retry-After", "1")
        raise _unavailable(f"embedding-api answered {answer.status_code}", after)
    try:
        vector = QueryResponse.model_validate_json(answer.content).vector
    except ValidationError as error:
        raise _unavailable("embedding-api gives no vector") from error
    if len(vector) != DIMENSION:
        raise _unavailable(f"embedding-api gives a vector of {len(vector)} numbers")
    return vector


def _unavailable(why: str, retry_after: str = "1") -> HTTPException:
    return HTTPException(503, why, {"Retry-After": retry_after})
