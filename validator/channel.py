"""One source as the source of one signal, and what is known of it in one run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from validator.coverage import Asked
from validator.errors import SourceError
from validator.habit import Arrival, Habit
from validator.lag import LagHistogram
from validator.model import Signal
from validator.ports import (
    AlertSource,
    Answer,
    LogSource,
    MetricSource,
    Question,
    Searching,
    Source,
    TraceSource,
    Waking,
)


@dataclass(slots=True)
class Channel:
    """One source as the source of one signal, and all that is known of it in this run.

    Times are Unix seconds. `wanted` tells that a check reads the signal; one that none reads is
    asked only when the job has ended, for what it may prove. `next_at` is when it is due, None
    while it waits to be woken. `full` is when the last whole answer was asked for, `as_of` the
    earlier moment that it speaks of and `again` when there is more to see, where the source says
    so. `troubled` tells that the last question gave an error, or an answer that was not whole or
    had less than an earlier one. `asked_for` are the traces that the last question named. `lags`
    and `habit` outlive the run, `arrived` is when what is new of this one became readable (`newest`
    that of the last answer with anything new, `decisive` what decided a verdict while the job ran),
    `spent` how many requests all looks took, as far as can be told, `extra` counts the looks for
    stragglers, `lag` is the longest of this run; `looked` is when the last answer had been asked
    for, and `looked_for` the traces that it spoke of. `known` are the keys of everything that it
    has ever answered.
    """

    source: Source
    signal: Signal
    ask: Callable[[Question], Answer]
    wanted: bool = True
    in_flight: bool = False
    asked_for: frozenset[str] = frozenset()
    next_at: float | None = None
    last_asked: float = 0.0
    step: float = 0.0
    full: float | None = None
    as_of: float | None = None
    renewed: float = float("-inf")
    again: float | None = None
    error: SourceError | None = None
    partial: str = ""
    lacked: str = ""
    troubled: bool = False
    shown_by: str = ""
    baseline: str = ""
    pushed_before: set[tuple[str, str]] | None = None
    requests: int = 0
    answers: int = 0
    lags: LagHistogram = field(default_factory=LagHistogram)
    habit: Habit = field(default_factory=Habit)
    arrived: list[Arrival] = field(default_factory=list)
    newest: list[Arrival] = field(default_factory=list)
    decisive: list[Arrival] = field(default_factory=list)
    spent: int = 0
    extra: int = 0
    lag: float | None = None
    looked: float | None = None
    looked_for: frozenset[str] = frozenset()
    known: set[object] = field(default_factory=set)
    findings: dict[str, None] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    heard: set[str] = field(default_factory=set)

    @property
    def pushing(self) -> bool:
        """Whether the source tells of changes, so that it need not be polled."""
        return isinstance(self.source, Waking)

    @property
    def lag_budget(self) -> float:
        """Return the seconds after which what is missing is missing, as declared and measured.

        Where no trace of the job is known, or those that are rest on the index (then the answer
        speaks of an earlier moment), its traces can be found by search alone.
        """
        indexed = self.looked is not None and (not self.asked_for or self.as_of is not None)
        if isinstance(self.source, Searching) and (
            self.signal is Signal.SEARCH or (self.signal is Signal.TRACES and indexed)
        ):
            return self.source.search_lag_budget
        return self.lags.budget(self.source.lag_budget)

    @property
    def due(self) -> float | None:
        """Return when the source is to be asked next, None while it is being asked or waits."""
        return None if self.in_flight else self.next_at

    def asked(self) -> Asked:
        """Return what completeness depends on."""
        return Asked(
            name=self.source.name,
            lag_budget=self.lag_budget,
            full=self.full,
            error=str(self.error) if self.error else "",
            hopeless=self.error is not None and not self.error.retriable,
            partial=self.partial,
            lacked=self.lacked,
            shown_by=self.shown_by,
            baseline=self.baseline,
            as_of=self.as_of,
            renewed=self.renewed,
        )


def channels(
    sources: Sequence[Source], metrics: frozenset[str], wanted: frozenset[Signal]
) -> list[Channel]:
    """Return a channel for each signal that each source is read for; checks read the `wanted`.

    Metrics are read only if any are named. A source that metrics can be pushed to (the built-in
    collector) counts as their source only where nothing is scraped: a pipeline whose pages are
    read need not push them as well. An index is searched, and alerts are read, only where a check
    wants them.
    """
    scraped = any(isinstance(one, MetricSource) and not _pushed_to(one) for one in sources)
    found = []
    for source in sources:
        if isinstance(source, TraceSource):
            found.append(Channel(source, Signal.TRACES, source.traces))
        if isinstance(source, LogSource):
            found.append(Channel(source, Signal.LOGS, source.logs))
        if isinstance(source, MetricSource) and metrics and not (_pushed_to(source) and scraped):
            found.append(Channel(source, Signal.METRICS, _samples(source, metrics)))
        if isinstance(source, Searching) and Signal.SEARCH in wanted:
            found.append(Channel(source, Signal.SEARCH, source.search))
        if isinstance(source, AlertSource) and Signal.ALERTS in wanted:
            found.append(Channel(source, Signal.ALERTS, _alerts(source)))
    for channel in found:
        channel.wanted = channel.signal in wanted
    return found


def _pushed_to(source: Source) -> bool:
    """Whether metrics come to a source by themselves: it takes in traces as well."""
    return isinstance(source, TraceSource)


def _alerts(source: AlertSource) -> Callable[[Question], Answer]:
    return lambda _question: source.alerts()


def _samples(source: MetricSource, metrics: frozenset[str]) -> Callable[[Question], Answer]:
    return lambda _question: source.samples(metrics)
