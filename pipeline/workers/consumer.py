"""Celery's consumer, but for what it would throw away: that becomes a dead letter.

Rejecting a message without requeueing it makes it one (`transport.py`); here it is said why.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from billiard.einfo import ExceptionWithTraceback
from celery.exceptions import Reject, TimeLimitExceeded
from celery.worker import consumer, request
from kombu.exceptions import ContentDisallowed

from pipeline.dead_letters import DeadLetterError, Reason
from pipeline.transport import Fate

if TYPE_CHECKING:
    from collections.abc import Callable

_LOGGER = logging.getLogger("worker")


class Consumer(consumer.Consumer):  # type: ignore[misc]
    """Takes messages, and says of those that it cannot use what is wrong with them."""

    def create_task_handler(self, *args: Any, **named: Any) -> Callable[[Any], Any]:
        """Return what is called with each message; no message may end it."""
        handle = super().create_task_handler(*args, **named)

        def handle_any(message: Any) -> Any:
            try:
                return handle(message)
            except KeyError as error:  # kombu takes it for a lost connection
                return self.on_invalid_task(None, message, error)
            except self.connection_errors:
                raise
            except Exception as error:  # noqa: BLE001 - Celery checks little of a message
                return self.on_invalid_task(None, message, error)

        return handle_any

    def on_unknown_message(self, body: Any, message: Any) -> None:
        """Make it a dead letter: it is no task."""
        self._bury(message, Fate(Reason.UNKNOWN_MESSAGE, f"the message is no task: {body!r}"))

    def on_unknown_task(self, body: Any, message: Any, exc: Any) -> None:
        """Make it a dead letter: no such task is run here."""
        self._bury(message, Fate(Reason.UNKNOWN_TASK, f"no task is called {exc}: {body!r}"))

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Make it a dead letter: its headers, or what it is encoded in, are not a task's."""
        refused = isinstance(exc, ContentDisallowed)
        reason = Reason.CONTENT_TYPE if refused else Reason.INVALID
        self._bury(message, Fate(reason, f"{exc!r}: {body!r}"))

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Make it a dead letter: its body cannot be read."""
        self._bury(message, Fate(Reason.UNPARSABLE, repr(exc)))

    def _bury(self, message: Any, fate: Fate) -> None:
        message.fate = fate
        message.reject_log_error(_LOGGER, self.connection_errors)


class Request(request.Request):  # type: ignore[misc]
    """One task that is run; how it ends decides on its message."""

    def on_failure(
        self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False
    ) -> None:
        """Say what is to become of the message of a task that raised."""
        error = exc_info.exception
        if isinstance(error, ExceptionWithTraceback):
            error = error.exc
        if isinstance(error, TimeLimitExceeded):  # it would again
            self._message.fate = Fate(Reason.TIME_LIMIT, f"not done within {error.args[0]:.1f} s")
            self.reject(requeue=False)
        elif isinstance(error, DeadLetterError):
            self._message.fate = Fate(error.reason, error.detail)
        elif isinstance(error, Reject):
            # Its retry was refused by the broker; run again at once, it would meet the same.
            self._message.fate = Fate(later=True)
        else:
            said = f"{error!r}\n{str(exc_info.traceback)[-1500:]}"
            self._message.fate = Fate(Reason.EXCEPTION, said, lost=True)
        super().on_failure(exc_info, send_failed_event, return_ok)
