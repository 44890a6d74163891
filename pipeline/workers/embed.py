"""The embed worker: gives a document's chunks their vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from celery.exceptions import SoftTimeLimitExceeded
from psycopg import OperationalError

from pipeline import logs, mark, telemetry
from pipeline.celery_app import EMBED_TASK, QUEUES
from pipeline.embed_errors import EmbedError, StoreUnavailableError
from pipeline.embedding import Embedder, open_embedder
from pipeline.payloads import EmbedPayload
from pipeline.states import FINAL, Status
from pipeline.vectors import Origin, VectorStore
from pipeline.vectors.choose import open_store
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


@dataclass(frozen=True, slots=True)
class Tools:
    """What all tasks of one child share: connections, and what it knows of those it calls."""

    store: VectorStore
    embedder: Embedder

    def close(self) -> None:
        """Close the connections."""
        self.store.close()
        self.embedder.close()


class Work:
    """What one embed task does."""

    def __init__(
        self, child: Child, tools: Tools, origin: Origin, sink: Sink = "orchestrator"
    ) -> None:
        """Embed the chunks of the origin into the store."""
        self._child = child
        self._tools = tools
        self._origin = origin
        self._sink = sink

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
                self._attempt(task, reporter, chunks)
            except (OrchestratorUnavailableError, StoreUnavailableError, OperationalError) as error:
                raise retries.wait_for_orchestrator(task, settings, error) from error

    def _attempt(self, task: Any, reporter: Reports, chunks: list[str]) -> None:
        try:
            self._embed(task, reporter, chunks)
        except JobGoneError:
            removed = self._tools.store.remove_job(self._origin.job_id)
            logs.get("embedding").warning("job_gone", vectors_removed=removed)

    def _embed(self, task: Any, reporter: Reports, chunks: list[str]) -> None:
        if reporter.report("started", _STAGE, "success") in FINAL:
            logs.get("embedding").info("job_ended_already")
            return
        try:
            written = self._tools.embedder.write(self._tools.store, self._origin, chunks)
        except SoftTimeLimitExceeded:
            self._fail(reporter, "time_limit", f"{len(chunks)} chunks took too long")
            return
        except EmbedError as error:
            if error.permanent or not retries.left(task):
                self._fail(reporter, error.code, str(error))
                return
            said = {"error_code": error.code, "error_message": str(error)}
            logs.get("embedding").warning("embed_retried", **said)
            settings = self._child.settings
            raise retries.again(task, settings, error, error.retry_after) from error
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
        if self._sink == "cache":  # of a job's the orchestrator removes what may be there
            self._tools.store.remove_job(self._origin.job_id)
        reporter.report("final", _STAGE, "failed", error_code=code, error_message=message)


def register(
    app: Celery, holder: Holder, settings: Settings, opened: list[Tools] | None = None
) -> str:
    """Register the task; return the queue to take it from.

    What a child works with is opened at its first task; it is in `opened` then, to be closed.
    """
    tools: list[Tools] = [] if opened is None else opened

    @app.task(  # type: ignore[untyped-decorator]
        name=EMBED_TASK, bind=True, max_retries=None, shared=False
    )
    def embed_task(self: Any, *places: Any, **names: Any) -> None:
        asked = given(EMBED_TASK, EmbedPayload, places, names)
        child = holder.get()
        if not tools:
            tools.append(Tools(open_store(settings), open_embedder(settings, child.metrics)))
        whose = mark.of_task(self.request)
        origin = Origin(asked.job_id, asked.corpus_name, asked.source_url, whose)
        with logs.of_job(asked.job_id):
            Work(child, tools[0], origin, asked.sink).run(self, asked.chunks)

    return QUEUES[EMBED_TASK]
