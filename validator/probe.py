"""Asks one source whether it can be relied on: is it there, how fresh is it, what time has it.

What is found is a `SourceState`. A problem of it is what would make verdicts inconclusive or wrong;
each says what to do.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from validator.config_sources import SourceSettings
from validator.errors import SourceError, SourceFailure
from validator.model import Signal
from validator.ports import (
    Answer,
    Clock,
    LogSource,
    MetricSource,
    Plantable,
    Probed,
    Probing,
    Question,
    Source,
    TraceSource,
)

CLOCK_BOUND: Final = 2.0
"""Seconds that a backend's clock may differ beyond what its `Date` can tell: windows of time are
padded by less, and NTP keeps clocks together to milliseconds."""

_MORE: Final = 2.0
"""Seconds beyond the lag budget that a control record is waited for, to tell slow from lost."""
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0
_AROUND: Final = 60.0
"""Seconds before and after now in which a control record is looked for."""

_OF_EVERY_TARGET: Final = frozenset({"up"})
"""What Prometheus writes of each target at each scrape; `target_info` is what comes by OTLP."""
_LIVE: Final = frozenset({"scrape"})
"""Types whose samples are of the moment in which they are read."""

_ADVICE: Final[Mapping[SourceFailure, str]] = {
    SourceFailure.CONNECT: "look at `url`, `tls` and `proxy`, and whether it runs",
    SourceFailure.REFUSED: "look at `auth`, `headers`, `tenant` and the path of `url`",
    SourceFailure.THROTTLED: "lower `rate_limit`, or have its limits raised",
    SourceFailure.TOO_SLOW: "look at its load and the network, or raise `timeout`",
    SourceFailure.SERVER_ERROR: "look at its log and health",
    SourceFailure.NONSENSE: "look whether `url` is that of the API, and what stands before it",
    SourceFailure.TOO_LARGE: "raise `max_answer`, or ask for less",
    SourceFailure.PARTIAL: "look at its log, and at proxies that end long answers",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong: a stable word for machines, what was seen, and what to do."""

    code: str
    seen: str
    advice: str


@dataclass(frozen=True, slots=True)
class SourceState:
    """What one source showed.

    `lag` is the measured ingest lag in seconds by signal; where it is empty, `lag_note` says why.
    `latency` and `clock_offset` in seconds; None where they are not known.
    """

    name: str
    type: str
    lag_budget: float
    asked: bool
    version: str
    latency: float | None
    clock_offset: float | None
    lag: Mapping[str, float]
    lag_note: str
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]


@dataclass(slots=True)
class Probe:
    """Looks at one source; `ended` tells whether the command has been interrupted."""

    source: Source
    settings: SourceSettings
    clock: Clock
    ended: Callable[[], bool] = lambda: False
    _problems: list[Problem] = field(default_factory=list)
    _notes: list[str] = field(default_factory=list)
    _lag: dict[str, float] = field(default_factory=dict)

    def look(self) -> SourceState:
        """Ask; never raises `SourceError`."""
        probed: Probed | None = None
        note, asked = "", False
        try:
            if isinstance(self.source, Probing):
                probed = self.source.probe()
                asked = True
                self._clock_of(probed)
                self._notes += probed.notes
            note = self._freshness(probed)
            asked = True
        except SourceError as error:
            self._failed(error)
        return SourceState(
            name=self.source.name,
            type=str(getattr(self.settings, "type", self.source.kind)),
            lag_budget=self.source.lag_budget,
            asked=asked,
            version=probed.version if probed else "",
            latency=probed.latency if probed else None,
            clock_offset=probed.clock_offset if probed else None,
            lag=self._lag,
            lag_note=note,
            problems=tuple(self._problems),
            notes=tuple(self._notes),
        )

    def _failed(self, error: SourceError) -> None:
        """Take note of a question that failed; of a control endpoint's, whose it is."""
        whose = "" if error.source == self.source.name else f"{error.source}: "
        advice = _ADVICE[error.failure]
        self._problems.append(Problem(error.failure.value, f"{whose}{error.detail}", advice))

    def _clock_of(self, probed: Probed) -> None:
        """Compare the clocks, as far as the header's whole seconds and the way there allow."""
        offset = probed.clock_offset
        if offset is None or not self._is_off(probed):
            return
        way = "ahead of" if offset > 0 else "behind"
        self._problems.append(
            Problem(
                "clock off",
                f"its clock is {abs(offset):.0f} s {way} this machine's",
                "set both clocks by NTP: windows of time miss what happened, lags are measured"
                " wrong, and what is fresh is taken for old",
            )
        )

    @staticmethod
    def _is_off(probed: Probed) -> bool:
        """Whether the clocks differ by more than the bound, whatever the header leaves open."""
        open_ = 0.5 + probed.latency / 2
        return probed.clock_offset is not None and abs(probed.clock_offset) > CLOCK_BOUND + open_

    # -- how fresh it is --------------------------------------------------------------------

    def _freshness(self, probed: Probed | None) -> str:
        """Measure the ingest lag; return why it could not be, if so."""
        if isinstance(self.source, TraceSource | LogSource):
            if not self._has_a_way_in():
                return "not measured: declare `control`"
            return self._by_control_record()
        if isinstance(self.source, MetricSource):
            return self._by_newest(self.source, probed)
        return "not measured: alerts are what they are now"

    def _has_a_way_in(self) -> bool:
        """Whether a control record would be sent; a collector of ours needs no declaration."""
        if not isinstance(self.source, Plantable):
            return False
        return getattr(self.settings, "control", True) is not None

    def _by_control_record(self) -> str:
        """Plant a control record, and ask for it until it is visible or time is over."""
        trace_id = secrets.token_hex(16)
        began = self.clock.monotonic()
        if isinstance(self.source, Plantable):
            self.source.plant(trace_id)
        now = self.clock.now()
        question = Question(
            job_id="",
            job_id_keys=(),
            trace_ids=frozenset({trace_id}),
            since=now - _AROUND,
            until=now + _AROUND,
            control=trace_id,
        )
        asks = self._asks()
        missed = self._until_visible(asks, question, began)
        for signal in asks:
            self._invisible(signal, self.clock.monotonic() - began)
        if not asks and missed >= began + self.source.lag_budget:
            self._slower(max(self._lag.values()))
        return "" if self._lag else "not measured: the control record did not become visible"

    def _asks(self) -> dict[Signal, Callable[[Question], Answer]]:
        """Return how each signal is asked for."""
        asks: dict[Signal, Callable[[Question], Answer]] = {}
        if isinstance(self.source, TraceSource):
            asks[Signal.TRACES] = self.source.traces
        if isinstance(self.source, LogSource):
            asks[Signal.LOGS] = self.source.logs
        return asks

    def _until_visible(
        self,
        asks: dict[Signal, Callable[[Question], Answer]],
        question: Question,
        began: float,
    ) -> float:
        """Ask until each signal shows the control record; leave those in `asks` that do not.

        Returns when the last question was that did not show it, by the monotonic clock.
        """
        due = began + self.source.lag_budget
        pause, missed = _FIRST_PAUSE, began
        while not self.ended():
            asked = self.clock.monotonic()
            for signal, ask in tuple(asks.items()):
                if _shows(ask(question), question.control):
                    self._lag[signal.value] = self.clock.monotonic() - began
                    del asks[signal]
            now = self.clock.monotonic()
            missed = asked if asks else missed
            if not asks or now + pause > due + _MORE:
                break
            self.clock.sleep(min(pause, due - now) if now < due else pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)
        return missed

    def _invisible(self, signal: Signal, waited: float) -> None:
        """Say that a control record cannot be read, and where it may have gone."""
        reads = getattr(self.settings, "tenant", None)
        writes = getattr(getattr(self.settings, "control", None), "tenant", None)
        if reads != writes and hasattr(self.settings, "control"):
            advice = (
                f"it is written for {_tenant(writes)} (`control`) and read for {_tenant(reads)}:"
                " make both the same tenant"
            )
        else:
            advice = (
                f"look whether {_tenant(reads)} is right, and whether what is sent to"
                " the control endpoint gets to this backend"
            )
        seen = f"a control record in {signal.value} was taken, and not visible after {waited:.1f} s"
        self._problems.append(Problem("control record not visible", seen, advice))

    def _by_newest(self, source: MetricSource, probed: Probed | None) -> str:
        """Take the age of the newest sample; pages that are read as they are have none."""
        answer = source.samples(_OF_EVERY_TARGET)
        times = [sample.time for sample in answer.samples if sample.time is not None]
        newest = max(times, default=answer.as_of)
        if getattr(self.settings, "type", "") in _LIVE:
            return "none: read as it is"
        if newest is None:
            tenant = _tenant(getattr(self.settings, "tenant", None))
            self._problems.append(
                Problem(
                    "nothing there",
                    "it holds neither `up` nor `target_info`: what is not there cannot be judged",
                    f"look whether {tenant} is right, and whether anything is scraped",
                )
            )
            return "not measured: it holds nothing"
        if probed is not None and self._is_off(probed):
            return "not measured: its clock is off"
        lag = self._lag[Signal.METRICS.value] = max(0.0, self.clock.now() - newest)
        if lag > self.source.lag_budget:
            self._slower(lag)
        return ""

    def _slower(self, lag: float) -> None:
        """Say that a source is slower than declared: what is late would be told as lost."""
        seen = (
            f"what happens is visible after {lag:.1f} s, later than its `lag_budget` of"
            f" {self.source.lag_budget:g} s"
        )
        advice = "find out why, or declare a longer `lag_budget`"
        self._problems.append(Problem("slower than declared", seen, advice))


def _shows(answer: Answer, trace_id: str) -> bool:
    """Whether an answer shows the control record."""
    found = {span.trace_id for span in answer.spans} | {line.trace_id for line in answer.logs}
    return answer.control_seen or trace_id in found


def _tenant(name: str | None) -> str:
    """Return a tenant as people read it."""
    return f"the tenant `{name}`" if name else "no tenant"
