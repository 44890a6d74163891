"""The Celery application: names of tasks and queues, and the settings of the broker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from celery import Celery

if TYPE_CHECKING:
    from pipeline.settings import Settings

SCRAPE_TASK: Final = "scraper.scrape_task"
EMBED_TASK: Final = "embedding.embed_task"
QUEUES: Final = {SCRAPE_TASK: "scrape", EMBED_TASK: "embed"}
NOWHERE: Final = "dead"
"""Where a task goes that is sent to no queue; nobody takes it from there."""
VISIBILITY_SECONDS: Final = 120.0
_LEAST_VISIBILITY: Final = 3.0
_LOST_SECONDS: Final = 0.5
_LOOK_SECONDS: Final = 1
_MUTEX_SECONDS: Final = 10


def make(settings: Settings) -> Celery:
    """Return the application, connected to the broker and without a result store."""
    app = Celery("pipeline", broker=settings.need("PIPELINE_BROKER_URL"))
    visibility = visibility_seconds(settings)
    app.conf.update(
        task_ignore_result=True,
        task_acks_late=True,
        task_acks_on_failure_or_timeout=False,
        task_reject_on_worker_lost=True,
        # A task that takes longer than others wait for it would be run twice, and again.
        task_time_limit=visibility * 0.8,
        task_soft_time_limit=visibility * 0.6,
        task_publish_retry_policy={"max_retries": 1, "interval_start": 0, "interval_max": 0.2},
        worker_lost_wait=_LOST_SECONDS,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_enable_remote_control=False,
        worker_concurrency=int(settings.number("PIPELINE_WORKER_CONCURRENCY", 1)),
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport="pipeline.transport:Transport",
        broker_transport_options=_transport_options(visibility),
        task_default_queue=NOWHERE,
    )
    return app


def visibility_seconds(settings: Settings) -> float:
    """Return how long a task may be in a worker's hand before another one takes it."""
    found = settings.number("PIPELINE_VISIBILITY_SECONDS", VISIBILITY_SECONDS)
    if found < _LEAST_VISIBILITY:
        least = f"{_LEAST_VISIBILITY:g}"
        raise LookupError(f"PIPELINE_VISIBILITY_SECONDS is {found:g}: it is at least {least}")
    return found


def _transport_options(visibility: float) -> dict[str, Any]:
    return {
        "visibility_timeout": visibility,
        # Kombu's defaults look every hundred seconds whether somebody was lost with his task.
        "unacked_restore_interval": _LOOK_SECONDS,
        "unacked_restore_throttle": 1,
        # Who is killed while he looks leaves the lock: kombu's default keeps all others from
        # looking for five minutes. Two who look at once do no harm.
        "unacked_mutex_expire": _MUTEX_SECONDS,
        "priority_steps": [0],
        # Nothing waits for a server that hangs; kombu's own looks once more where it does not say.
        "socket_timeout": 5,
        "socket_connect_timeout": 2,
        "socket_keepalive": True,
        "health_check_interval": 10,
        "max_retries": 1,
        "interval_start": 0,
        "interval_max": 0.2,
    }


def declare_tasks(app: Celery) -> None:
    """Register the tasks' names in a process that only sends them.

    Unregistered, the instrumentation would end the producer's span before the broker is called.
    """
    for name in QUEUES:
        app.task(name=name, shared=False)(_sent_only)


def _sent_only(**_payload: Any) -> None:
    raise RuntimeError("this process sends the task and does not run it")
