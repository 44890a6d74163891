"""How a job goes on: what the orchestrator does when a stage has succeeded or failed."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
from opentelemetry import context

from pipeline import jobs, logs, mark, telemetry
from pipeline.celery_app import EMBED_TASK, SCRAPE_TASK
from pipeline.metrics import observe
from pipeline.publish import publish
from pipeline.states import FINAL, Callback, Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from celery import Celery

    from pipeline.web import Service


class Flow:
    """Moves jobs from stage to stage."""

    def __init__(self, service: Service, store: jobs.JobStore, broker: Celery) -> None:
        """Work on the store, and publish tasks to the broker."""
        self._service = service
        self._store = store
        self._broker = broker
        self._chunk_url = f"{service.settings.url('chunking')}/chunk"

    def begin(self, job: jobs.Job) -> None:
        """Have a new job scraped."""
        with logs.of_job(job.id):
            self._count(job, "submitted")
            logs.get("orchestrator").info("job_submitted", url=job.url)
            publish(self._broker, SCRAPE_TASK, job.id, {"url": job.url})

    def report(
        self, job_id: UUID, callback: Callback, document: jobs.Document | None
    ) -> jobs.Advanced | None:
        """Apply a report, and do what follows from it."""
        with telemetry.job_span("job.advance", str(job_id), job__stage=callback.stage.value) as own:
            advanced = self._store.advance(job_id, callback, document)
            if advanced is not None:
                own.set_attribute("job.status", advanced.job.status.value)
                own.set_attribute("callback.outcome", advanced.outcome.value)
        if advanced is None or advanced.outcome is not Outcome.ADVANCED:
            return advanced
        with _as_marked(advanced.job):
            self._advanced(advanced.job)
            if document is not None:
                return self._chunk(advanced.job, callback, document) or advanced
        return advanced

    def _chunk(
        self, job: jobs.Job, scraped: Callback, document: jobs.Document
    ) -> jobs.Advanced | None:
        """Have a document chunked; then have its chunks embedded."""
        callback_id = f"{scraped.callback_id}:chunked"
        try:
            answer = self._service.internal.post(
                self._chunk_url, json={"job_id": str(job.id), "content": document.content}
            )
            answer.raise_for_status()
        except httpx.HTTPError as error:
            failure = jobs.failure(Status.CHUNKING, "chunking_unavailable", str(error))
            return self.report(job.id, Callback(callback_id, Status.CHUNKING, failure), None)
        chunks: list[dict[str, Any]] = answer.json()["chunks"]
        self._store.note_chunks(job.id, len(chunks))
        advanced = self.report(job.id, Callback(callback_id, Status.CHUNKING), None)
        if advanced is not None and advanced.outcome is Outcome.ADVANCED:
            payload = {
                "corpus_name": job.corpus_name,
                "source_url": document.source_url,
                "chunks": [chunk["text"] for chunk in chunks],
            }
            publish(self._broker, EMBED_TASK, job.id, payload)
        return advanced

    def _advanced(self, job: jobs.Job) -> None:
        if job.status not in FINAL:
            logs.get("orchestrator").info("job_advanced", status=job.status.value)
            return
        self._count(job, job.status.value)
        seconds = (job.updated_at - job.created_at).total_seconds()
        observe(
            self._service.metrics.job_seconds,
            seconds,
            status=job.status.value,
            traffic=job.mark.traffic,
        )
        if job.status is Status.DONE:
            logs.get("orchestrator").info("job_done", seconds=seconds)
            return
        error = job.error or {}
        logs.failure(
            self._service.settings,
            "job_failed",
            job_id=str(job.id),
            failed_stage=job.failed_stage,
            error_code=error.get("code"),
            error_message=error.get("message"),
        )

    def _count(self, job: jobs.Job, status: str) -> None:
        self._service.metrics.jobs.labels(status=status, traffic=job.mark.traffic).inc()


@contextmanager
def _as_marked(job: jobs.Job) -> Iterator[None]:
    """Go on under the job's own mark: a report may have lost it on its way."""
    token = context.attach(mark.in_context(job.mark))
    telemetry.mark_span(job.mark)
    try:
        yield
    finally:
        context.detach(token)
