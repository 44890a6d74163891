"""The lease of a target: validators take turns, so that none counts another's jobs for its own.

A lease is held by a process, for as many runs as it has under way. It surely lasts until its
time after the last request that was granted was *sent*: the store begins to count no earlier.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from validator.config_targets import LeaseSettings, Request, TargetSettings
from validator.errors import SubmitError
from validator.ports import Mark
from validator.submit.exchange import Reply
from validator.submit.sender import Means, Sender, search
from validator.templates import context, settled

_FAILURES = 3
"""How often in a row the lease's own server may fail before it is not asked for the lease again."""
_LONGEST_PAUSE = 1.0
_LEAST = 0.05
"""Seconds: with less than this left no renewal can be answered, and its time-out says nothing."""


class NotOurTurnError(SubmitError):
    """The lease was not to be had, so that no job may be sent."""


class StoppedError(Exception):
    """Somebody asked to stop while it was waited for."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """How to wait: `pause` returns after so many seconds, or True at once when all is to stop.

    `tell` is told what is waited for.
    """

    pause: Callable[[float], bool]
    tell: Callable[[str], None]

    def sleep(self, seconds: float) -> None:
        """Wait; raises `StoppedError` when all is to stop."""
        if self.pause(seconds):
            raise StoppedError


@dataclass(slots=True, eq=False)
class Tenure:
    """One time of having the lease, without a gap.

    `until` is the monotonic time to which it surely lasts; `lost` says how it ended too early,
    empty while it has not. `users` are called when it is lost.
    """

    mark: Mark
    until: float
    lost: str = ""
    trouble: str = ""
    users: list[Callable[[], None]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)


class Lease:
    """Takes, keeps and gives back the lease of one target; any thread may ask."""

    def __init__(self, name: str, target: TargetSettings, means: Means, holder: str) -> None:
        """Ask as `holder`, a name that no other process has."""
        if target.lease is None:
            raise ValueError(f"target {name} has no lease")
        self._settings: LeaseSettings = target.lease
        self._name = name
        self._at = f"targets.{name}.lease"
        self._clock = means.clock
        self._sender = Sender(target, means)
        self._holder = holder
        self._entering = threading.Lock()
        self._asking = threading.Lock()
        self._tenure: Tenure | None = None

    def take(self, mark: Mark, lost: Callable[[], None], waiting: Waiting) -> Tenure:
        """Return when this process has the lease; `lost` is called when it loses it.

        Raises `NotOurTurnError` when it was not to be had, `StoppedError` when all is to stop.
        """
        with self._entering:
            tenure = self._tenure
            if tenure is None or tenure.lost:
                tenure = self._tenure = self._acquired(mark, waiting)
                keeper = threading.Thread(target=self._keep, args=(tenure,), daemon=True)
                keeper.start()
            tenure.users.append(lost)
            return tenure

    def leave(self, tenure: Tenure, lost: Callable[[], None], within: float = math.inf) -> str:
        """Give the lease back when nobody of this process needs it; return what went wrong.

        That takes at most `within` seconds, and no longer than the request's `timeout`.
        Afterwards `tenure.lost` says whether it was held all the time: that is asked once more.
        """
        if tenure.lost:
            return ""
        with self._entering:
            tenure.users.remove(lost)
            if tenure.users:
                self._renew(tenure)
                return ""
            tenure.over.set()
            self._tenure = None
            return self._release(tenure, within)

    # -- requests ---------------------------------------------------------------------------

    def _acquired(self, mark: Mark, waiting: Waiting) -> Tenure:
        began, told, failures = self._clock.monotonic(), "", 0
        while True:
            asked = self._clock.monotonic()
            try:
                reply = self._ask("acquire", self._settings.acquire, mark)
            except SubmitError as error:
                failures += 1
                if failures >= _FAILURES:
                    said = f"the lease of `{self._name}` could not be had: {error}"
                    raise NotOurTurnError(said) from error
            else:
                if reply is None:
                    return Tenure(mark, asked + self._settings.ttl)
                failures, holder = 0, self._who(reply)
                if holder != told:
                    waiting.tell(f"for the lease of `{self._name}`, which {holder} has")
                    told = holder
            waited = self._clock.monotonic() - began
            if waited + self._settings.every > self._settings.wait:
                who = told or "nobody that it told of"
                text = f"{who} has the lease of `{self._name}`, after {waited:.0f} s of waiting"
                raise NotOurTurnError(text)
            waiting.sleep(self._settings.every)

    def _keep(self, tenure: Tenure) -> None:
        """Renew the lease until it is given back or lost."""
        ttl = self._settings.ttl
        while not tenure.over.wait(min(_LONGEST_PAUSE, ttl / 10) if tenure.trouble else ttl / 3):
            self._renew(tenure)
            if tenure.lost:
                for user in tuple(tenure.users):
                    user()
                return

    def _renew(self, tenure: Tenure) -> None:
        with self._asking:
            left = tenure.until - self._clock.monotonic()
            if tenure.over.is_set() or tenure.lost:
                return
            if left <= _LEAST:
                tenure.lost = self._ran_out(tenure)
                return
            request = self._settings.renew or self._settings.acquire
            what = "renew" if self._settings.renew else "acquire"
            within = request.model_copy(update={"timeout": min(request.timeout, left)})
            asked = self._clock.monotonic()
            try:
                reply = self._ask(what, within, tenure.mark)
            except SubmitError as error:
                tenure.trouble = str(error)
                return
            if reply is not None:
                tenure.lost = f"{self._who(reply)} has the lease of `{self._name}` in mid-run"
            elif self._clock.monotonic() > tenure.until:
                tenure.lost = self._ran_out(tenure)
            else:
                tenure.until, tenure.trouble = asked + self._settings.ttl, ""

    def _release(self, tenure: Tenure, within: float) -> str:
        request = self._settings.release
        request = request.model_copy(update={"timeout": min(request.timeout, within)})
        with _held(self._asking, within):
            if self._clock.monotonic() > tenure.until:
                tenure.lost = self._ran_out(tenure)
            try:
                reply = self._ask("release", request, tenure.mark)
            except SubmitError as error:
                left = f"it runs out by itself within {self._settings.ttl:g} s"
                return f"the lease could not be given back ({left}): {error}"
            if reply is not None and not tenure.lost:
                tenure.lost = f"the lease of `{self._name}` was not ours any more at the end"
            return ""

    def _ask(self, what: str, request: Request, mark: Mark) -> Reply | None:
        """Make a request: None if it is granted, the answer if somebody else has the lease."""
        ttl = self._settings.ttl
        whole = int(ttl) if ttl.is_integer() else ttl
        lease = {"lease.holder": self._holder, "lease.ttl": whole}
        names = context({**settled(mark.context), **lease})
        at = f"{self._at}.{what}"
        reply = self._sender.exchange.send(
            self._sender.call(request, at, names, mark, traced=False)
        )
        if reply.status in self._settings.taken:
            return reply
        self._sender.accept(reply, request, at)
        return None

    def _who(self, reply: Reply) -> str:
        """Return who has the lease, as far as the answer says."""
        path = self._settings.holder
        try:
            value = search(path, self._sender.exchange.json(reply)) if path else None
        except SubmitError:
            value = None
        return str(value)[:100] if value else "another validator"

    def _ran_out(self, tenure: Tenure) -> str:
        why = f": {tenure.trouble}" if tenure.trouble else ""
        return f"the lease of `{self._name}` ran out in mid-run{why}"


@contextlib.contextmanager
def _held(lock: threading.Lock, within: float) -> Iterator[None]:
    """Have the lock, or go on without it after `within` seconds: a renewal hangs."""
    has = lock.acquire(timeout=min(within, threading.TIMEOUT_MAX))
    try:
        yield
    finally:
        if has:
            lock.release()
