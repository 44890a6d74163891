"""The chunking service."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from pipeline import chunks, logs, telemetry, web
from pipeline.metrics import observe

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from pipeline.settings import Settings


class ChunkRequest(BaseModel):
    """The text to cut, and the job that it is of, if any."""

    content: str
    job_id: str = Field(default="", max_length=100)


def make(settings: Settings) -> ASGIApp:
    """Return the chunking service's application."""
    base = web.make(settings)
    service = base.service
    counter = chunks.tokenizer()

    @base.app.post("/chunk")
    def chunk(request: ChunkRequest, key: web.Key = None) -> dict[str, Any]:
        """Cut a text into chunks, in order, each within the limit of tokens."""
        service.auth.caller(key)
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
        return {
            "count": len(found),
            "chunks": [{"index": c.index, "text": c.text, "tokens": c.tokens} for c in found],
        }

    return base.asgi()
