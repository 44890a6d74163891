"""The seams of the product, as Protocols: what stands behind them is built in `app.py` alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from validator.model import (
    Alert,
    AttributeValue,
    JobState,
    LogLine,
    Run,
    Sample,
    Span,
    TraceRef,
)


class Clock(Protocol):
    """The only way to the time."""

    def now(self) -> float:
        """Return the Unix time in seconds."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back, from an arbitrary start."""
        ...

    def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        ...


@dataclass(frozen=True, slots=True)
class Question:
    """What a source is asked for: everything of one job.

    A span or log line is wanted when its trace is one of `trace_ids`, or when one of its
    attributes named in `job_id_keys` equals `job_id` (never, when that is empty); for spans also
    when it links to a span of `trace_ids`. Whole traces are wanted, not only the spans that
    match. `since` and `until` are Unix seconds, already padded by the skew;
    `since` is minus infinity when nobody knows when the job began. `control` is the
    trace id of a control record that the validator planted, empty if none was.
    """

    job_id: str
    job_id_keys: tuple[str, ...]
    trace_ids: frozenset[str]
    since: float
    until: float
    control: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a source answered.

    `full` is False when the source itself says, or shows, that there is more than it gave (a
    partial trace, evicted spans, a page of several that failed). `traces` are traces found beyond
    those asked for, and how. `control_seen` tells that the control record is visible. `findings`
    are remarks for people. `heard` are the services that sent anything at all since the job began,
    as far as the source can tell without looking far: it helps to say what went wrong. The spans'
    and lines' `seen` is the time of this answer.

    `missing` says why something that was asked for is not there, each time anew: what an answer
    says takes the place of what the one before it said. `as_of` is the moment that the answer
    speaks of, in Unix seconds, where that is not when it was asked for: the oldest of the last
    scrapes that it rests on. `again` is when asking again may show something new (the next
    scrape), where the source knows.
    """

    spans: tuple[Span, ...] = ()
    logs: tuple[LogLine, ...] = ()
    samples: tuple[Sample, ...] = ()
    alerts: tuple[Alert, ...] = ()
    traces: tuple[TraceRef, ...] = ()
    full: bool = True
    control_seen: bool = False
    findings: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    heard: tuple[str, ...] = ()
    as_of: float | None = None
    again: float | None = None

    def partial(self) -> str:
        """Say why it is not full, as far as it tells."""
        return "; ".join((*self.findings, *self.missing)) or "partial answer"


class Source(Protocol):
    """What every source has.

    `lag_budget` is the declared time in seconds after which everything that has happened is
    readable there. Methods that ask raise `SourceError`, and nothing else, when they cannot
    answer, and always return within the source's own time-out.
    """

    @property
    def name(self) -> str:
        """Return the name in the configuration."""
        ...

    @property
    def kind(self) -> str:
        """Return the type in the configuration, such as `collector` or `scrape`."""
        ...

    @property
    def lag_budget(self) -> float:
        """Return the declared ingest lag in seconds."""
        ...

    def close(self) -> None:
        """Let go of connections, threads and sockets."""
        ...


@runtime_checkable
class TraceSource(Source, Protocol):
    """Where spans are read."""

    def traces(self, question: Question) -> Answer:
        """Return the spans of the job."""
        ...


@runtime_checkable
class LogSource(Source, Protocol):
    """Where log lines are read."""

    def logs(self, question: Question) -> Answer:
        """Return the log lines of the job."""
        ...


@runtime_checkable
class MetricSource(Source, Protocol):
    """Where samples are read."""

    def samples(self, metrics: frozenset[str]) -> Answer:
        """Return the present samples of these metric families, and of `target_info`.

        `Sample.phase` is `AFTER`; the run replaces it in what it read before the job.
        """
        ...


@runtime_checkable
class AlertSource(Source, Protocol):
    """Where alerts are read."""

    def alerts(self) -> Answer:
        """Return the alerts that are pending or firing now, each with the receivers it goes to."""
        ...


@runtime_checkable
class Searching(Source, Protocol):
    """A source whose index of traces can be searched, beside reading a trace by its id.

    An index has a lag of its own (Tempo's is half a minute by default), and may fail while the
    storage works.
    """

    @property
    def search_lag_budget(self) -> float:
        """Return the declared time in seconds after which a search finds what has happened."""
        ...

    def search(self, question: Question) -> Answer:
        """Return the traces that a search for the job's id finds; each `via` is `search`."""
        ...


@runtime_checkable
class Plantable(Protocol):
    """A source into which the validator can write a control record, to show that it works."""

    def plant(self, trace_id: str) -> None:
        """Send a span and a log line of trace `trace_id` the way that telemetry comes in.

        Nothing is sent where no way in is declared.
        """
        ...


@dataclass(frozen=True, slots=True)
class Probed:
    """What one harmless question to a source showed.

    `version` is what the backend says of itself, empty if it does not; `latency` is how long the
    answer took, in seconds; `clock_offset` is how far the backend's clock is ahead of ours, in
    seconds, good to one second (the `Date` header), None if it does not say; `notes` are remarks
    for people (a tenant that holds nothing, a datasource that is another than declared).
    """

    version: str
    latency: float
    clock_offset: float | None
    notes: tuple[str, ...] = ()


@runtime_checkable
class Probing(Source, Protocol):
    """A source that can be asked whether it is there."""

    def probe(self) -> Probed:
        """Ask one harmless question with the credentials of every other; raises `SourceError`."""
        ...


@runtime_checkable
class Waking(Protocol):
    """A source that tells when it has something new."""

    def on_change(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake` (from any thread) after each change; return what ends that."""
        ...


@dataclass(frozen=True, slots=True)
class Mark:
    """What makes one run's job its own.

    `traceparent` is empty when none is to be sent; `baggage` is the W3C header's value. `context`
    is what templates may name: `run.id`, `run.nonce`, `run.corpus`, `job.*`.
    """

    run_id: str
    nonce: str
    corpus: str
    trace_id: str
    parent_id: str
    traceparent: str
    baggage: str
    context: Mapping[str, AttributeValue]


@dataclass(frozen=True, slots=True)
class Progress:
    """What the target says of a job: its own word, and what that means.

    `fields` are what later templates may name as `job.*`; `trace_id` is one that the target
    answered in a header, empty if none; `detail` explains a state that is not good.
    """

    job_id: str
    status: str
    state: JobState
    detail: str
    fields: Mapping[str, AttributeValue]
    trace_id: str


class Submitter(Protocol):
    """How a target takes a job. Each method raises `SubmitError`, and returns within a time-out."""

    @property
    def poll_interval(self) -> float:
        """Return how many seconds to wait between two calls of `follow`."""
        ...

    def submit(self, mark: Mark) -> Progress:
        """Hand the job over; the answer's `job_id` is never empty."""
        ...

    def follow(self, mark: Mark, job_id: str) -> Progress:
        """Ask what became of it."""
        ...

    def finish(self, mark: Mark, progress: Progress) -> None:
        """Do what the target's configuration wants done with a finished job (search for it)."""
        ...

    def clean_up(self, mark: Mark, job_id: str, within: float = math.inf) -> None:
        """Remove everything of the run; give up after `within` seconds, if not before."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class Observer(Protocol):
    """Who is told what a run is doing: the console's progress, a log."""

    def on_event(self, run_id: str, suite: str, event: str, detail: str) -> None:
        """Take note of `event` (`submitted`, `status`, `ended`, `gathering`, `verdict`, …)."""
        ...

    def on_run(self, run: Run) -> None:
        """Take note of a finished run."""
        ...
