"""The mark of synthetic traffic: whose it is, how it travels, and where it is believed.

It travels as W3C baggage over HTTP and Celery, and as task headers of its own, because where
hops are links a task does not get its publisher's baggage.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_plus

from opentelemetry import baggage, context

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.context import Context

TRAFFIC: Final = "traffic"
RUN_ID: Final = "obs_validator.run_id"
SYNTHETIC: Final = "synthetic"
USER: Final = "user"
TASK_TRAFFIC: Final = "mark_traffic"
TASK_RUN_ID: Final = "mark_run_id"
RUN_ID_PATTERN: Final = r"^[A-Za-z0-9_.-]{1,64}$"
_RUN_ID = re.compile(RUN_ID_PATTERN)


@dataclass(frozen=True, slots=True)
class Mark:
    """Whether traffic is synthetic, and of which run."""

    traffic: str = USER
    run_id: str | None = None

    @classmethod
    def checked(cls, traffic: object, run_id: object) -> Mark:
        """Return the mark that the two values make, or that of a user where they make none."""
        if traffic != SYNTHETIC:
            return cls()
        if isinstance(run_id, str) and _RUN_ID.fullmatch(run_id):
            return cls(SYNTHETIC, run_id)
        return cls(SYNTHETIC)

    def attributes(self) -> dict[str, str]:
        """Return the mark as attributes of a span or a log line."""
        found = {TRAFFIC: self.traffic}
        if self.run_id is not None:
            found[RUN_ID] = self.run_id
        return found

    def task_headers(self) -> dict[str, str]:
        """Return the mark as the headers of a task."""
        found = {TASK_TRAFFIC: self.traffic}
        if self.run_id is not None:
            found[TASK_RUN_ID] = self.run_id
        return found


def current(where: Context | None = None) -> Mark:
    """Return the mark of a context, by default of the one that is active."""
    return Mark.checked(baggage.get_baggage(TRAFFIC, where), baggage.get_baggage(RUN_ID, where))


def in_context(mark: Mark, where: Context | None = None) -> Context:
    """Return a context that carries the mark."""
    found = context.get_current() if where is None else where
    if mark.traffic == SYNTHETIC:
        found = baggage.set_baggage(TRAFFIC, SYNTHETIC, found)
        if mark.run_id is not None:
            found = baggage.set_baggage(RUN_ID, mark.run_id, found)
    return found


def of_task(request: Any) -> Mark:
    """Return the mark in the headers of a task that is being run."""
    return Mark.checked(getattr(request, TASK_TRAFFIC, None), getattr(request, TASK_RUN_ID, None))


def of_message(headers: Mapping[str, Any]) -> Mark:
    """Return the mark in the headers of a task that still waits in its queue."""
    return Mark.checked(headers.get(TASK_TRAFFIC), headers.get(TASK_RUN_ID))


def has_mark(header: str) -> bool:
    """Tell whether a baggage header claims anything about the traffic."""
    return any(_key(entry) in {TRAFFIC, RUN_ID} for entry in header.split(","))


def without_mark(header: str) -> str:
    """Return a baggage header without the entries of the mark."""
    kept = (entry for entry in header.split(",") if _key(entry) not in {TRAFFIC, RUN_ID})
    return ",".join(kept).strip()


def _key(entry: str) -> str:
    # Read as the propagator reads it, or an encoded name would slip through.
    return unquote_plus(entry.split("=", 1)[0]).strip()
