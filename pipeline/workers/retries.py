"""Running a task once more: later each time, with its mark, and never lost on the way."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Final

from celery.exceptions import Reject

from pipeline import mark

if TYPE_CHECKING:
    from pipeline.settings import Settings

MAX_RETRIES: Final = 5
"""How often a task that fails is run again (P-08); waiting for the orchestrator does not count."""
_WAITED: Final = "retry_waited"
_LONGEST: Final = 10.0


def left(task: Any) -> bool:
    """Tell whether a task that has failed may be run again."""
    return failures(task) < MAX_RETRIES


def failures(task: Any) -> int:
    """Return how often the task has failed; a wait for the orchestrator is no failure."""
    retried: int = task.request.retries
    return retried - _waited(task)


def again(task: Any, settings: Settings, error: Exception) -> Exception:
    """Return what to raise so that a task that has failed is run again."""
    return _put_back(task, error, _wait(settings, failures(task)), _waited(task))


def wait_for_orchestrator(task: Any, settings: Settings, error: Exception) -> Exception:
    """Return what to raise so that the task is run again, for as long as its report is not taken.

    A report that is given up would leave its job where it is for ever.
    """
    waited = _waited(task)
    return _put_back(task, error, _wait(settings, waited), waited + 1)


def _put_back(task: Any, error: Exception, seconds: float, waited: int) -> Exception:
    headers = {**mark.of_task(task.request).task_headers(), _WAITED: waited}
    found: Exception
    try:
        found = task.retry(exc=error, throw=False, countdown=seconds, headers=headers)
    except Reject as lost:
        # Celery drops a task whose retry the broker refuses; the broker is to keep it instead.
        found = Reject(lost.reason, requeue=True)
    return found


def _waited(task: Any) -> int:
    return int(getattr(task.request, _WAITED, 0) or 0)


def _wait(settings: Settings, times: int) -> float:
    """Return the seconds to wait: exponential, with the jitter that AWS calls equal.

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    most = min(_LONGEST, settings.number("PIPELINE_RETRY_SECONDS", 0.1) * 2**times)
    return random.uniform(most / 2, most)  # noqa: S311 - no secret
