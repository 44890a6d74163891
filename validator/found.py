"""What a run has found: the union of all answers, and which of it is of the job."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from validator.model import (
    Alert,
    Job,
    LogLine,
    Phase,
    Sample,
    SearchHit,
    Signal,
    Span,
    ids_in,
)
from validator.ports import Answer
from validator.traces import select


@dataclass(slots=True)
class Added:
    """What of an answer no earlier one had; `given` are the keys of all that it has.

    `changed` tells that a sample has another value, or that other alerts are shown.
    """

    given: set[object] = field(default_factory=set)
    spans: list[Span] = field(default_factory=list)
    logs: list[LogLine] = field(default_factory=list)
    hits: list[SearchHit] = field(default_factory=list)
    changed: bool = False

    @property
    def any(self) -> bool:
        """Whether there was anything new."""
        return bool(self.spans or self.logs or self.hits or self.changed)


@dataclass(slots=True)
class Found:
    """Everything that the answers of one run had."""

    job_id_keys: tuple[str, ...]
    spans: dict[tuple[str, str], Span] = field(default_factory=dict)
    logs: dict[object, LogLine] = field(default_factory=dict)
    before: dict[object, Sample] = field(default_factory=dict)
    after: dict[object, Sample] = field(default_factory=dict)
    alerts: list[Alert] = field(default_factory=list)
    hits: dict[tuple[str, str], SearchHit] = field(default_factory=dict)

    def add_baseline(self, source: str, samples: Iterable[Sample]) -> None:
        """Add what a source's series were before the job."""
        for sample in samples:
            self.before[_sample_key(sample)] = replace(sample, phase=Phase.BEFORE, source=source)

    def add(self, source: str, signal: Signal, answer: Answer, now: float) -> Added:
        """Add a source's answer about `signal`, which came at `now`, in Unix seconds."""
        added = Added()
        for span in answer.spans:
            added.given.add(key := (span.trace_id, span.span_id))
            if key not in self.spans:
                self.spans[key] = span
                added.spans.append(span)
        for line in answer.logs:
            added.given.add(key_of_line := _line_key(line))
            if key_of_line not in self.logs:
                self.logs[key_of_line] = line
                added.logs.append(line)
        for sample in answer.samples:
            added.given.add(key_of_sample := _sample_key(sample))
            other = self.after.get(key_of_sample)
            if other is None or repr(other.value) != repr(sample.value):  # NaN is NaN
                added.changed = True
            self.after[key_of_sample] = sample
        if signal is Signal.SEARCH:
            added.hits = self._add_hits(source, answer, now)
        if signal is Signal.ALERTS:
            added.changed = self._add_alerts(source, answer)
        return added

    def _add_hits(self, source: str, answer: Answer, now: float) -> list[SearchHit]:
        """Note which traces a search has found, and when it did first."""
        new = []
        for ref in answer.traces:
            key = (source, ref.trace_id)
            if key not in self.hits:
                self.hits[key] = SearchHit(ref.trace_id, source, now)
                new.append(self.hits[key])
        return new

    def _add_alerts(self, source: str, answer: Answer) -> bool:
        """Take what a source shows of alerts now in place of what it showed before."""
        before = [alert for alert in self.alerts if alert.source == source]
        self.alerts = [*(one for one in self.alerts if one.source != source), *answer.alerts]
        return [replace(one, seen=0.0) for one in before] != [
            replace(one, seen=0.0) for one in answer.alerts
        ]

    def named_job(self, job: Job) -> Job:
        """Return the job with the id that its trace names, if it was known by its trace alone.

        A trace that names several jobs, or none, tells nothing.
        """
        if job.id or not job.existing:
            return job
        given = {ref.trace_id for ref in job.traces}
        values = {
            named
            for span in self.spans.values()
            if span.trace_id in given
            for named in ids_in(span.attributes, self.job_id_keys)
        }
        return replace(job, id=values.pop()) if len(values) == 1 else job

    def spans_of(self, job: Job) -> tuple[Span, ...]:
        """Return the job's spans, by their start."""
        spans = select(self.spans.values(), job, self.job_id_keys)
        return tuple(sorted(spans, key=lambda s: (s.start, s.trace_id, s.span_id)))

    def logs_of(self, job: Job) -> tuple[LogLine, ...]:
        """Return the job's log lines, by their time."""
        logs = [line for line in self.logs.values() if not self._of_another(line, job)]
        return tuple(sorted(logs, key=lambda line: (line.time, line.body)))

    def samples(self) -> tuple[Sample, ...]:
        """Return all samples, those from before the job first."""
        return (*_ordered(self.before.values()), *_ordered(self.after.values()))

    def _of_another(self, line: LogLine, job: Job) -> bool:
        """Whether a line of a trace that jobs may share names another job (and not this one)."""
        via = {ref.trace_id: ref.via for ref in reversed(job.traces)}.get(line.trace_id, "")
        if via not in ("job_id", "link", "search"):
            return False
        keys = map(line.key_for, self.job_id_keys)
        named = ids_in(line.attributes, keys)
        return bool(named) and job.id not in named


def _ordered(samples: Iterable[Sample]) -> list[Sample]:
    return sorted(
        samples, key=lambda s: (s.source, s.instance, s.name, str(sorted(s.labels.items())))
    )


def _line_key(line: LogLine) -> object:
    own = (line.time, line.service, line.instance, line.severity, line.body)
    fields = repr((sorted(line.attributes.items()), sorted(line.resource.items())))
    return (own, line.trace_id, line.span_id, line.sampled, fields)


def _sample_key(sample: Sample) -> object:
    return (sample.service, sample.instance, sample.name, tuple(sorted(sample.labels.items())))
