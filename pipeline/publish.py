"""The one way to publish a task; of a job's, it is the outbox's relay that goes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid5

from celery import signals

from pipeline import faults, mark, payloads
from pipeline.celery_app import QUEUES, SCRAPE_TASK

if TYPE_CHECKING:
    from celery import Celery

    from pipeline.settings import Settings

_LISTED: Final = """\
lang task id shadow eta expires group group_index retries timelimit root_id parent_id
argsrepr kwargsrepr origin ignore_result replaced_task_nesting stamped_headers stamps
mark_traffic mark_run_id"""
_KNOWN_HEADERS: Final = frozenset(_LISTED.split())


def publish(app: Celery, task: str, job_id: UUID, payload: dict[str, Any]) -> str:
    """Publish a task of a job and return the task's id.

    The id follows from the job's, so that a task published twice reports with the same callback
    ids. The mark goes along in headers of its own. A payload that its worker would refuse is not
    published: PayloadError.
    """
    kwargs = payloads.checked(task, {"job_id": str(job_id), **payload})
    task_id = task_id_of(job_id, task)
    app.tasks[task].apply_async(
        kwargs=kwargs,
        task_id=task_id,
        queue=QUEUES[task],
        headers=mark.current().task_headers(),
    )
    return task_id


def task_id_of(job_id: UUID, task: str) -> str:
    """Return the id of a job's task."""
    return str(uuid5(job_id, task))


def guard_headers(settings: Settings) -> None:
    """Let only listed headers through to the broker, where that switch is on.

    To be called once the instrumentation is in place: receivers run in order.
    """
    if faults.CONTEXT_LOST_IN_QUEUE in settings.faults:
        signals.before_task_publish.connect(_keep_known_headers, sender=SCRAPE_TASK, weak=False)


def _keep_known_headers(headers: dict[str, Any], **_rest: Any) -> None:
    for name in set(headers) - _KNOWN_HEADERS:
        del headers[name]
