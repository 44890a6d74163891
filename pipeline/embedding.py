"""Vectors for texts: batches, the cache, the inference server, and what is measured of them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline import breaker, chunks, clients, telemetry
from pipeline.embed_errors import UnfitTextError
from pipeline.embedding_cache import EmbeddingCache
from pipeline.inference import Inference, Server
from pipeline.metrics import observe
from pipeline.vectors import Entry, Origin, VectorStore, chunk_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.chunks import Tokenizer
    from pipeline.inference import Vector
    from pipeline.metrics import Metrics
    from pipeline.settings import Settings


@dataclass(frozen=True, slots=True)
class Batching:
    """How many texts, and how many tokens of all of them, one request has at most."""

    counter: Tokenizer
    size: int = 32
    tokens: int = 16_384


class Embedder:
    """Gives texts their vectors: those that the cache knows, and the others by asking."""

    def __init__(
        self, inference: Inference, cache: EmbeddingCache, metrics: Metrics, batching: Batching
    ) -> None:
        """Ask the cache first, and the server for the rest."""
        self._inference = inference
        self._cache = cache
        self._metrics = metrics
        self._batching = batching

    def query(self, text: str) -> Vector:
        """Return the vector of what somebody searches for."""
        ((_, batch),) = batches([text], self._batching)
        return self._vectors(batch, "read")[0]

    def write(self, store: VectorStore, origin: Origin, texts: Sequence[str]) -> int:
        """Embed the texts of a document in batches and store them at once; return how many."""
        entries: list[Entry] = []
        for start, batch in batches(texts, self._batching):
            with telemetry.job_span("embed_batch", origin.job_id, batch__size=len(batch)):
                observe(self._metrics.batch_size, len(batch))
                found = self._vectors(batch, "write")
            entries += [
                Entry(chunk_id(origin.job_id, start + at), text, vector)
                for at, (text, vector) in enumerate(zip(batch, found, strict=True))
            ]
        with telemetry.job_span("upsert_vectors", origin.job_id, batch__size=len(entries)):
            store.replace(origin, entries)
        return len(entries)

    def close(self) -> None:
        """Close the clients."""
        self._inference.close()
        self._cache.close()

    def _vectors(self, texts: Sequence[str], operation: str) -> list[Vector]:
        """Return a vector for each text; the time is measured also where all are known."""
        begun = time.perf_counter()
        known = {
            text: vector
            for text, vector in zip(texts, self._cache.get(texts), strict=True)
            if vector is not None
        }
        hits = sum(text in known for text in texts)
        self._metrics.cache_asked(operation, hits, len(texts) - hits)
        missing = list(dict.fromkeys(text for text in texts if text not in known))
        if missing:
            asked = dict(zip(missing, self._inference.vectors(missing), strict=True))
            self._cache.put(asked)
            known |= asked
        self._metrics.embedding_took(operation, time.perf_counter() - begun)
        return [known[text] for text in texts]


def open_embedder(settings: Settings, metrics: Metrics) -> Embedder:
    """Return the embedder of this process, and of all who work in it.

    That the cache evicts nothing was seen when the process began: it may be away by now.
    """
    seconds = settings.number("PIPELINE_INFERENCE_TIMEOUT", 10)
    model = settings.env.get("PIPELINE_EMBEDDING_MODEL") or "default"
    server = Server(settings.url("inference"), model, seconds)
    cache_seconds = int(settings.number("PIPELINE_EMBEDDING_CACHE_SECONDS", 86_400))
    own = breaker.Limits(failures=1)
    guard = breaker.watched("inference", metrics, breaker.Limits.of(settings))
    return Embedder(
        Inference(clients.inference(seconds), server, guard),
        EmbeddingCache(
            clients.cache(settings, checked=True),
            model,
            cache_seconds,
            breaker.watched("embedding_cache", metrics, own),
        ),
        metrics,
        Batching(
            chunks.tokenizer(), tokens=int(settings.number("PIPELINE_INFERENCE_TOKENS", 16_384))
        ),
    )


def batches(texts: Sequence[str], batching: Batching) -> Iterator[tuple[int, Sequence[str]]]:
    """Cut texts into batches; each comes with the place of its first.

    A text that alone is too long for a request is refused, before any batch is asked for.
    """
    weights = _weights(texts, batching)
    bounds, total = [0], 0
    for at, weight in enumerate(weights):
        if at - bounds[-1] == batching.size or total + weight > batching.tokens:
            bounds.append(at)
            total = 0
        total += weight
    ends = [*bounds[1:], len(texts)]
    for start, end in zip(bounds, ends, strict=True):
        if start < end:
            yield start, texts[start:end]


def _weights(texts: Sequence[str], batching: Batching) -> list[int]:
    """Return the tokens of each text, or its bytes where so many would never be too much."""
    weights = []
    for at, text in enumerate(texts):
        try:
            size = len(text.encode())
        except UnicodeEncodeError as error:
            raise UnfitTextError(f"chunk {at} is no text: {error}") from error
        if "\0" in text:
            raise UnfitTextError(f"chunk {at} has the character NUL, which no database keeps")
        if size * batching.size > batching.tokens:
            size = batching.counter.count(text)
        if size > batching.tokens:
            raise UnfitTextError(f"chunk {at} has {size} tokens: at most {batching.tokens}")
        weights.append(size)
    return weights
