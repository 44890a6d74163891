"""How soon to ask a source again: fast when something is due, never so fast that it hurts."""

import math

LEAST = 0.05
"""Seconds between two questions to a source, whatever it says is worth asking."""

STRAGGLER = 0.05
"""Seconds after the last of the usual looks until the first one for what is later than usual."""

STRAGGLERS = 4
"""So many such looks, each that much further from the last: they cover half a second."""

MOST = 10
"""So many requests of a run to one source for one signal are enough, unless time wants another."""

FIRST = 4
"""So many answers there are after a long job, however many requests it took while it ran."""

RUNNING_MOST = 10.0
"""Seconds after which a source is asked again while a job runs, if it is not before."""

_RUNNING_FIRST = 1.0
_ENDED_FIRST = 0.1
_ENDED_MOST = 1.0
_FAILED_FIRST = 0.25
_FAILED_MOST = 2.0


def next_step(previous: float, *, ended: bool, failed: bool, lag_budget: float = 0.0) -> float:
    """Return the seconds until the next question, given those before the last one.

    While the job runs little can be decided: from 1 s, half as long again each time, to 10 s.
    After its end: from 0.1 s, doubling to 1 s, or to a twelfth of a longer lag budget: what takes
    a minute to show need not be known to the second. After a failure: from 0.25 s, doubling to 2 s.
    """
    if failed:
        return min(max(previous * 2, _FAILED_FIRST), _FAILED_MOST)
    if not ended:
        return min(max(previous * 1.5, _RUNNING_FIRST), RUNNING_MOST)
    return min(max(previous * 2, _ENDED_FIRST), max(_ENDED_MOST, lag_budget / 12))


def scrape_after(moment: float, *, as_of: float, again: float) -> float:
    """Return when the first scrape at or after `moment` can be read.

    `as_of` is the last scrape known, `again` when the next one can be read; others follow at the
    same distance.
    """
    period = max(again - as_of, LEAST)
    return again + period * max(0, math.ceil((moment - again) / period))


def wake_gap(*, ended: bool) -> float:
    """Return the least seconds between two questions to a source that tells of its changes.

    Exporters flush in bursts of some tens of milliseconds; asking between two spans of one burst
    costs a judgement and decides nothing.
    """
    return 0.02 if ended else 0.05
