"""The embed worker: gives a document's chunks their vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from celery.exceptions import SoftTimeLimitExceeded
from psycopg import OperationalError

from pipeline import clients, logs, mark, telemetry
from pipeline.celery_app import EMBED_TASK, QUEUES
from pipeline.embedding import Embedder, InferenceUnavailableError
from pipeline.payloads import EmbedPayload
from pipeline.states import Status
from pipeline.vectors import Origin, PgVectorStore, VectorStore
from pipeline.workers import retries
from pipeline.workers.callbacks import JobGoneError, OrchestratorUnavailableError, reports
from pipeline.workers.given import given

if TYPE_CHECKING:
    from celery import Celery

    from pipeline.payloads import Sink
    from pipeline.settings import Settings
    from pipeline.workers.base import Child, Holder
    from pipeline.workers.callbacks import Reports

_STAGE: Final = Status.EMBEDDING.value


class Work:
    """What one embed task does."""

    def __init__(
        self, child: Child, store: VectorStore, origin: Origin, sink: Sink = "orchestrator"
    ) -> None:
        """Embed the chunks of the origin into the store."""
        self._child = child
        self._store = store
        self._origin = origin
        self._sink = sink
        self._embedder = Embedder(child.internal, child.settings.url("inference"), child.metrics)

    def run(self, task: Any, chunks: list[str]) -> None:
        """Report the start, write the vectors, report the end."""
        origin, settings = self._origin, self._child.settings
        reporter = reports(self._child, self._sink, origin.job_id, task.request.id)
        attributes = {
            "job__url": origin.source_url,
            "job__stage": _STAGE,
            "queue__name": QUEUES[EMBED_TASK],
            "request__mode": "async",
            "task__id": task.request.id,
            "task__attempt": task.request.retries + 1,
            "chunk__count": len(chunks),
        }
        with telemetry.job_span("embed_task", origin.job_id, **attributes):
            try:
                self._embed(reporter, chunks)
            except JobGoneError:
                removed = self._store.remove_job(origin.job_id)
                logs.get("embedding").warning("job_gone", vectors_removed=removed)
            except SoftTimeLimitExceeded:
                self._fail(reporter, "time_limit", f"{len(chunks)} chunks took too long")
            except (OrchestratorUnavailableError, OperationalError) as error:
                raise retries.wait_for_orchestrator(task, settings, error) from error
            except InferenceUnavailableError as error:
                if retries.left(task):
                    logs.get("embedding").warning("embed_retried", error_message=str(error))
                    raise retries.again(task, settings, error) from error
                self._fail(reporter, "inference_unavailable", str(error))

    def _embed(self, reporter: Reports, chunks: list[str]) -> None:
        reporter.report("started", _STAGE, "success")
        written = self._embedder.write(self._store, self._origin, chunks)
        logs.get("embedding").info("embedded", vectors=written)
        reporter.report("final", _STAGE, "success")

    def _fail(self, reporter: Reports, code: str, message: str) -> None:
        logs.failure(
            self._child.settings,
            "embed_failed",
            job_id=self._origin.job_id,
            failed_stage=_STAGE,
            error_code=code,
            error_message=message,
        )
        reporter.report("final", _STAGE, "failed", error_code=code, error_message=message)


def register(app: Celery, holder: Holder, settings: Settings) -> str:
    """Register the task; return the queue to take it from."""
    stores: list[VectorStore] = []

    @app.task(name=EMBED_TASK, bind=True, max_retries=None)  # type: ignore[untyped-decorator]
    def embed_task(self: Any, *places: Any, **names: Any) -> None:
        asked = given(EMBED_TASK, EmbedPayload, places, names)
        if not stores:
            stores.append(PgVectorStore(clients.database(settings)))
        whose = mark.of_task(self.request)
        origin = Origin(asked.job_id, asked.corpus_name, asked.source_url, whose)
        with logs.of_job(asked.job_id):
            Work(holder.get(), stores[0], origin, asked.sink).run(self, asked.chunks)

    return QUEUES[EMBED_TASK]
