"""A Celery worker: its parent takes tasks, its children run them and report telemetry."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from celery import signals
from opentelemetry import context
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.propagate import extract
from prometheus_client import start_http_server

from pipeline import celery_app, clients, faults, logs, mark, metrics, redis_policy, telemetry

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx
    from celery import Celery
    from opentelemetry.sdk._logs import LoggerProvider
    from redis import Redis

    from pipeline.dead_letters import Letter
    from pipeline.settings import Settings

_PR_SET_PDEATHSIG: Final = 1
_LOOK_SECONDS: Final = 0.5


@dataclass(slots=True)
class Child:
    """What a child works with; its parent never fills this in."""

    settings: Settings
    metrics: metrics.Metrics
    internal: httpx.Client
    cache: Redis


@dataclass(slots=True)
class Holder:
    """Where the tasks of a child find what it works with, once it has been forked."""

    child: Child | None = None
    providers: telemetry.Providers | None = None
    tokens: dict[str, Any] = field(default_factory=dict)

    def get(self) -> Child:
        """Return what this child works with."""
        if self.child is None:
            raise RuntimeError("the worker's child has not been set up")
        return self.child


def run(settings: Settings, register: Callable[[Celery, Holder, Settings], str]) -> int:
    """Run a worker until it is told to stop; return its exit code."""
    directory = Path(settings.need("PROMETHEUS_MULTIPROC_DIR"))
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    metrics.share_between_processes()
    logs.configure(settings)
    app = celery_app.make(settings)
    for variable in ("PIPELINE_BROKER_URL", "PIPELINE_CACHE_URL"):
        redis_policy.require(settings, variable)
    app.conf.worker_consumer = "pipeline.workers.consumer:Consumer"
    app.Task.Request = "pipeline.workers.consumer:Request"
    app.conf.broker_transport_options["on_buried"] = _counted(metrics.build(settings))
    holder = Holder()
    queue = register(app, holder, settings)
    _connect(settings, holder)
    _serve_metrics(settings)
    loggers: list[LoggerProvider] = []
    _export_parents_logs(settings, loggers)
    worker = app.Worker(
        hostname=f"{settings.name}@%h",
        queues=[queue],
        pool="prefork",
        loglevel="WARNING",
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    worker.start()
    for logger in loggers:
        logger.shutdown()
    return int(worker.exitcode or 0)


def _counted(measured: metrics.Metrics) -> Callable[[Letter], None]:
    """Return what is called with each new dead letter."""

    def count(letter: Letter) -> None:
        traffic = mark.Mark.checked(letter.traffic, None).traffic
        reason = letter.reason.value
        measured.dead_letters.labels(queue=letter.queue, reason=reason, traffic=traffic).inc()
        token = context.attach(extract(letter.carrier()))
        try:
            logs.get("worker").error(
                "dead_letter",
                queue=letter.queue,
                reason=reason,
                detail=letter.detail,
                task_id=letter.task_id,
                job_id=letter.job_id,
                failed_stage=letter.stage,
                error_code=reason,
                error_message=letter.detail,
                traffic=traffic,
            )
        finally:
            context.detach(token)

    return count


def _connect(settings: Settings, holder: Holder) -> None:
    signals.setup_logging.connect(_keep_logging, weak=False)
    signals.worker_process_init.connect(_die_with_parent, weak=False)
    signals.worker_ready.connect(_look_after_children, weak=False)
    _connect_exporters(settings, holder)

    def init(**_: Any) -> None:
        signals.task_prerun.connect(remember, weak=False)
        telemetry.instrument_clients(settings)
        # Receivers run in order: the mark is put on before the instrumentation's context, and
        # taken off after it.
        signals.task_postrun.connect(forget, weak=False)
        try:
            holder.child = _child(settings)
        except Exception:  # noqa: BLE001 - Celery would log it and give this child tasks all the same
            logs.get("worker").exception("child_not_set_up")
            os._exit(1)

    def remember(task_id: str, task: Any, **_: Any) -> None:
        marked = mark.of_task(task.request)
        holder.tokens[task_id] = context.attach(mark.in_context(marked))

    def forget(task_id: str, **_: Any) -> None:
        token = holder.tokens.pop(task_id, None)
        if token is not None:
            context.detach(token)

    signals.worker_process_init.connect(init, weak=False)


def _child(settings: Settings) -> Child:
    return Child(
        settings,
        metrics.build(settings),
        clients.internal(settings),
        clients.cache(settings, checked=True),
    )


def _connect_exporters(settings: Settings, holder: Holder) -> None:
    """Have each child set its exporters up; a weak reference would be gone when we return."""

    def set_up(**_: Any) -> None:
        holder.providers = telemetry.set_up(settings)
        logs.configure(settings, holder.providers.handler())

    def shutdown(exitcode: int = 0, **_: Any) -> None:
        if holder.providers is not None:
            holder.providers.shutdown()
        # All that would follow is a second of sleep, which billiard takes for its pipe's sake.
        os._exit(exitcode or 0)

    weak = faults.WORKER_EXPORTER_NOT_SET_UP in settings.faults
    signals.worker_process_init.connect(set_up, weak=weak)
    signals.worker_process_shutdown.connect(shutdown, weak=False)


def _serve_metrics(settings: Settings) -> None:
    def serve(**_: Any) -> None:
        start_http_server(
            int(settings.need("PIPELINE_METRICS_PORT")),
            addr=settings.env.get("PIPELINE_LISTEN") or "127.0.0.1",
            registry=metrics.of_all_processes(),
        )

    signals.worker_ready.connect(serve, weak=False)


def _export_parents_logs(settings: Settings, loggers: list[LoggerProvider]) -> None:
    """Have the parent export its lines too, once its first children are there."""

    def set_up(**_: Any) -> None:
        logger = telemetry.parents_logger(settings)
        if logger is not None:
            loggers.append(logger)
            logs.configure(settings, LoggingHandler(logger_provider=logger))

    signals.worker_ready.connect(set_up, weak=False)


def _look_after_children(sender: Any, **_: Any) -> None:
    """Notice at once that a child was killed; Celery looks every five seconds."""
    sender.hub.call_repeatedly(_LOOK_SECONDS, sender.pool.maintain_pool)


def _keep_logging(**_: Any) -> None:
    """Keep Celery from configuring the logs: somebody listening is all that it asks for."""


def _die_with_parent(**_: Any) -> None:
    """Have the kernel end this child when its parent is killed."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1:
        os._exit(1)
