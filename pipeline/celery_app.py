"""The Celery application: names of tasks and queues, and the settings of the broker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from celery import Celery

if TYPE_CHECKING:
    from pipeline.settings import Settings

SCRAPE_TASK: Final = "scraper.scrape_task"
EMBED_TASK: Final = "embedding.embed_task"
QUEUES: Final = {SCRAPE_TASK: "scrape", EMBED_TASK: "embed"}


def make(settings: Settings) -> Celery:
    """Return the application, connected to the broker and without a result store."""
    app = Celery("pipeline", broker=settings.need("PIPELINE_BROKER_URL"))
    app.conf.update(
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_concurrency=int(settings.number("PIPELINE_WORKER_CONCURRENCY", 1)),
        broker_connection_retry_on_startup=True,
        task_default_queue="dead",
    )
    return app


def declare_tasks(app: Celery) -> None:
    """Register the tasks' names in a process that only sends them.

    Unregistered, the instrumentation would end the producer's span before the broker is called.
    """
    for name in QUEUES:
        app.task(name=name)(_sent_only)


def _sent_only(**_payload: Any) -> None:
    raise NotImplementedError("this process sends the task and does not run it")
