"""The embedding service's API: writes chunks at once, and gives search its vectors."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fastapi import HTTPException
from pydantic import BaseModel, Field

from pipeline import api, clients, health, mark, telemetry, web
from pipeline.embed_errors import EmbedError
from pipeline.embedding import open_embedder
from pipeline.services import enqueue
from pipeline.vectors import Origin
from pipeline.vectors.choose import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp

    from pipeline.settings import Settings


class EmbedResponse(BaseModel):
    """How many chunks the job's document has now."""

    written: int


class QueryRequest(BaseModel):
    """What somebody searches for."""

    text: api.Text = Field(min_length=1, max_length=10_000)


class QueryResponse(BaseModel):
    """The vector of what somebody searches for."""

    vector: list[float]


def make(settings: Settings) -> ASGIApp:
    """Return the embedding service's application."""
    base = web.make(settings)
    service = base.service
    store = open_store(settings)
    embedder = open_embedder(settings, service.metrics)
    base.closing.extend((store.close, embedder.close))
    service.dependencies.add("vectors", store.ping, needed=True)
    stranger = clients.inference(health.SECONDS)  # who is not to see our key
    base.closing.append(stranger.close)
    inference = health.service(stranger, settings.url("inference"), "/health")
    service.dependencies.add("inference", inference)

    enqueue.add_embed(base)

    @base.app.post("/embed", responses=api.refusals(403))
    def embed(request: api.EmbedRequest, key: web.Key = None) -> EmbedResponse:
        """Embed a document's chunks and write them, in place of all that it had.

        Readers see the whole document or none of it; what fails writes nothing.
        """
        service.auth.service(key)
        job_id = str(request.job_id)
        telemetry.name_job(job_id, job__stage="embedding")
        origin = Origin(job_id, request.corpus_name, request.source_url, mark.current())
        with _answered("chunks"):
            return EmbedResponse(written=embedder.write(store, origin, request.chunks))

    @base.app.post("/query", responses=api.refusals(403))
    def query(request: QueryRequest, key: web.Key = None) -> QueryResponse:
        """Return the vector of a query."""
        service.auth.service(key)
        with _answered("text"):
            return QueryResponse(vector=list(embedder.query(request.text)))

    return base.asgi()


@contextmanager
def _answered(field: str) -> Iterator[None]:
    """Answer 422 for texts that cannot be embedded, in the words of validation; 503 otherwise."""
    try:
        yield
    except EmbedError as error:
        if error.permanent:
            said = {"type": error.code, "loc": ["body", field], "msg": str(error)}
            raise HTTPException(422, [said]) from error
        headers = {"Retry-After": str(max(1, math.ceil(error.retry_after)))}
        raise HTTPException(503, f"{error.code}: {error}", headers) from error
