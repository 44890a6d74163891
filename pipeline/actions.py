"""What the relay does about each sort of row in the outbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import httpx
from opentelemetry.instrumentation.utils import suppress_instrumentation
from pydantic import BaseModel, ValidationError

from pipeline import jobs, outbox
from pipeline.celery_app import EMBED_TASK, SCRAPE_TASK
from pipeline.outbox import Action, Entry
from pipeline.publish import publish
from pipeline.states import Callback, Status

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from celery import Celery
    from psycopg import Connection

    from pipeline.flow import Flow

    Done = Callable[[], None]
    Do = Callable[[Connection[Any], Entry], Done]

TRIES: Final = 8
"""How often chunking is asked before the job fails: with the relay's waits, about ten seconds."""
_LATER: Final = frozenset({408, 425, 429})
_LOCK_MILLISECONDS: Final = 500
_AFTER_CHUNKS: Final = frozenset({Status.CHUNKING, Status.EMBEDDING})


class ChunkingUnavailableError(Exception):
    """Chunking cannot be reached, or answers with an error that may pass."""


class ChunkingRefusedError(Exception):
    """Chunking will not take this document."""


class _Chunk(BaseModel):
    text: str


class _Chunks(BaseModel):
    """Of what chunking answers, that which is needed."""

    chunks: list[_Chunk]


class Chunker:
    """Asks the chunking service."""

    def __init__(self, client: httpx.Client, url: str) -> None:
        """Ask the service at the URL through the client."""
        self._client = client
        self._url = f"{url}/chunk"

    def chunks(self, job_id: UUID, content: str) -> list[str]:
        """Return the texts of a document's chunks, in order."""
        try:
            answer = self._client.post(self._url, json={"job_id": str(job_id), "content": content})
        except httpx.HTTPError as error:
            raise ChunkingUnavailableError(f"chunking cannot be asked: {error}") from error
        if 400 <= answer.status_code < 500 and answer.status_code not in _LATER:
            raise ChunkingRefusedError(
                f"chunking answered {answer.status_code}: {answer.text[:200]}"
            )
        if not answer.is_success:
            raise ChunkingUnavailableError(f"chunking answered {answer.status_code}")
        try:
            found = _Chunks.model_validate_json(answer.content)
        except ValidationError as error:
            raise ChunkingUnavailableError("chunking's answer is none that we know") from error
        return [chunk.text for chunk in found.chunks]


class Actions:
    """Acts on rows. What is returned is called once the row's transaction is committed."""

    def __init__(self, broker: Celery, chunker: Chunker, flow: Flow) -> None:
        """Publish to the broker, and let the flow move jobs."""
        self._broker = broker
        self._chunker = chunker
        self._flow = flow

    def of(self, action: Action) -> Do:
        """Return what is done about a row of this action."""
        known: dict[Action, Do] = {
            Action.SCRAPE: self._scrape,
            Action.CHUNK: self._chunk,
            Action.EMBED: self._embed,
        }
        return known[action]

    def _scrape(self, _connection: Connection[Any], entry: Entry) -> Done:
        publish(self._broker, SCRAPE_TASK, entry.job_id, entry.payload)
        return _nothing

    def _embed(self, _connection: Connection[Any], entry: Entry) -> Done:
        publish(self._broker, EMBED_TASK, entry.job_id, entry.payload)
        return _nothing

    def _chunk(self, connection: Connection[Any], entry: Entry) -> Done:
        """Have the document chunked; in one transaction the job goes on and is to be embedded."""
        document = jobs.document_of(connection, entry.job_id)
        if document is None:  # the job was removed, or had failed before it was scraped
            return _nothing
        try:
            texts = self._chunker.chunks(entry.job_id, document.content)
        except ChunkingRefusedError as error:
            return self._fail(connection, entry, "chunking_refused", str(error))
        except ChunkingUnavailableError as error:
            if entry.attempts + 1 < TRIES:
                raise
            return self._fail(connection, entry, "chunking_unavailable", str(error))
        found = self._advance(connection, entry, Callback(_callback_id(entry), Status.CHUNKING))
        if found is not None and found.job.status in _AFTER_CHUNKS:
            jobs.note_chunks(connection, entry.job_id, len(texts))
            payload = {
                "corpus_name": found.job.corpus_name,
                "source_url": document.source_url,
                "chunks": texts,
            }
            outbox.write(connection, entry.job_id, Action.EMBED, payload, entry.carrier)
        return lambda: self._flow.tell(found)

    def _fail(self, connection: Connection[Any], entry: Entry, code: str, message: str) -> Done:
        failure = jobs.failure(Status.CHUNKING, code, message)
        callback = Callback(_callback_id(entry), Status.CHUNKING, failure)
        found = self._advance(connection, entry, callback)
        return lambda: self._flow.tell(found)

    def _advance(
        self, connection: Connection[Any], entry: Entry, callback: Callback
    ) -> jobs.Advanced | None:
        # Who removes the job holds its row and waits for ours: rather give way than wait in a ring.
        with suppress_instrumentation():
            connection.execute(f"SET LOCAL lock_timeout = {_LOCK_MILLISECONDS}".encode())
        return self._flow.advance(connection, entry.job_id, callback)


def _callback_id(entry: Entry) -> str:
    return f"outbox:{entry.id}:chunked"


def _nothing() -> None:
    """Nothing is to be told."""
