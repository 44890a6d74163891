"""Actors that take turns as a schedule says: every order of their steps can be tried."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, count

Choose = Callable[[Sequence[str]], str]
"""Says which of the actors makes the next step."""


def in_order(numbers: Sequence[int]) -> Choose:
    """Choose by the numbers, then one after the other."""
    left = chain(numbers, count())
    return lambda alive: alive[next(left) % len(alive)]


def held_up(actor: str, steps: int, others: Sequence[str]) -> Choose:
    """Hold an actor up after so many steps, until the others have done all, in their order."""
    made = count()

    def choose(alive: Sequence[str]) -> str:
        if actor in alive and next(made) < steps:
            return actor
        return next((one for one in others if one in alive), alive[0])

    return choose


def in_this_order(steps: Iterable[str]) -> Choose:
    """Choose the actors by their names, leaving out who is done; then the first that is not."""
    left = iter(steps)
    return lambda alive: next((one for one in left if one in alive), alive[0])


class Turns:
    """Lets one actor at a time go on, until it is about to make its next step."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._changed = threading.Condition()
        self._waiting: set[str] = set()
        self._may: str | None = None
        self._alive: set[str] = set()
        self._errors: list[BaseException] = []

    def step(self, actor: str) -> Callable[[str], None]:
        """Return what an actor calls before each of its steps."""

        def wait(_what: str) -> None:
            with self._changed:
                self._waiting.add(actor)
                self._changed.notify_all()
                assert self._changed.wait_for(lambda: self._may == actor, 20)
                self._waiting.discard(actor)
                self._may = None

        return wait

    def run(self, actors: dict[str, Callable[[], None]], choose: Choose) -> None:
        """Let the actors do what they do; of those not done yet, the chosen one makes a step."""
        self._alive = set(actors)
        threads = [
            threading.Thread(target=self._act, args=(name, work), daemon=True)
            for name, work in actors.items()
        ]
        for thread in threads:
            thread.start()
        while True:
            with self._changed:
                assert self._changed.wait_for(self._all_wait, 20)
                if not self._alive:
                    break
                self._may = choose(sorted(self._alive))
                self._changed.notify_all()
        for thread in threads:
            thread.join(20)
        if self._errors:
            raise self._errors[0]

    def _all_wait(self) -> bool:
        return self._may is None and self._waiting == self._alive

    def _act(self, name: str, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - it is raised where the actors were started
            self._errors.append(error)
        finally:
            with self._changed:
                self._alive.discard(name)
                self._changed.notify_all()
