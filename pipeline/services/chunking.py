"""The chunking service."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, Field

from pipeline import api, chunks, logs, telemetry, web
from pipeline.chunks import Chunk
from pipeline.metrics import observe

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from pipeline.settings import Settings

LONGEST: Final = 5_000_000
"""Characters of a text."""


class ChunkRequest(BaseModel):
    """The text to cut, and the job that it is of, if any."""

    content: str = Field(max_length=LONGEST)
    job_id: api.JobName = ""


class ChunkResponse(BaseModel):
    """The chunks of a text, in order."""

    count: int
    chunks: list[Chunk]


def make(settings: Settings) -> ASGIApp:
    """Return the chunking service's application."""
    base = web.make(settings)
    service = base.service
    counter = chunks.tokenizer()

    # Not async: the work is done in a thread, and the tokenizer gives others their turn.
    @base.app.post("/chunk", responses=api.refusals(429))
    def chunk(request: ChunkRequest, key: web.Key = None) -> ChunkResponse:
        """Cut a text into chunks, in order, each within the limit of tokens.

        `start` and `end` are places in the text, counted in characters (Unicode code points).
        """
        service.admit(key)
        telemetry.name_job(request.job_id, job__stage="chunking")
        begun = time.perf_counter()
        with (
            logs.of_job(request.job_id),
            telemetry.job_span("chunk_document", request.job_id, job__stage="chunking") as span,
        ):
            found = chunks.split(request.content, counter)
            span.set_attribute("chunk.count", len(found))
            observe(service.metrics.chunk_seconds, time.perf_counter() - begun)
            observe(service.metrics.chunks, len(found))
            logs.get("chunking").info("document_chunked", chunks=len(found))
        return ChunkResponse(count=len(found), chunks=found)

    return base.asgi()
