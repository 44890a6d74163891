"""Samples as time series: what of them is this run's, and by how much it grew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from checks._queries import quoted
from validator.model import Evidence, Phase, Sample

_BUCKET_LABELS = ("le", "quantile")
_EXEMPLAR_KEY = "traceid"
_COUNTED = ("_count", "_total")

SeriesKey = tuple[str, str, str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class Series:
    """One time series after the job, and how it was before (None: it was not there).

    `mine` says that an exemplar of it names one of the job's traces.
    """

    last: Sample
    before: float | None
    mine: bool

    @property
    def increase(self) -> float:
        """Return by how much it grew; a counter that fell began anew, from zero."""
        if self.before is None or self.last.value < self.before:
            return self.last.value
        return self.last.value - self.before

    @property
    def counts(self) -> bool:
        """Whether it counts events: `_total`, `_count`, or what has no suffix at all."""
        name = self.last.name
        return name.endswith(_COUNTED) or name == self.last.metric

    def label(self, name: str) -> str:
        """Return a label's value, empty if it is not there: Prometheus knows no difference."""
        return self.last.labels.get(name, "")

    def has(self, labels: Mapping[str, str]) -> bool:
        """Whether it carries all of `labels`."""
        return all(self.last.labels.get(key) == value for key, value in labels.items())

    def group(self) -> tuple[str, str, tuple[tuple[str, str], ...]]:
        """Return what its buckets, sum and count have in common."""
        labels = {k: v for k, v in self.last.labels.items() if k not in _BUCKET_LABELS}
        return (self.last.service, self.last.instance, tuple(sorted(labels.items())))

    def line(self) -> str:
        """Write it as a line of a `/metrics` page, with where it is from and what it was."""
        sample = self.last
        labels = ", ".join(f"{key}={quoted(value)}" for key, value in sorted(sample.labels.items()))
        was = "new" if self.before is None else f"was {self.before:g}"
        where = sample.instance or sample.service
        return f"{where}: {sample.name}{{{labels}}} {sample.value:g} ({was})"


def is_of(sample: Sample, metric: str) -> bool:
    """Whether the sample is of the family; a counter may be named with its `_total` or without."""
    return metric in (sample.metric, sample.name, f"{sample.metric}_total")


def series_of(evidence: Evidence, samples: Iterable[Sample]) -> list[Series]:
    """Join what was read before and after; of several readings the last one counts."""
    before: dict[SeriesKey, Sample] = {}
    after: dict[SeriesKey, Sample] = {}
    traces = job_traces(evidence)
    mine: set[SeriesKey] = set()
    for sample in samples:
        if sample.name.endswith("_created"):
            continue
        key = (sample.service, sample.instance, sample.name, tuple(sorted(sample.labels.items())))
        side = before if sample.phase is Phase.BEFORE else after
        other = side.get(key)
        if other is None or (other.seen, other.value) < (sample.seen, sample.value):
            side[key] = sample
        if sample.phase is Phase.AFTER and exemplar_trace(sample) in traces:
            mine.add(key)
    return [
        Series(after[key], before[key].value if key in before else None, key in mine)
        for key in sorted(after)
    ]


def job_traces(evidence: Evidence) -> frozenset[str]:
    """Return the ids of the job's traces."""
    named = {ref.trace_id for ref in evidence.job.traces}
    return frozenset(named | {span.trace_id for span in evidence.spans})


def exemplar_trace(sample: Sample) -> str:
    """Return the trace id of the sample's exemplar, empty if it has none."""
    labels = sample.exemplar.labels if sample.exemplar else {}
    for key, value in labels.items():
        if key.replace("_", "").lower() == _EXEMPLAR_KEY:
            return value.lower()
    return ""
