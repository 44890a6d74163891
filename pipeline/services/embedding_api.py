"""The embedding service's API: writes chunks at once, and gives search its vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import HTTPException
from pydantic import BaseModel, Field

from pipeline import clients, mark, telemetry, web
from pipeline.embedding import Embedder, InferenceUnavailableError
from pipeline.services import enqueue
from pipeline.vectors import Origin, PgVectorStore

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from pipeline.settings import Settings


class EmbedRequest(BaseModel):
    """The chunks of a job's document."""

    job_id: str = Field(pattern=r"^[0-9a-fA-F-]{36}$")
    corpus_name: str = Field(min_length=1, max_length=200)
    source_url: str = ""
    chunks: list[str]


class QueryRequest(BaseModel):
    """What somebody searches for."""

    text: str = Field(min_length=1, max_length=10_000)


def make(settings: Settings) -> ASGIApp:
    """Return the embedding service's application."""
    base = web.make(settings)
    service = base.service
    pool = clients.database(settings)
    base.closing.append(pool.close)
    store = PgVectorStore(pool)
    embedder = Embedder(service.internal, settings.url("inference"), service.metrics)

    enqueue.add_embed(base)

    @base.app.post("/embed")
    def embed(request: EmbedRequest, key: web.Key = None) -> dict[str, Any]:
        """Embed chunks and write them; the same chunks again are written over."""
        service.auth.service(key)
        telemetry.name_job(request.job_id, job__stage="embedding")
        whose = mark.current()
        origin = Origin(request.job_id, request.corpus_name, request.source_url, whose)
        try:
            return {"written": embedder.write(store, origin, request.chunks)}
        except InferenceUnavailableError as error:
            raise HTTPException(503, f"inference_unavailable: {error}") from error

    @base.app.post("/query")
    def query(request: QueryRequest, key: web.Key = None) -> dict[str, Any]:
        """Return the vector of a query."""
        service.auth.service(key)
        try:
            return {"vector": embedder.vectors([request.text], "read")[0]}
        except InferenceUnavailableError as error:
            raise HTTPException(503, f"inference_unavailable: {error}") from error

    return base.asgi()
