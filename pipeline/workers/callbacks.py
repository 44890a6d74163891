"""Telling of a stage: to the job's orchestrator, or to whoever enqueued the task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import httpx
from redis.exceptions import RedisError

from pipeline import logs, mark
from pipeline.enqueued import Register

if TYPE_CHECKING:
    from pipeline.mark import Mark
    from pipeline.payloads import Sink
    from pipeline.settings import Settings
    from pipeline.workers.base import Child


class OrchestratorUnavailableError(Exception):
    """The orchestrator could not take a report; it has to be made again."""


class ReportRefusedError(OrchestratorUnavailableError):
    """It could be asked, and does not take the report: it may never do so."""


class CacheUnavailableError(OrchestratorUnavailableError):
    """The cache, which takes its place for a task that was enqueued, cannot be reached."""


class JobGoneError(Exception):
    """The job is not there any more: it was cleaned up."""


class Reports(Protocol):
    """Takes reports of one task."""

    def report(self, step: str, stage: str, status: str, **content: Any) -> str:
        """Report a step, and return the status of the job.

        The same step of a task that is run again changes nothing.
        """


class Reporter:
    """Reports the stages of one task of one job to the orchestrator."""

    def __init__(self, client: httpx.Client, settings: Settings, job_id: str, task_id: str) -> None:
        """Report with callback ids that follow from the task's id."""
        self._client = client
        self._url = f"{settings.url('orchestrator')}/jobs/{job_id}/complete"
        self._task_id = task_id

    def report(self, step: str, stage: str, status: str, **content: Any) -> str:
        """Report a step; the same step of a task that is run again has the same id."""
        body = {"callback_id": f"{self._task_id}:{step}", "stage": stage, "status": status}
        try:
            answer = self._client.post(self._url, json={**body, **content})
        except httpx.HTTPError as error:
            raise OrchestratorUnavailableError(str(error)) from error
        if answer.status_code == 404:
            raise JobGoneError(self._url)
        if answer.status_code in {409, 500}:
            raise ReportRefusedError(f"it answered {answer.status_code}: {answer.text[:200]}")
        if answer.status_code >= 500 or answer.status_code == 429:
            raise OrchestratorUnavailableError(f"it answered {answer.status_code}")
        answer.raise_for_status()
        return str(answer.json()["job_status"])


class Keeper:
    """Keeps what became of a task that was enqueued, for whoever did so."""

    def __init__(self, register: Register, job_id: str, own: Mark) -> None:
        """Keep it in the register; one of a synthetic run that is not there was cleaned up."""
        self._register = register
        self._job_id = job_id
        self._mark = own

    def report(self, step: str, stage: str, status: str, **content: Any) -> str:
        """Keep the end; at the beginning look whether there is one already."""
        try:
            if step == "final":
                return self._end("done" if status == "success" else "failed", stage, content)
            found = self._register.get(self._job_id)
        except RedisError as error:
            raise CacheUnavailableError(str(error)) from error
        self._expect(known=found is not None)
        return found.status if found else ""

    def _end(self, ended: str, stage: str, content: dict[str, Any]) -> str:
        known = self._register.end(self._job_id, ended, {"stage": stage, **content})
        self._expect(known=known)
        logs.get("worker").info("enqueued_ended", status=ended, known=known)
        return ended

    def _expect(self, *, known: bool) -> None:
        if not known and self._mark.run_id:
            raise JobGoneError(self._job_id)


def reports(child: Child, sink: Sink, job_id: str, task_id: str) -> Reports:
    """Return who is told of a task."""
    if sink == "cache":
        register = Register(child.cache, child.settings.service_name)
        return Keeper(register, job_id, mark.current())
    return Reporter(child.internal, child.settings, job_id, task_id)
