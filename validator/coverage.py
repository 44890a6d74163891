"""When evidence is complete: "Rules of judging" (DESIGN.md) as a pure function of times.

The settle time runs from the last thing seen, and the job's end is a thing seen: what the end
itself causes (the last span, its export) is still on its way then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from validator.model import Coverage, CoverageState, Signal

_WORST_FIRST = (
    CoverageState.OPEN,
    CoverageState.UNREACHABLE,
    CoverageState.UNPROVEN,
    CoverageState.EXHAUSTED,
    CoverageState.SETTLED,
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is known of one source of one signal; times in Unix seconds, None for never.

    `full` is when the last answer that was whole had been asked for, `as_of` the moment that it
    speaks of: that of its question (None), or an earlier one (the last scrape). `error` is the
    last failure, empty if the last answer was good; `hopeless` says that asking again would not
    help. `partial` says why an answer was not whole, `lacked` that the last one had less than an
    earlier one: then what it has not need not be missing. `shown_by` is what showed that the source
    works. `baseline` says why what was read before the job cannot be trusted, empty if it can, or
    if nothing had to be read. `renewed` is when the question last changed, because another trace
    of the job was found.
    """

    name: str
    lag_budget: float
    full: float | None
    error: str
    hopeless: bool
    partial: str
    shown_by: str
    baseline: str
    as_of: float | None = None
    lacked: str = ""
    renewed: float = float("-inf")


@dataclass(frozen=True, slots=True)
class Moment:
    """Where the run stands: all that completeness depends on beside the sources.

    `ended` is when the job ended, None while it runs. `last_new` is when something new of the
    signal was last seen (the submission, if nothing was). `missing` tells that a check still
    misses something. `patience` is how many seconds beyond the lag budget a source may take to
    answer, or to show that it works.
    """

    now: float
    ended: float | None
    last_new: float
    settle: float
    missing: bool
    patience: float


def cover(signal: Signal, sources: Sequence[Asked], moment: Moment) -> Coverage:
    """Return how complete the evidence of `signal` is: as complete as its weakest source."""
    names = tuple(source.name for source in sources)
    if not sources:
        return Coverage(CoverageState.ABSENT, f"no source of {signal} is configured", ())
    if moment.ended is None:
        return Coverage(CoverageState.OPEN, "the job has not ended", names)
    each = [_cover_one(signal, source, moment, moment.ended) for source in sources]
    state, reason = min(each, key=lambda pair: _WORST_FIRST.index(pair[0]))
    return Coverage(state, reason, names)


def _cover_one(
    signal: Signal, source: Asked, moment: Moment, ended: float
) -> tuple[CoverageState, str]:
    deadline = ended + source.lag_budget
    quiet = max(moment.last_new, ended) + moment.settle
    shown = bool(source.shown_by)
    fresh = source.full if source.full is not None and not source.error else None
    as_of = fresh if fresh is None or source.as_of is None else source.as_of
    if source.baseline and fresh is not None and fresh >= min(quiet, deadline):
        return CoverageState.UNPROVEN, f"{source.name}: {source.baseline}"
    if shown and fresh is not None and as_of is not None:
        if not moment.missing and as_of >= quiet:
            return CoverageState.SETTLED, f"nothing new for {moment.settle:g} s"
        # What misses nothing waits for quiet, but not for ever: others may keep a series moving.
        late = max(deadline, ended + moment.settle)
        limit = deadline if moment.missing else late + moment.patience / 2
        scraped = source.as_of is None or as_of >= ended + moment.settle
        if fresh >= limit and scraped and not (moment.missing and source.lacked):
            waited = f"{fresh - ended:.1f} s after the job's end"
            return CoverageState.EXHAUSTED, f"{source.name} answered in full {waited}"
    if source.hopeless or moment.now >= patience_ends(source, moment, ended):
        return _given_up(signal, source, moment, ended)
    return CoverageState.OPEN, f"waiting for {signal} in {source.name}"


def _given_up(
    signal: Signal, source: Asked, moment: Moment, ended: float
) -> tuple[CoverageState, str]:
    if source.error:
        return CoverageState.UNREACHABLE, source.error
    if source.partial or source.lacked:
        return CoverageState.UNPROVEN, f"{source.name}: {source.partial or source.lacked}"
    if source.as_of is not None and source.as_of < ended + moment.settle:
        apart = f"{abs(source.as_of - ended):.1f} s {'before' if source.as_of < ended else 'after'}"
        reason = f"{source.name}: its last {signal} are from {apart} the job's end"
        return CoverageState.UNPROVEN, reason
    if source.full is not None and source.full >= ended + source.lag_budget:
        unknown = f"whether {signal} get there at all is not known"
        nothing = "answers, but shows nothing of this run and no control record"
        return CoverageState.UNPROVEN, f"{source.name} {nothing}: {unknown}"
    return CoverageState.UNREACHABLE, f"{source.name} gave no answer after the job's end"


def patience_ends(source: Asked, moment: Moment, ended: float) -> float:
    """Return when a source that has shown nothing is given up."""
    due = max(ended + source.lag_budget, ended + moment.settle)
    return max(due, source.renewed) + moment.patience


def next_moment(sources: Sequence[Asked], moment: Moment) -> list[float]:
    """Return the times after `now` at which the passing of time alone may change the coverage."""
    if moment.ended is None:
        return []
    times = [] if moment.missing else [max(moment.last_new, moment.ended) + moment.settle]
    for source in sources:
        deadline = moment.ended + source.lag_budget
        late = max(deadline, moment.ended + moment.settle)
        times += [deadline, late + moment.patience / 2, late + moment.patience]
    return sorted(time for time in times if time > moment.now)
