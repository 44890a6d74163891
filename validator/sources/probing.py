"""What an answer shows of the server that gave it, for `probe`."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import parsedate_to_datetime

from validator.ports import Probed
from validator.sources.http import Http, Reply

_HALF = 0.5
"""The `Date` header leaves out fractions of a second: on average half of one."""


def probed(http: Http, ask: Callable[[], Reply], *, version: str = "") -> Probed:
    """Ask, and return how long it took and how far the server's clock is ahead of ours."""
    clock = http.clock
    asked, before = clock.now(), clock.monotonic()
    reply = ask()
    latency = clock.monotonic() - before
    return Probed(version, latency, _offset(reply, asked + latency / 2))


def _offset(reply: Reply, ours: float) -> float | None:
    """Return the seconds by which the `Date` of an answer made at `ours` is ahead."""
    try:
        return parsedate_to_datetime(reply.headers["Date"]).timestamp() + _HALF - ours
    except (KeyError, ValueError):
        return None
