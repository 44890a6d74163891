"""Asking several sources at once without letting a slow one hold up the rest."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Protocol

from validator.errors import ValidatorError


@dataclass(frozen=True, slots=True)
class Done:
    """A finished call: its token, when it was started, and its value or its error.

    `asked` is Unix seconds. A wake-up has the token it was made with and no value.
    """

    token: Hashable
    asked: float
    value: Any
    error: ValidatorError | None


class Executor(Protocol):
    """Runs calls beside the loop, and lets it wait for the first that finishes."""

    def start(self, token: Hashable, call: Callable[[], Any]) -> None:
        """Run `call` elsewhere; its result comes out of `wait` under `token`."""
        ...

    def wake(self, token: Hashable) -> None:
        """Make `wait` return a valueless `Done` of `token`; from any thread, folded if repeated."""
        ...

    def wait(self, seconds: float) -> list[Done]:
        """Return what has finished, at once if something has, else after at most `seconds`."""
        ...

    def close(self) -> None:
        """Start nothing more; calls still running end by their own time-outs."""
        ...


class ThreadExecutor:
    """One daemon thread a call: calls are few, and each is bounded by its source's time-out.

    A failure that is not a `ValidatorError` is a bug of ours; it is raised in `wait`.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        """Take what tells the time."""
        self._now = now
        self._done: queue.SimpleQueue[Done | BaseException] = queue.SimpleQueue()
        self._woken: set[Hashable] = set()
        self._lock = threading.Lock()
        self._closed = False

    def start(self, token: Hashable, call: Callable[[], Any]) -> None:
        """Run `call` in a thread of its own."""
        if self._closed:
            return
        threading.Thread(target=self._run, args=(token, call), daemon=True).start()

    def _run(self, token: Hashable, call: Callable[[], Any]) -> None:
        asked = self._now()
        try:
            value = call()
        except ValidatorError as error:
            self._done.put(Done(token, asked, None, error))
        except BaseException as error:  # noqa: BLE001 - re-raised where the loop waits
            self._done.put(error)
        else:
            self._done.put(Done(token, asked, value, None))

    def wake(self, token: Hashable) -> None:
        """Put a wake-up into the queue unless one of this token waits there already."""
        with self._lock:
            if token in self._woken:
                return
            self._woken.add(token)
        self._done.put(Done(token, self._now(), None, None))

    def wait(self, seconds: float) -> list[Done]:
        """Block for the first result, then take what else is there."""
        found: list[Done] = []
        block = seconds > 0
        while True:
            try:
                item = self._done.get(block=block, timeout=seconds if block else None)
            except queue.Empty:
                break
            if isinstance(item, BaseException):
                raise item
            with self._lock:
                self._woken.discard(item.token)
            found.append(item)
            block = False
        return found

    def interrupt(self) -> None:
        """Make `wait` raise `KeyboardInterrupt`; from any thread."""
        self._done.put(KeyboardInterrupt())

    def close(self) -> None:
        """Start nothing more."""
        self._closed = True
