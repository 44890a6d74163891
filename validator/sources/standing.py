"""How the targets stand that a question is about, and so what moment its answer speaks of."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from validator.sources.scrapes import Key, Scene, Target

_MOST_TOLD = 5

_LEAST, _MOST = 0.5, 15.0
"""Seconds until a target is looked at again whose interval is not known."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The targets by how they stand; times are the server's.

    `live` are scraped as they should be; `late` ones should have been again, and are still
    targets; `down` ones cannot be scraped; `gone` ones are no targets any more; `lost` are those
    of them that had been live in an earlier answer, `back` were gone and are live again.
    """

    live: tuple[Target, ...]
    late: tuple[Target, ...]
    down: tuple[Target, ...]
    gone: tuple[Target, ...]
    lost: tuple[Target, ...]
    back: tuple[Target, ...]

    def every(self) -> tuple[Target, ...]:
        """Return all of them; those that are lost or back are among the others."""
        return (*self.live, *self.late, *self.down, *self.gone)

    def as_of(self, slowest: float | None) -> float | None:
        """Return the oldest last scrape; targets slower than `slowest` seconds are left out."""
        times = [
            target.last
            for target in (*self.live, *self.late)
            if slowest is None or (target.interval or 0.0) <= slowest
        ]
        return min(times, default=None)

    def again(self, now: float) -> float | None:
        """Return when each will have been scraped once more, and that can be read."""
        return max((_due(t, now) for t in (*self.live, *self.late, *self.down)), default=None)

    def findings(self, now: float) -> list[str]:
        """Say what is wrong with targets."""
        told = [
            *(f"{t.words()} {down_since(t, now)}" for t in self.down),
            *(f"{t.words()} was scraped {now - t.last:.0f} s ago, and is late" for t in self.late),
            *(f"{t.words()} is no target any more since {now - t.last:.0f} s" for t in self.gone),
            *(f"{t.words()} was no target for a while: what it counted then is not known"
              for t in self.back),
        ]  # fmt: skip
        more = len(told) - _MOST_TOLD
        return [*told[:_MOST_TOLD], *([f"… and {more} targets more"] if more > 0 else [])]


def _due(target: Target, now: float) -> float:
    """Return when the next scrape can be read.

    Of a target that was scraped once the interval is not known, but it is no less than has passed.
    """
    interval = target.interval
    if interval is None:
        return now + min(max(now - target.last, _LEAST), _MOST)
    return max(target.last + interval + target.duration + 0.02, now + 0.1 * interval)


def down_since(target: Target, now: float) -> str:
    """Say for how long a target has been down."""
    since = target.last if target.down_since is None else target.down_since
    return f"is down (for {'' if target.was_up else 'at least '}{now - since:.0f} s)"


@dataclass(slots=True)
class Memory:
    """What earlier answers showed of targets; `keep` is for how many seconds what is gone matters.

    Any thread may use it.
    """

    keep: float
    _live: dict[Key, Target] = field(default_factory=dict)
    _gone: dict[Key, float] = field(default_factory=dict)
    _jobs: dict[str, frozenset[str]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def jobs(self, family: str, seen: Iterable[str] = ()) -> frozenset[str]:
        """Return the jobs that have or had a family, with those `seen` to have it now."""
        with self._lock:
            known = self._jobs.get(family, frozenset()) | frozenset(seen)
            if known:
                self._jobs[family] = known
            return known

    def was_live(self, target: Target) -> bool:
        """Whether an earlier answer showed the target to be scraped."""
        with self._lock:
            return target.key in self._live

    def standing(
        self,
        scene: Scene,
        jobs: frozenset[str],
        now: float,
        present: Callable[[list[Target]], frozenset[Key]],
    ) -> Standing:
        """Return how the targets of `jobs` (of all, if there are none) stand at `now`.

        `present` tells which of the targets that look late or gone are still targets.
        """
        with self._lock:
            past = {key: target for key, target in self._live.items() if key not in scene.targets}
        every = [t for t in (*scene.targets.values(), *past.values()) if not jobs or t.job in jobs]
        down = [t for t in every if t.key not in past and t.down_since is not None]
        overdue = [t for t in every if t not in down and (t.key in past or t.overdue(now))]
        live = [t for t in every if t not in down and t not in overdue]
        with self._lock:
            unknown = [t for t in overdue if not t.pushes and not self._known_gone(t)]
        still = present(unknown) if unknown else frozenset()
        late = [t for t in overdue if t.key in still]
        return self._noted(now, live, late, down, [t for t in overdue if t.key not in still])

    def _known_gone(self, target: Target) -> bool:
        return self._gone.get(target.key, float("-inf")) >= target.last

    def _noted(
        self,
        now: float,
        live: list[Target],
        late: list[Target],
        down: list[Target],
        gone: list[Target],
    ) -> Standing:
        """Keep in mind who is there and who is not."""
        with self._lock:
            back = [t for t in live if now - self._gone.get(t.key, float("-inf")) <= self.keep]
            self._live.update({target.key: target for target in live})
            self._gone.update({target.key: now for target in gone})
            self._live = {k: t for k, t in self._live.items() if now - t.last <= self.keep}
            self._gone = {k: at for k, at in self._gone.items() if now - at <= self.keep}
            lost = [target for target in gone if target.key in self._live]
        return Standing(*map(tuple, (live, late, down, gone, lost, back)))
