"""Reporting a stage to the orchestrator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from pipeline.settings import Settings


class OrchestratorUnavailableError(Exception):
    """The orchestrator could not take a report; it has to be made again."""


class JobGoneError(Exception):
    """The job is not there any more: it was cleaned up."""


class Reporter:
    """Reports the stages of one task of one job."""

    def __init__(self, client: httpx.Client, settings: Settings, job_id: str, task_id: str) -> None:
        """Report with callback ids that follow from the task's id."""
        self._client = client
        self._url = f"{settings.url('orchestrator')}/jobs/{job_id}/complete"
        self._task_id = task_id

    def report(self, step: str, stage: str, status: str, **content: Any) -> None:
        """Report a step; the same step of a task that is run again has the same id."""
        body = {"callback_id": f"{self._task_id}:{step}", "stage": stage, "status": status}
        try:
            answer = self._client.post(self._url, json={**body, **content})
        except httpx.HTTPError as error:
            raise OrchestratorUnavailableError(str(error)) from error
        if answer.status_code == 404:
            raise JobGoneError(self._url)
        if answer.status_code >= 500 or answer.status_code == 409:
            raise OrchestratorUnavailableError(f"it answered {answer.status_code}")
        answer.raise_for_status()
