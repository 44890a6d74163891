"""Asking again where that is safe: a GET changes nothing, so an answer that failed may be a blip.

Nothing else is ever repeated: a POST without an answer may have been taken.
"""

from __future__ import annotations

import email.utils

import tenacity

from validator.ports import Clock
from validator.submit.exchange import Call, Exchange, Reply, UnreachableError

_TRIES = 4
_FIRST_WAIT = 0.1
_LONGEST_WAIT = 2.0
_PASSING = frozenset({429, 502, 503, 504})
"""Statuses with which servers say that they are busy, or gateways that nobody is behind them."""


def patiently(exchange: Exchange, call: Call, clock: Clock) -> Reply:
    """Send a GET, and send it again while it fails in passing, all within its time-out.

    Returns the last answer, whatever it is; raises what `Exchange.send` raises.
    """
    if call.method != "GET":
        raise ValueError(f"{call.method} is not safe to repeat")
    deadline = clock.monotonic() + call.timeout

    def attempt() -> Reply:
        """Send the call with the time that is left."""
        left = max(deadline - clock.monotonic(), 0.001)
        return exchange.send(Call(call.what, call.method, call.url, call.headers, call.data, left))

    def wait(state: tenacity.RetryCallState) -> float:
        """Return how long to wait: as told, else longer each time."""
        told = _told(state, clock)
        return (
            min(_FIRST_WAIT * 2 ** (state.attempt_number - 1), _LONGEST_WAIT)
            if told is None
            else told
        )

    def stop(state: tenacity.RetryCallState) -> bool:
        """Whether there have been enough tries, or there is no time for another."""
        return (
            state.attempt_number >= _TRIES or clock.monotonic() + state.upcoming_sleep >= deadline
        )

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(UnreachableError)
        | tenacity.retry_if_result(lambda reply: reply.status in _PASSING),
        wait=wait,
        stop=stop,
        sleep=clock.sleep,
        retry_error_callback=_last,
    )
    return retrying(attempt)


def _last(state: tenacity.RetryCallState) -> Reply:
    """Return the last answer, or raise the last failure."""
    if state.outcome is None:  # pragma: no cover - tenacity calls this after an attempt
        raise RuntimeError("nothing was tried")
    reply: Reply = state.outcome.result()
    return reply


def _told(state: tenacity.RetryCallState, clock: Clock) -> float | None:
    """Return the seconds that the target asks to wait, None if it does not say."""
    if state.outcome is None or state.outcome.failed:
        return None
    value = state.outcome.result().headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    return max(0.0, moment.timestamp() - clock.now())
