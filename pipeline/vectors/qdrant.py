"""Vectors in Qdrant, which has no transactions: a document is shown by the change of one point.

Each write of a document is a *generation*: its points carry that name, and only the generation
that the document's manifest names is shown. See docs/decisions/0012.
"""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from uuid import NAMESPACE_OID, uuid4, uuid5

from qdrant_client import models

from pipeline.embed_errors import StoreUnavailableError, WriteConflictError
from pipeline.mark import SYNTHETIC
from pipeline.vectors import Hit
from pipeline.vectors.qdrant_server import (
    CHUNKS,
    CREATED,
    ERRORS,
    MANIFESTS,
    completed,
    having,
    make,
    said,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from qdrant_client import QdrantClient

    from pipeline.vectors import Entry, Origin

_POINTS: Final = 64
"""Points of one request."""
_PAGE: Final = 1_000
_ROUNDS: Final = 16
"""How often a search is made anew because a document that it found was being written."""


class QdrantVectorStore:
    """Vectors in Qdrant, 1.17 or later.

    Times are those of the clock of who writes or asks: a server has none that can be asked.
    """

    def __init__(
        self,
        client: QdrantClient,
        *,
        indexed: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Use the client, and make the collections when first asked; without indexes if local."""
        self._client = client
        self._indexed = indexed
        self._clock = clock
        self._made = False
        self._making = threading.Lock()

    def replace(self, origin: Origin, entries: Sequence[Entry]) -> None:
        """Make these the vectors of the job's document, in place of all that it had."""
        generation, job_id = str(uuid4()), origin.job_id
        born = {
            "job_id": job_id,
            "traffic": origin.mark.traffic,
            "run_id": origin.mark.run_id,
            CREATED: self._clock(),
        }
        with self._asked():
            self._announce(born, generation)
            common = {**born, "generation": generation, "corpus_name": origin.corpus_name}
            self._put({**common, "source_url": origin.source_url}, entries)
            # Listed before the turn is used: if it is still ours then, nobody has announced since,
            # and all these are of the past.
            listed = self._generations(job_id)
            shown = {**born, "generation": generation, "writing": ""}
            self._set(job_id, shown, writing=generation)
            done = self._manifest(job_id).get("generation") == generation
            self._drop(listed - {generation} if done else {generation})
        if not done:
            raise WriteConflictError(f"the document of job {job_id} is being written by another")

    def nearest(self, corpus_name: str, vector: Sequence[float], limit: int) -> list[Hit]:
        """Return the nearest chunks of a corpus, best first.

        What was found counts if, of each job that was met on the way, the manifest named the same
        generation before the search and after it: then that one was whole all the time.
        """
        known: dict[str, str] = {}
        met: dict[str, str] = {}  # generations, and the jobs that they are of
        with self._asked():
            for _ in range(_ROUNDS):
                hidden = met.keys() - known.values()
                found = self._search(corpus_name, vector, limit, hidden)
                met |= {generation: job_id for job_id, generation in map(_of, found)}
                shown = self._shown(set(met.values()))
                if shown == known and all(shown[job] == one for job, one in map(_of, found)):
                    return [_hit(point) for point in found]
                known = shown
        raise StoreUnavailableError(f"documents of {corpus_name} are written again and again")

    def remove_job(self, job_id: str) -> int:
        """Remove a job's vectors; return how many there were."""
        with self._asked():
            return self._remove(job_id)

    def remove_run(self, run_id: str) -> int:
        """Remove a synthetic run's vectors; return how many there were."""
        with self._asked():
            return self._remove_like(having(traffic=SYNTHETIC, run_id=run_id), sys.maxsize)

    def remove_older(self, age: float, limit: int) -> int:
        """Remove synthetic documents older than `age` seconds; return how many vectors that were.

        Of the same age is what a write has left that did not come to its end.
        """
        old = models.FieldCondition(key=CREATED, range=models.Range(lte=self._clock() - age))
        with self._asked():
            return self._remove_like(having(old, traffic=SYNTHETIC), limit)

    def ping(self) -> None:
        """Return if the store answers."""
        with self._asked():
            self._client.get_collections()

    def close(self) -> None:
        """Close the client."""
        self._client.close()

    def _announce(self, born: dict[str, Any], generation: str) -> None:
        """Say in the manifest who writes now; whoever did until then can show nothing any more."""
        job_id = born["job_id"]
        point = models.PointStruct(
            id=_manifest_id(job_id), vector={}, payload={**born, "generation": "", "writing": ""}
        )
        mode = models.UpdateMode.INSERT_ONLY
        completed(self._client.upsert(MANIFESTS, [point], update_mode=mode))
        self._set(job_id, {"writing": generation})

    def _put(self, common: dict[str, Any], entries: Sequence[Entry]) -> None:
        points = [
            models.PointStruct(
                id=str(uuid5(NAMESPACE_OID, f"{common['generation']} {entry.id}")),
                vector=list(entry.vector),
                payload={**common, "chunk_id": entry.id, "text": entry.text},
            )
            for entry in entries
        ]
        for at in range(0, len(points), _POINTS):
            completed(self._client.upsert(CHUNKS, points[at : at + _POINTS]))

    def _remove(self, job_id: str) -> int:
        """Remove a document: first its manifest, so that it is not shown any more."""
        ids = models.PointIdsList(points=[_manifest_id(job_id)])
        completed(self._client.delete(MANIFESTS, ids))
        return sum(self._abandon(job_id, one) for one in self._generations(job_id))

    def _remove_like(self, wanted: models.Filter, limit: int) -> int:
        """Remove documents like that, then generations that are not shown, and count points."""
        size, removed = min(limit, _PAGE), 0
        while removed < limit and (page := self._page(MANIFESTS, wanted, size)):
            for payload in page:
                removed += self._remove(payload["job_id"]) if removed < limit else 0
        while removed < limit and (page := self._page(CHUNKS, wanted, size)):
            left = {(payload["job_id"], payload["generation"]) for payload in page}
            gone = sum(self._abandon(*one) for one in left)
            if not gone:
                break
            removed += gone
        return removed

    def _abandon(self, job_id: str, generation: str) -> int:
        """Remove a generation that is not shown, once it cannot be any more."""
        self._set(job_id, {"writing": ""}, writing=generation)
        if self._manifest(job_id).get("generation") == generation:
            return 0
        count = self._client.count(CHUNKS, having(generation=generation)).count
        self._drop({generation})
        return count

    def _drop(self, generations: Iterable[str]) -> None:
        """Remove the points of generations of which none is shown, now or later."""
        if names := list(generations):
            one_of = models.FieldCondition(key="generation", match=models.MatchAny(any=names))
            completed(self._client.delete(CHUNKS, models.FilterSelector(filter=having(one_of))))

    def _set(self, job_id: str, payload: dict[str, Any], **only_if: str) -> None:
        """Change a manifest, if it is there and its fields are these: one step of the server."""
        ids: list[models.ExtendedPointId] = [_manifest_id(job_id)]
        where = having(models.HasIdCondition(has_id=ids), **only_if)
        completed(self._client.set_payload(MANIFESTS, payload, points=where))

    def _manifest(self, job_id: str) -> dict[str, Any]:
        found = self._client.retrieve(MANIFESTS, [_manifest_id(job_id)])
        return (found[0].payload or {}) if found else {}

    def _shown(self, jobs: set[str]) -> dict[str, str]:
        """Return the generation of each job that is shown, or nothing."""
        if not jobs:
            return {}
        found = self._client.retrieve(MANIFESTS, [_manifest_id(job) for job in jobs])
        payloads = [record.payload or {} for record in found]
        return dict.fromkeys(jobs, "") | {one["job_id"]: one["generation"] for one in payloads}

    def _search(
        self, corpus_name: str, vector: Sequence[float], limit: int, hidden: set[str]
    ) -> list[models.ScoredPoint]:
        where = having(corpus_name=corpus_name)
        if hidden:
            names = models.MatchAny(any=sorted(hidden))
            where.must_not = [models.FieldCondition(key="generation", match=names)]
        found = self._client.query_points(CHUNKS, list(vector), query_filter=where, limit=limit)
        return found.points

    def _generations(self, job_id: str) -> set[str]:
        """Return the generations that a job has points of."""
        found = self._client.facet(
            CHUNKS, "generation", facet_filter=having(job_id=job_id), limit=_PAGE, exact=True
        )
        return {str(hit.value) for hit in found.hits}

    def _page(self, collection: str, where: models.Filter, limit: int) -> list[dict[str, Any]]:
        wanted = ["job_id", "generation"]
        found, _ = self._client.scroll(collection, where, limit=limit, with_payload=wanted)
        return [record.payload or {} for record in found]

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """Have the collections, and say in the port's words what went wrong."""
        try:
            with self._making:
                if not self._made:
                    make(self._client, indexed=self._indexed)
                    self._made = True
            yield
        except ERRORS as error:
            raise StoreUnavailableError(f"Qdrant: {said(error)}") from error


def _manifest_id(job_id: str) -> str:
    return str(uuid5(NAMESPACE_OID, f"manifest {job_id}"))


def _of(point: models.ScoredPoint) -> tuple[str, str]:
    payload = point.payload or {}
    return payload["job_id"], payload["generation"]


def _hit(point: models.ScoredPoint) -> Hit:
    payload = point.payload or {}
    return Hit(payload["chunk_id"], payload["text"], point.score, payload["source_url"])
