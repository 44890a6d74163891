"""Running a task once more: later each time, with its mark, and never lost on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from celery.exceptions import Reject

from pipeline import celery_app, logs, mark
from pipeline.backoff import jittered
from pipeline.dead_letters import DeadLetterError, Reason
from pipeline.workers.callbacks import ReportRefusedError

if TYPE_CHECKING:
    from pipeline.settings import Settings

MAX_RETRIES: Final = 5
"""How often a task that fails is run again (P-08); waiting for the orchestrator does not count."""
MAX_REFUSALS: Final = 10
"""How often a report is made that the orchestrator refuses."""
_WAITED: Final = "retry_waited"
_REFUSED: Final = "retry_refused"
_LONGEST: Final = 10.0


def left(task: Any) -> bool:
    """Tell whether a task that has failed may be run again."""
    return failures(task) < MAX_RETRIES


def failures(task: Any) -> int:
    """Return how often the task has failed; a wait for the orchestrator is no failure."""
    retried: int = task.request.retries
    return retried - _waited(task)


def again(task: Any, settings: Settings, error: Exception, least: float = 0.0) -> Exception:
    """Return what to raise so that a task that has failed is run again.

    `least` are the seconds before which that is of no use: attempts are few.
    """
    seconds = max(_wait(settings, failures(task)), min(least, _longest(settings)))
    return _put_back(task, error, seconds, {_WAITED: _waited(task)})


def wait_for_orchestrator(task: Any, settings: Settings, error: Exception) -> Exception:
    """Return what to raise so that the task is run again, for as long as its report is not taken.

    A report that is given up would leave its job where it is for ever. One that is refused again
    and again makes the message a dead letter, so that somebody looks.
    """
    waited, refused = _waited(task), _refused(task)
    logs.get("worker").warning("report_retried", waited=waited, error_message=str(error)[:500])
    if isinstance(error, ReportRefusedError):
        refused += 1
        if refused > MAX_REFUSALS:
            return DeadLetterError(Reason.REFUSED, f"refused {refused} times: {error}")
    return _put_back(task, error, _wait(settings, waited), {_WAITED: waited + 1, _REFUSED: refused})


def _put_back(task: Any, error: Exception, seconds: float, counts: dict[str, int]) -> Exception:
    headers = {**mark.of_task(task.request).task_headers(), **counts}
    found: Exception
    try:
        found = task.retry(exc=error, throw=False, countdown=seconds, headers=headers)
    except Reject as lost:
        # Celery drops a task whose retry the broker refuses; instead it stays in hand until the
        # visibility timeout is over (`consumer.py`).
        found = Reject(lost.reason, requeue=True)
    return found


def _waited(task: Any) -> int:
    return int(getattr(task.request, _WAITED, 0) or 0)


def _refused(task: Any) -> int:
    return int(getattr(task.request, _REFUSED, 0) or 0)


def _wait(settings: Settings, times: int) -> float:
    base = settings.number("PIPELINE_RETRY_SECONDS", 0.1)
    return jittered(times, base, _longest(settings))


def _longest(settings: Settings) -> float:
    """Return the longest wait: well below that after which another worker takes the task."""
    return min(_LONGEST, celery_app.visibility_seconds(settings) / 4)
