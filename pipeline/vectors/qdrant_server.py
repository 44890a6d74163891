"""What the store in Qdrant asks of its server: collections, filters, answers that are certain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from qdrant_client import models
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import (
    ApiException,
    ResponseHandlingException,
    UnexpectedResponse,
)

from pipeline.embed_errors import StoreUnavailableError
from pipeline.vectors import DIMENSION

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

ERRORS: Final = (ApiException, QdrantException, ValueError)
"""What the library raises; the last for an answer that is no JSON."""
CHUNKS: Final = "pipeline-chunks"
MANIFESTS: Final = "pipeline-manifests"
CREATED: Final = "created_at"
_INDEXES: Final = {
    CHUNKS: ("corpus_name", "job_id", "generation", "traffic", "run_id"),
    MANIFESTS: ("writing", "traffic", "run_id"),
}
_OLDEST: Final = (1, 17)
"""Before that a server takes `insert_only` for nothing, and overwrites."""


def make(client: QdrantClient, *, indexed: bool) -> None:
    """Make the collections that are not there yet."""
    version = client.info().version
    if tuple(map(int, version.split(".")[:2])) < _OLDEST:
        oldest = ".".join(map(str, _OLDEST))
        raise StoreUnavailableError(f"Qdrant is {version}: it has to be {oldest} or later")
    size = models.VectorParams(size=DIMENSION, distance=models.Distance.COSINE)
    for name, vectors in ((CHUNKS, size), (MANIFESTS, {})):
        if not client.collection_exists(name):
            _create(client, name, vectors)
        if indexed:
            for key in _INDEXES[name]:
                client.create_payload_index(name, key, models.PayloadSchemaType.KEYWORD)
            client.create_payload_index(name, CREATED, models.PayloadSchemaType.FLOAT)


def _create(client: QdrantClient, name: str, vectors: Any) -> None:
    try:
        client.create_collection(name, vectors)
    except UnexpectedResponse as error:
        if error.status_code != 409:  # another process has made it meanwhile
            raise


def having(*conditions: Any, **values: str) -> models.Filter:
    """Return a filter of conditions and of fields that have these values."""
    equal = [
        models.FieldCondition(key=key, match=models.MatchValue(value=value))
        for key, value in values.items()
    ]
    return models.Filter(must=[*conditions, *equal])


def said(error: Exception) -> str:
    """Return in a line what went wrong: the library's own words are many, or none."""
    if isinstance(error, UnexpectedResponse):
        return f"it answered {error.status_code}"
    source = error.source if isinstance(error, ResponseHandlingException) else error
    return f"{type(source).__name__}: {source}"


def completed(result: models.UpdateResult) -> None:
    """Raise an error if the server did not do in time what it was asked for."""
    if result.status is not models.UpdateStatus.COMPLETED:
        raise StoreUnavailableError(f"Qdrant has not done it yet: {result.status}")
