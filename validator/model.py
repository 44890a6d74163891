"""What is observed and what is said of it: frozen dataclasses, no behaviour that acts.

Times are Unix times. Those that telemetry carries (`Span.start`, `LogLine.time`) are integers
in nanoseconds, as OTLP has them; those of the validator's own clock (`seen`, `Evidence.now`,
`Job.ended`) are floats in seconds.

Everything here goes to JSON and back without loss (`validator/evidence_io.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

AttributeValue = (
    str
    | bool
    | int
    | float
    | bytes
    | tuple["AttributeValue", ...]
    | Mapping[str, "AttributeValue"]
    | None
)
"""OTLP's `AnyValue`. An array is a tuple; a kvlist is a mapping; an unset value is None."""

Attributes = Mapping[str, AttributeValue]

_NO_WORD = re.compile(r"[^A-Za-z0-9*?]+")


class Signal(StrEnum):
    """What a piece of evidence is. `JOB` is what the target itself says of the job."""

    JOB = "job"
    TRACES = "traces"
    LOGS = "logs"
    METRICS = "metrics"
    ALERTS = "alerts"
    SEARCH = "search"
    """The index of traces: what a search for the job's id finds."""


class SpanKind(StrEnum):
    """OTLP's span kinds."""

    UNSPECIFIED = "UNSPECIFIED"
    INTERNAL = "INTERNAL"
    SERVER = "SERVER"
    CLIENT = "CLIENT"
    PRODUCER = "PRODUCER"
    CONSUMER = "CONSUMER"


class SpanStatus(StrEnum):
    """OTLP's status codes of a span."""

    UNSET = "UNSET"
    OK = "OK"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class Link:
    """A span's link to another span; `trace_id` 32 and `span_id` 16 lower-case hex digits."""

    trace_id: str
    span_id: str
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """An event of a span. `time` in Unix nanoseconds."""

    name: str
    time: int
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Span:
    """One span.

    `trace_id` has 32, `span_id` and `parent_id` 16 lower-case hex digits; `parent_id` is empty
    for a root. `start` and `end` are Unix nanoseconds of the emitter's clock. `service` is the
    resource's `service.name`, `instance` its `service.instance.id` (else empty). `seen` is when
    the validator first had it, in Unix seconds; `source` is the name of who answered it.
    """

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: SpanKind
    service: str
    instance: str
    start: int
    end: int
    status: SpanStatus
    status_message: str
    attributes: Attributes
    resource: Attributes
    links: tuple[Link, ...]
    events: tuple[SpanEvent, ...]
    scope: str
    source: str
    seen: float


@dataclass(frozen=True, slots=True)
class LogLine:
    """One log record.

    `time` in Unix nanoseconds; `trace_id` and `span_id` are the record's own fields, lower-case
    hex, empty when it has none. `sampled` is the trace flag of the record, None when unknown.
    `attributes` holds structured fields, wherever the backend keeps them. `flattened` are keys of
    `attributes` and `resource` that the backend (Loki) has in a spelling of its own, with `_` for
    what is no letter or digit, and their values as text: what key and type were sent is not known.
    """

    time: int
    service: str
    instance: str
    severity: str
    body: str
    trace_id: str
    span_id: str
    sampled: bool | None
    attributes: Attributes
    resource: Attributes
    source: str
    seen: float
    flattened: tuple[str, ...] = ()

    def key_for(self, key: str) -> str:
        """Return the key of an attribute that is `key` or may be it, empty if there is none."""
        if key in self.attributes:
            return key
        flat = flat_key(key)
        fitting = (one for one in self.flattened if flat_key(one) == flat)
        return next((one for one in fitting if one in self.attributes), "")


def flat_key(key: str) -> str:
    """Return a key, or a glob for keys, in the one spelling that all of its spellings share."""
    flat = _NO_WORD.sub("_", key)
    return f"key_{flat}" if flat[:1].isdigit() else flat


def ids_in(attributes: Attributes, keys: Iterable[str]) -> list[str]:
    """Return the ids of jobs that stand under `keys`; one that was sent as a number is text here.

    What is neither text nor an integer is no id. Of which type an id should be is for a check to
    say: a span with the wrong one is judged, and not overlooked.
    """
    values = (attributes.get(key) for key in keys)
    return [str(one) for one in values if isinstance(one, str | int) and not isinstance(one, bool)]


class Phase(StrEnum):
    """When a sample was read: before the job was submitted, or after."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Exemplar:
    """An exemplar of a sample; `time` in Unix seconds, None when the page gives none."""

    labels: Mapping[str, str]
    value: float
    time: float | None


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample of one time series.

    `metric` is the family's name without a suffix, `name` the sample's own
    (`x_seconds` and `x_seconds_count`); `type` is the family's type (`counter`, `gauge`,
    `histogram`, `summary`, `unknown`). `instance` tells apart the processes that expose the same
    series; `service` is whose page it is. `time` is the sample's own time in Unix seconds, None
    when it has none.
    """

    metric: str
    name: str
    type: str
    labels: Mapping[str, str]
    value: float
    time: float | None
    exemplar: Exemplar | None
    service: str
    instance: str
    phase: Phase
    source: str
    seen: float


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert as an alerting backend shows it; `state` is pending, firing or resolved.

    `since` is when it began, in Unix seconds, None if that is not said. `receivers` are those that
    its route leads to. `silenced_by` are the ids of silences, `inhibited_by` the fingerprints of
    alerts, `muted_by` the names of time intervals, that keep it from being delivered (the last as
    far as the backend says so: not all do); `fingerprint` is its own id among the alerts of an
    Alertmanager, empty where there is none.
    """

    name: str
    state: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    since: float | None
    receivers: tuple[str, ...]
    source: str
    seen: float
    silenced_by: tuple[str, ...] = ()
    inhibited_by: tuple[str, ...] = ()
    fingerprint: str = ""
    muted_by: tuple[str, ...] = ()


class JobState(StrEnum):
    """How the job ended, in the target's own words mapped to these."""

    NOT_SUBMITTED = "not_submitted"
    REFUSED = "refused"
    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    UNKNOWN = "unknown"
    """An existing job of which only its id or trace id is known."""


@dataclass(frozen=True, slots=True)
class TraceRef:
    """A trace that is of this job, and how that is known.

    `via` is `sent` (we sent this id), `given` (`--trace-id`), `header` (the target answered it),
    `job_id` (its spans or logs carry the job's id), `link` (a span of it links to one of ours) or
    `search` (a search for the job's id found it).
    """

    trace_id: str
    via: str


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A trace that a search for the job's id found.

    `seen` is when the first answer had it, in Unix seconds: the index had it then at the latest.
    """

    trace_id: str
    source: str
    seen: float


@dataclass(frozen=True, slots=True)
class Job:
    """The job under observation.

    `status` is the target's own word for its state, `fields` what else it was asked for, `detail`
    what went wrong in words (empty if nothing did).
    `sent_parent` is the span id that we put into `traceparent` and that nobody exports.
    `existing` is True for a job that the validator did not submit. Times in Unix seconds.
    `sampling` is what the target declares: `all`, or `ratio` where a job may rightly leave no
    trace.
    """

    id: str
    run_id: str
    target: str
    state: JobState
    status: str
    detail: str
    fields: Mapping[str, AttributeValue]
    traces: tuple[TraceRef, ...]
    sent_parent: str
    existing: bool
    submitted: float | None
    ended: float | None
    sampling: str = "all"


class CoverageState(StrEnum):
    """How much a signal's evidence can be trusted to be all there is (DESIGN, Rules of judging).

    `OPEN`: more may come. `SETTLED`: everything expected is there and nothing new came for the
    settle time. `EXHAUSTED`: the lag budget has passed since the job's end, and a fresh, full
    answer came from a source that is shown to work: what is missing is missing. `UNPROVEN`: the
    budget has passed, but no such answer could be had. `UNREACHABLE`: the source could not be
    asked. `ABSENT`: no source for this signal is configured.
    """

    OPEN = "open"
    SETTLED = "settled"
    EXHAUSTED = "exhausted"
    UNPROVEN = "unproven"
    UNREACHABLE = "unreachable"
    ABSENT = "absent"

    @property
    def complete(self) -> bool:
        """Whether what is not there may be called missing."""
        return self in (CoverageState.SETTLED, CoverageState.EXHAUSTED)


@dataclass(frozen=True, slots=True)
class Coverage:
    """The completeness of one signal; `reason` says why in words, `sources` who answered."""

    state: CoverageState
    reason: str
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What one source did in one run.

    `error` is the last failure in words without any secret, empty when the last answer was good;
    `error_kind` one of `errors.SourceFailure`. `lag` is the longest time in seconds between the
    end of a span (or a log line's time) and the first answer that had it; None if unknown.
    `shown_by` says what showed that the source works (a control record, evidence of this run),
    empty if nothing did. `heard` are the services that sent anything to it during the run, of this
    job or not, as far as it tells. `findings` are things to tell people though they decide no
    verdict.
    """

    name: str
    kind: str
    signals: tuple[Signal, ...]
    requests: int
    answers: int
    error: str
    error_kind: str
    last_full_answer: float | None
    lag: float | None
    lag_budget: float
    shown_by: str
    findings: tuple[str, ...]
    heard: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that was gathered for one run, and when: all that a check may read.

    `spans` holds only what is evidence of this job (of a trace reached through a link, the
    linking span's descendants), each once. `coverage` has an entry for each signal. `now` is the
    time of judging in Unix seconds. `skew` is the tolerance in seconds for times of different
    clocks. `job_id_keys` are the attribute keys under which telemetry names the job. `hits` are
    the traces that a search found, if one was made: each at most once for each source.
    """

    job: Job
    spans: tuple[Span, ...]
    logs: tuple[LogLine, ...]
    samples: tuple[Sample, ...]
    alerts: tuple[Alert, ...]
    sources: tuple[SourceReport, ...]
    coverage: Mapping[Signal, Coverage]
    job_id_keys: tuple[str, ...]
    skew: float
    now: float
    hits: tuple[SearchHit, ...] = ()

    def covered(self, signal: Signal) -> Coverage:
        """Return the signal's coverage; ABSENT if the evidence says nothing of it."""
        nothing = Coverage(CoverageState.ABSENT, f"no source of {signal} is configured", ())
        return self.coverage.get(signal, nothing)


class Status(StrEnum):
    """What a verdict says. `PENDING` only while a run is going on."""

    PASS = "pass"  # noqa: S105 - a status
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    BLOCKED = "blocked"
    PENDING = "pending"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, as a colleague would note it.

    `code` is a stable word for machines (`context_lost`, `attribute_missing`). `summary` fits on
    the line of the verdict. `absent` is True when something that should be there is not: it may
    still come. `final` is True when nothing that may still come could mend it. `missing` names
    evidence that this finding establishes as missing, `needs` evidence without which it could not
    be judged: facts such as `spans:scraper` or `job`. `spans` are the ids to mark in a waterfall.
    `query` is what to paste to look for oneself.
    """

    code: str
    summary: str
    expected: str
    seen: tuple[str, ...]
    likely: str
    query: str
    spans: tuple[str, ...] = ()
    absent: bool = False
    final: bool = False
    missing: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one check says of one run's evidence.

    `check` is the kind, `name` its name in the suite. `code` is the first finding's code, or why
    it is inconclusive. `level` is `required`, `advisory` or `quarantined`: only required verdicts
    set the exit code. `examined` counts the pieces of evidence that were looked at: a pass has
    at least one, unless the check says that nothing is what it wants.
    """

    check: str
    name: str
    status: Status
    code: str
    summary: str
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    examined: int
    signals: tuple[Signal, ...]
    blocked_by: str
    catches: str
    level: str = "required"

    @property
    def key(self) -> str:
        """Say which verdict this is across runs: check, name and code."""
        return f"{self.name}:{self.code}"


@dataclass(frozen=True, slots=True)
class Revision:
    """A verdict that a second look changed: its name in the suite, what it was, and what it is."""

    name: str
    was: Status
    was_code: str
    now: Status
    now_code: str


@dataclass(frozen=True, slots=True)
class SecondLook:
    """What was found when the sources were asked once more, at `at` in Unix seconds.

    `spans` and `lines` count what had come since the verdicts; the run's verdicts and evidence are
    those after it.
    """

    at: float
    spans: int
    lines: int
    revisions: tuple[Revision, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one suite: the verdicts of record and the evidence they stand on.

    `findings` are remarks about sources and the run itself that decide no verdict.
    `interrupted` says that it was stopped from outside before it was done. `finished` is when the
    verdicts were first given; `second_look` what looking again came to, None if nobody did.
    `expected_version` is what `--expect-version` named, empty for nothing.
    """

    id: str
    suite: str
    target: str
    ring: int
    version: str
    started: float
    finished: float
    verdicts: tuple[Verdict, ...]
    findings: tuple[str, ...]
    evidence: Evidence
    interrupted: bool
    second_look: SecondLook | None = None
    expected_version: str = ""
