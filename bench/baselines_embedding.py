"""How long chunking, embedding and searching take on a running pipeline (rows B-3, B-4, B-5, B-7).

Each measurement gives the seconds of every request, as its client saw them.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable
from typing import Any
from uuid import uuid4

from pipeline import text
from pipeline.testing import RunningPipeline

ARTICLE = 30_000
WHITEPAPER = 480_000
"""Characters of a page of 5,000 words and of a paper of 80,000 (000 §8)."""
CHUNKS = 17
_WARM = 3
"""Requests that come first and are not counted: connections, keys that are not known yet."""
_PATIENCE = 60.0


def chunk(pipeline: RunningPipeline, characters: int, times: int) -> list[float]:
    """Measure `POST /chunk` of a text of so many characters."""
    content = document(characters)
    bodies = itertools.repeat({"content": content}, times + _WARM)
    return _times(pipeline, "chunking", "/chunk", "user", bodies)


def embed(pipeline: RunningPipeline, times: int) -> list[float]:
    """Measure `POST /embed` of 17 chunks that nobody has embedded before."""
    sizes = document(ARTICLE)

    def body() -> dict[str, Any]:
        return _document([f"{uuid4()} {part}" for part in _parts(sizes)])

    return _times(pipeline, "embedding-api", "/embed", "service", _made(body, times))


def embed_known(pipeline: RunningPipeline, times: int) -> list[float]:
    """Measure the same with chunks that the cache knows from the first request on."""
    parts = [f"{uuid4()} {part}" for part in _parts(document(ARTICLE))]
    return _times(
        pipeline, "embedding-api", "/embed", "service", _made(lambda: _document(parts), times)
    )


def search(pipeline: RunningPipeline, times: int) -> list[float]:
    """Measure `POST /search` in the corpus of an article; no query is asked twice."""
    job = pipeline.submit("article", run_id=None, whose="user")
    if pipeline.ended(job.job_id, "user")["status"] != "done":
        raise RuntimeError("the article was not embedded: there is nothing to search")
    corpus = f"corpus-{job.nonce}"

    def body() -> dict[str, Any]:
        return {"query": f"a small river {uuid4()}", "corpus_name": corpus}

    return _times(pipeline, "search", "/search", "user", _made(body, times))


def document(characters: int) -> str:
    """Return a text of exactly so many characters."""
    words = characters // 5
    return "\n\n".join(text.paragraphs(words, seed=characters))[:characters]


def _parts(content: str) -> list[str]:
    size = len(content) // CHUNKS
    return [content[at * size : (at + 1) * size] for at in range(CHUNKS)]


def _document(chunks: list[str]) -> dict[str, Any]:
    return {"job_id": str(uuid4()), "corpus_name": f"bench-{uuid4()}", "chunks": chunks}


def _made(body: Any, times: int) -> Iterable[dict[str, Any]]:
    return (body() for _ in range(times + _WARM))


def _times(
    pipeline: RunningPipeline, service: str, path: str, whose: str, bodies: Iterable[Any]
) -> list[float]:
    """Make the requests one after the other; return the seconds of each after the first few."""
    url, key = f"{pipeline.url(service)}{path}", pipeline.key(whose)
    taken = []
    for body in bodies:
        began = time.perf_counter()
        answer = pipeline.client.post(url, json=body, headers=key, timeout=_PATIENCE)
        taken.append(time.perf_counter() - began)
        answer.raise_for_status()
    return taken[_WARM:]
