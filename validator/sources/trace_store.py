"""What sources of traces have in common that are asked by trace id, and whose index is apart.

Such a store cannot be asked for all of a job at once: each trace is a request. So the question's
traces are asked for by id, and the index, which may be half a minute behind, only where no trace
is known; then the answer speaks of an earlier moment, and says so.

Links point backwards, from consumer to producer. Where a span links to a trace that is not among
those asked for, and to none that is, that trace is read too: it is taken if one of its spans
names the job.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from threading import Lock

from validator.model import Span, TraceRef
from validator.ports import Answer, Probed, Question
from validator.sources.api import Api
from validator.sources.base import SourceBase
from validator.sources.control import Control
from validator.sources.http import Http
from validator.sources.otlp_spans import Decoded
from validator.traces import names_job

PROBE = "0b5e0b5e" * 4
"""A trace that nobody has."""
MOST_TRACES = 32
"""So many traces are read for one question; more is told."""
_TRIES = 3
"""So often a trace that is linked to is looked at for the job's id: its spans may come late."""
_LONGEST = 167 * 3600
"""Seconds that a search goes back at most; Tempo allows 168 hours by default."""
_LONG_SINCE = 60.0
"""Seconds; see `_as_of`."""
_AHEAD = 3600.0
"""Seconds after now at which a search ends at the latest."""
_REMEMBERED = 256
"""Of so many jobs and control records it is known what was seen."""


@dataclass(frozen=True, slots=True)
class Hits:
    """The traces that the index has, whether they are all, and what is to be told."""

    trace_ids: tuple[str, ...] = ()
    full: bool = True
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lags:
    """The declared times in seconds after which all that has happened is there.

    `by_id` is that of traces read by their ids, `search` that of the index.
    """

    by_id: float
    search: float


@dataclass(slots=True)
class _Known:
    """What earlier answers showed of one job.

    `searched` are the traces that only the index gave, `tried` how often a trace was read because
    it is linked to, and was not the job's.
    """

    searched: set[str] = field(default_factory=set)
    tried: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Reading:
    """What one answer is put together from; `until` is when it has to be there."""

    until: float
    spans: list[Span] = field(default_factory=list)
    refs: list[TraceRef] = field(default_factory=list)
    full: bool = True
    findings: dict[str, None] = field(default_factory=dict)
    reads: int = 0

    def add(self, read: Decoded | Hits) -> None:
        """Take what was said of an answer."""
        self.full = self.full and (read.whole if isinstance(read, Decoded) else read.full)
        self.findings.update(dict.fromkeys(read.findings))


class TraceStore(SourceBase, ABC):
    """A source that is asked for traces by their ids."""

    product: str
    """What it is a source of, for messages."""

    def __init__(
        self, name: str, url: str, http: Http, lags: Lags, control: Control | None = None
    ) -> None:
        """Read the server at `url` through `http`; control records go in through `control`."""
        super().__init__(name, http, lags.by_id)
        self._api = Api(http, url.rstrip("/"), self.product)
        self._search_lag_budget = lags.search
        self._control = control
        self._lock = Lock()
        self._jobs: OrderedDict[str, _Known] = OrderedDict()
        self._seen: OrderedDict[tuple[str, str], None] = OrderedDict()

    @property
    def search_lag_budget(self) -> float:
        """Return the declared time in seconds after which a search finds what has happened."""
        return self._search_lag_budget

    def close(self) -> None:
        """End what is being asked and let go of the connections."""
        super().close()
        if self._control is not None:
            self._control.http.close()

    def plant(self, trace_id: str) -> None:
        """Send a span of trace `trace_id` the way that is declared, if one is."""
        if self._control is not None:
            self._control.plant(trace_id)

    def traces(self, question: Question) -> Answer:
        """Return the spans of the job's traces, each trace whole."""
        known = self._known(question.job_id)
        reading = self._reading()
        indexed = self._ask_index(question, known, reading)
        ids = sorted(question.trace_ids | indexed)
        for trace_id in ids[:MOST_TRACES]:
            reading.spans += self._read(trace_id, reading)
        if len(ids) > MOST_TRACES:
            reading.full = False
            reading.findings[
                f"the job has {len(ids)} traces: only {MOST_TRACES} of them were read"
            ] = None
        self._follow_links(question, known, reading)
        rests_on_index = not question.trace_ids - known.searched
        return Answer(
            spans=tuple(reading.spans),
            traces=tuple(reading.refs),
            full=reading.full,
            control_seen=self._control_seen("", question, reading),
            findings=tuple(reading.findings),
            as_of=self._as_of(reading.spans) if rests_on_index and question.job_id else None,
        )

    def search(self, question: Question) -> Answer:
        """Return the traces that a search for the job's id finds; each `via` is `search`."""
        reading = self._reading()
        if question.job_id and question.job_id_keys:
            hits = self._find(question, reading.until)
            reading.add(hits)
            reading.refs += [TraceRef(one, "search") for one in hits.trace_ids]
        else:
            reading.full = False
            reading.findings["the job's id is not known: there is nothing to search for"] = None
        return Answer(
            traces=tuple(reading.refs),
            full=reading.full,
            control_seen=self._control_seen("search", question, reading),
            findings=tuple(reading.findings),
        )

    @abstractmethod
    def probe(self) -> Probed:
        """Ask one harmless question with the credentials of every other."""

    @abstractmethod
    def _fetch(self, trace_id: str, until: float) -> Decoded:
        """Return the spans of one trace, none if it is not there (yet)."""

    @abstractmethod
    def _find(self, question: Question, until: float) -> Hits:
        """Ask the index for the job's id, which is not empty."""

    @abstractmethod
    def _find_control(self, question: Question, until: float) -> Hits:
        """Ask the index for control records."""

    def _window(self, question: Question) -> tuple[int, int]:
        """Return start and end of a search in whole seconds."""
        now = self._http.clock.now()
        end = math.ceil(min(question.until, now + _AHEAD)) + 1
        since = math.floor(question.since) - 1 if math.isfinite(question.since) else 0
        return max(since, end - _LONGEST), end

    def _reading(self) -> _Reading:
        """Begin an answer, which has to be there within the time-out."""
        return _Reading(self._http.clock.monotonic() + self._http.timeout)

    def _known(self, job_id: str) -> _Known:
        """Return what is known of a job; of one without an id nothing is kept."""
        if not job_id:
            return _Known()
        with self._lock:
            known = self._jobs.setdefault(job_id, _Known())
            self._jobs.move_to_end(job_id)
            if len(self._jobs) > _REMEMBERED:
                self._jobs.popitem(last=False)
            return known

    def _ask_index(self, question: Question, known: _Known, reading: _Reading) -> set[str]:
        """Return what the index has, where nothing else tells which traces are the job's.

        It is asked again as long as it alone has named traces: another may become findable later.
        """
        askable = question.job_id and question.job_id_keys
        if not askable or question.trace_ids - known.searched:
            return set()
        hits = self._find(question, reading.until)
        reading.add(hits)
        reading.findings["no trace id is known: traces were found by searching the index"] = None
        with self._lock:
            known.searched.update(hits.trace_ids)
        new = [one for one in hits.trace_ids if one not in question.trace_ids]
        reading.refs += [TraceRef(one, "search") for one in new]
        return set(new)

    def _read(self, trace_id: str, reading: _Reading) -> tuple[Span, ...]:
        """Read one trace."""
        read = self._fetch(trace_id, reading.until)
        others = {span.trace_id for span in read.spans} - {trace_id}
        if others:
            raise self._api.nonsense(f"was asked for trace {trace_id} and gave {min(others)}")
        reading.reads += 1
        reading.add(read)
        return read.spans

    def _follow_links(self, question: Question, known: _Known, reading: _Reading) -> None:
        """Read the traces that are linked to, and take those of which a span names the job."""
        have = question.trace_ids | {span.trace_id for span in reading.spans}
        wanted = [one for one in _linked(reading.spans, have) if known.tried.get(one, 0) < _TRIES]
        for trace_id in wanted if question.job_id else ():
            if reading.reads >= MOST_TRACES:
                reading.full = False
                reading.findings[
                    f"{len(wanted)} further traces are linked to: no more than {MOST_TRACES} "
                    "traces were read in all"
                ] = None
                return
            spans = self._read(trace_id, reading)
            if any(names_job(one, question.job_id, question.job_id_keys) for one in spans):
                reading.spans += spans
                reading.refs.append(TraceRef(trace_id, "job_id"))
            else:
                with self._lock:
                    known.tried[trace_id] = known.tried.get(trace_id, 0) + 1

    def _as_of(self, spans: Iterable[Span]) -> float | None:
        """Return the moment of which an answer speaks that rests on the index.

        Where the job's last span is long since older than the index's lag, the index has had its
        time. Not as soon as it is: the run is deciding just then, and what it goes by should not
        change under it.
        """
        now = self._http.clock.now()
        last = max((span.end / 1e9 for span in spans), default=now)
        if last + self._search_lag_budget + _LONG_SINCE <= now:
            return None
        return min(now, now - self._search_lag_budget + self._lag_budget)

    def _control_seen(self, where: str, question: Question, reading: _Reading) -> bool:
        """Whether the control record is visible by id, or in the index (`where` is `search`).

        It is asked for only where that may show something: one was planted, and nothing of the
        run's own is visible. That it was seen before says nothing of who answered this time.
        """
        key = (where, question.control)
        if self._control is None or not question.control:
            return False
        if reading.spans or reading.refs:
            with self._lock:
                return key in self._seen
        if where:
            seen = question.control in self._find_control(question, reading.until).trace_ids
        else:
            seen = bool(self._read(question.control, reading))
        if seen:
            with self._lock:
                self._seen[key] = None
                if len(self._seen) > _REMEMBERED:
                    self._seen.popitem(last=False)
        return seen


def _linked(spans: Iterable[Span], have: frozenset[str] | set[str]) -> list[str]:
    """Return the traces that spans link to which link to none that is at hand."""
    wanted: dict[str, None] = {}
    for span in spans:
        if span.links and not any(link.trace_id in have for link in span.links):
            wanted.update(dict.fromkeys(link.trace_id for link in span.links))
    return list(wanted)
