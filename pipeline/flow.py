"""How a job goes on: what the orchestrator does when a stage has succeeded or failed.

What has to happen outside of the database is written to the outbox; `relay.py` sees to it.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from opentelemetry import context

from pipeline import jobs, logs, mark, outbox, telemetry
from pipeline.metrics import observe
from pipeline.states import FINAL, Callback, Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from psycopg import Connection

    from pipeline.metrics import Metrics
    from pipeline.settings import Settings


class Flow:
    """Moves jobs from stage to stage."""

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        store: jobs.JobStore,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        """Work on the store, count in the metrics, and wake who acts on the outbox."""
        self._settings = settings
        self._metrics = metrics
        self._store = store
        self._wake = wake

    def begin(self, job: jobs.Job) -> None:
        """Tell of a new job; that it is to be scraped was written with it."""
        self._wake()
        with logs.of_job(job.id):
            self._count(job, "submitted")
            logs.get("orchestrator").info("job_submitted", url=job.url)

    def report(
        self, job_id: UUID, callback: Callback, document: jobs.Document | None
    ) -> jobs.Advanced | None:
        """Apply a report; a document that comes with it is to be chunked from then on."""
        if document is not None:
            document = replace(document, carrier=outbox.carrier())
        found = self._applied(
            job_id, callback, lambda: self._store.advance(job_id, callback, document)
        )
        self.tell(found)
        return found

    def advance(
        self, connection: Connection[Any], job_id: UUID, callback: Callback
    ) -> jobs.Advanced | None:
        """Apply a callback in the connection's transaction; `tell` of it once it is committed."""
        return self._applied(job_id, callback, lambda: jobs.advanced(connection, job_id, callback))

    def tell(self, found: jobs.Advanced | None) -> None:
        """Count and log what a callback did, under the job's own mark; wake who goes on with it."""
        if found is None or found.outcome is not Outcome.ADVANCED:
            return
        job = found.job
        with _as_marked(job):
            if job.status not in FINAL:
                self._wake()
                logs.get("orchestrator").info("job_advanced", status=job.status.value)
                return
            self._count(job, job.status.value)
            seconds = (job.updated_at - job.created_at).total_seconds()
            labels = {"status": job.status.value, "traffic": job.mark.traffic}
            observe(self._metrics.job_seconds, seconds, **labels)
            if job.status is Status.DONE:
                logs.get("orchestrator").info("job_done", seconds=seconds)
            else:
                self._tell_failure(job)

    def _applied(
        self, job_id: UUID, callback: Callback, apply: Callable[[], jobs.Advanced | None]
    ) -> jobs.Advanced | None:
        with telemetry.job_span("job.advance", str(job_id), job__stage=callback.stage.value) as own:
            found = apply()
            if found is not None:
                own.set_attribute("job.status", found.job.status.value)
                own.set_attribute("callback.outcome", found.outcome.value)
        return found

    def _tell_failure(self, job: jobs.Job) -> None:
        error = job.error or {}
        logs.failure(
            self._settings,
            "job_failed",
            job_id=str(job.id),
            failed_stage=job.failed_stage,
            error_code=error.get("code"),
            error_message=error.get("message"),
        )

    def _count(self, job: jobs.Job, status: str) -> None:
        self._metrics.jobs.labels(status=status, traffic=job.mark.traffic).inc()


@contextmanager
def _as_marked(job: jobs.Job) -> Iterator[None]:
    """Go on under the job's own mark: a report may have lost it on its way."""
    token = context.attach(mark.in_context(job.mark))
    telemetry.mark_span(job.mark)
    try:
        yield
    finally:
        context.detach(token)
