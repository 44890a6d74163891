"""A circuit breaker: what fails again and again is left alone for a while, then tried once.

Of one process: each that calls has its own. Why none of PyPI's: docs/decisions/0009.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from pipeline import logs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline.metrics import Metrics
    from pipeline.settings import Settings


class State(StrEnum):
    """Whether calls go through: all, none, or one to try."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


NUMBERS: Final = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}
"""The states as the metric `circuit_breaker_state` shows them."""


class OpenError(Exception):
    """The call was not made."""

    def __init__(self, name: str, seconds: float) -> None:
        """Tell whose breaker is open, and in how many seconds a call may be tried."""
        super().__init__(f"{name} has failed again and again: tried anew in {seconds:.0f} s")
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Limits:
    """How many failures in a row open it, and for how many seconds (000 §6, Membership down)."""

    failures: int = 5
    open_seconds: float = 30.0

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """Return the limits for other people's systems: PIPELINE_BREAKER_SECONDS, or thirty."""
        return cls(open_seconds=settings.number("PIPELINE_BREAKER_SECONDS", 30.0))


class Breaker:
    """Counts failures in a row of one dependency. Threads may share it; calls run side by side."""

    def __init__(
        self,
        name: str,
        limits: Limits | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        changed: Callable[[State, State], None] = lambda _before, _after: None,
    ) -> None:
        """Begin closed; `changed` is told of each change, under the lock: it must not call back."""
        self.name = name
        self._limits = limits or Limits()
        self._clock = clock
        self._changed = changed
        self._lock = threading.Lock()
        self._state = State.CLOSED
        self._failures = 0
        self._opened_at = 0.0
        # Calls of an earlier age say nothing of this one: they began before the last change.
        self._age = 0

    @property
    def state(self) -> State:
        """The state that the last call or its end has left."""
        return self._state

    @contextmanager
    def call(self, failure: type[Exception] | tuple[type[Exception], ...]) -> Iterator[None]:
        """Let the block run and note whether it failed, or raise OpenError.

        Only `failure` counts as one; any other exception is an answer of a dependency that is well.
        """
        age = self._enter()
        try:
            yield
        except failure:
            self._end(age, failed=True)
            raise
        except Exception:
            self._end(age, failed=False)
            raise
        except BaseException:  # interrupted: neither well nor unwell, so let another one try
            self._end(age, failed=self._state is State.HALF_OPEN)
            raise
        else:
            self._end(age, failed=False)

    def _enter(self) -> int:
        with self._lock:
            if self._state is State.CLOSED:
                return self._age
            left = self._opened_at + self._limits.open_seconds - self._clock()
            if self._state is State.HALF_OPEN or left > 0:
                raise OpenError(self.name, max(0.0, left))
            self._become(State.HALF_OPEN)
            return self._age

    def _end(self, age: int, *, failed: bool) -> None:
        with self._lock:
            if age != self._age:
                return
            if not failed:
                self._failures = 0
                if self._state is State.HALF_OPEN:
                    self._become(State.CLOSED)
                return
            self._failures += 1
            if self._state is State.HALF_OPEN or self._failures >= self._limits.failures:
                self._opened_at = self._clock()
                self._become(State.OPEN)

    def _become(self, state: State) -> None:
        before, self._state = self._state, state
        self._age += 1
        self._failures = 0
        self._changed(before, state)


def watched(name: str, metrics: Metrics, limits: Limits | None = None) -> Breaker:
    """Return a breaker whose changes are logged, and whose state is a metric."""
    gauge = metrics.breaker_state.labels(breaker=name)
    gauge.set(NUMBERS[State.CLOSED])

    def changed(before: State, after: State) -> None:
        gauge.set(NUMBERS[after])
        write = logs.get("breaker").error if after is State.OPEN else logs.get("breaker").warning
        said = {"breaker": name, "from_state": before.value, "to_state": after.value}
        write("circuit_breaker_state_change", **said)

    return Breaker(name, limits, changed=changed)
