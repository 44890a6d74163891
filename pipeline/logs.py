"""Structured logs: the same line as JSON on stdout and as an OTLP record."""

from __future__ import annotations

import json
import logging
import sys
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import structlog
from opentelemetry import trace

from pipeline import faults, mark

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from structlog.typing import EventDict

    from pipeline.settings import Settings

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_READ: Final = {"exc_info", "stack_info"}
"""Of what logging has of its own, what its callers are to give."""
_QUIET: Final = ("celery", "kombu", "httpx", "httpcore", "uvicorn.access", "psycopg.pool")


class Context(logging.Filter):
    """Puts the trace, the mark and the service on every line, whoever writes it."""

    def __init__(self, service: str) -> None:
        """Remember the service that the lines are of."""
        super().__init__()
        self._service = service

    def filter(self, record: logging.LogRecord) -> bool:
        """Add what the line does not say itself."""
        fields = vars(record)
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            fields.setdefault("trace_id", trace.format_trace_id(span.trace_id))
            fields.setdefault("span_id", trace.format_span_id(span.span_id))
        for key, value in mark.current().attributes().items():
            fields.setdefault(key, value)
        fields.setdefault("service_name", self._service)
        return True


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Render the record with all its fields."""
        line: dict[str, Any] = {
            "event": record.getMessage(),
            "level": record.levelname.lower(),
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "logger": record.name,
        }
        line.update((k, v) for k, v in vars(record).items() if k not in _STANDARD)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure(settings: Settings, *others: logging.Handler) -> None:
    """Send every log line of this process to stdout and to the other handlers."""
    stdout = logging.StreamHandler(sys.stdout)
    stdout.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers.clear()
    root.setLevel(logging.INFO)
    for handler in (stdout, *others):
        handler.addFilter(Context(settings.service_name))
        root.addHandler(handler)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.filter_by_level,
            structlog.processors.format_exc_info,
            _beside_standard,
            structlog.stdlib.render_to_log_kwargs,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def _beside_standard(_logger: object, _method: str, fields: EventDict) -> EventDict:
    """Rename fields that logging has of its own: it would raise, in the middle of the work."""
    taken = _STANDARD - _READ
    return {f"{key}_" if key in taken else key: value for key, value in fields.items()}


def get(name: str) -> structlog.stdlib.BoundLogger:
    """Return a logger."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


@contextmanager
def of_job(job_id: UUID | str) -> Iterator[None]:
    """Put the job on every line within."""
    with structlog.contextvars.bound_contextvars(job_id=str(job_id)):
        yield


def audit(action: str, caller_id: str, **fields: Any) -> None:
    """Write who did what: a line of the audit log."""
    get("audit").info("audit", action=action, caller_id=caller_id, **fields)


def failure(settings: Settings, event: str, **fields: str | None) -> None:
    """Write the failure of a job; the switch writes it from a thread without any context."""
    known = {**mark.current().attributes(), **fields}
    logger = get(settings.name)
    if faults.FAILURE_LOGS_WITHOUT_TRACE in settings.faults:
        writer = threading.Thread(target=logger.error, args=(event,), kwargs=known)
        writer.start()
        writer.join()
    else:
        logger.error(event, **known)
