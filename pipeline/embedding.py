"""Vectors for texts: batches, the inference server, and what is measured of both."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import httpx

from pipeline import telemetry
from pipeline.metrics import observe
from pipeline.vectors import DIMENSION, Entry, Origin, VectorStore, chunk_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.metrics import Metrics

BATCH: Final = 32


class InferenceUnavailableError(Exception):
    """The inference server cannot be reached, or answers with an error."""


class Embedder:
    """Asks the inference server for vectors."""

    def __init__(self, client: httpx.Client, url: str, metrics: Metrics) -> None:
        """Ask the server at the URL through the client."""
        self._client = client
        self._url = f"{url}/v1/embeddings"
        self._metrics = metrics

    def vectors(self, texts: Sequence[str], operation: str) -> list[list[float]]:
        """Return a vector for each text."""
        begun = time.perf_counter()
        try:
            answer = self._client.post(self._url, json={"input": list(texts)})
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise InferenceUnavailableError(str(error)) from error
        found = [item["embedding"] for item in answer.json()["data"]]
        if len(found) != len(texts) or any(len(vector) != DIMENSION for vector in found):
            raise InferenceUnavailableError("the server's vectors do not fit what was asked")
        self._metrics.embedding_took(operation, time.perf_counter() - begun)
        return found

    def write(self, store: VectorStore, origin: Origin, texts: Sequence[str]) -> int:
        """Embed the texts of a document in batches and store them; return how many."""
        for start, batch in batches(texts):
            with telemetry.job_span("embed_batch", origin.job_id, batch__size=len(batch)):
                observe(self._metrics.batch_size, len(batch))
                found = self.vectors(batch, "write")
            entries = [
                Entry(chunk_id(origin.job_id, start + at), text, vector)
                for at, (text, vector) in enumerate(zip(batch, found, strict=True))
            ]
            with telemetry.job_span("upsert_vectors", origin.job_id, batch__size=len(batch)):
                store.upsert(origin, entries)
        return len(texts)


def batches(texts: Sequence[str], size: int = BATCH) -> Iterator[tuple[int, Sequence[str]]]:
    """Cut texts into batches; each comes with the place of its first."""
    for start in range(0, len(texts), size):
        yield start, texts[start : start + size]
