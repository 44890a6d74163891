"""Something that is done again and again, in a thread of its own."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from opentelemetry.instrumentation.utils import suppress_instrumentation

from pipeline import logs

if TYPE_CHECKING:
    from collections.abc import Callable


class Periodic:
    """Calls a function every so many seconds until it is stopped; what it raises is logged."""

    def __init__(self, name: str, seconds: float, what: Callable[[], object]) -> None:
        """Begin after the first pause."""
        self._name = name
        self._seconds = seconds
        self._what = what
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End, once what is being done is done or has had its time."""
        self._stopped.set()
        self._thread.join(2)

    def _run(self) -> None:
        while not self._stopped.wait(self._seconds):
            try:
                with suppress_instrumentation():
                    self._what()
            except Exception as error:  # noqa: BLE001 - the next time may be better
                logs.get(self._name).warning("periodic_failed", error_message=repr(error)[:500])
