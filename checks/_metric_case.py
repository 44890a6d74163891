"""What `metric_labels` looks at: one family's series, which of them are this run's, which grew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from checks._queries import promql
from checks._series import Series
from validator.model import Evidence, Sample


@dataclass(frozen=True, slots=True)
class MetricCase:
    """One family's series and what is asked of them.

    `pages` are the samples of the service's pages (of all pages, if none is named), `family`
    those of the metric as series. `labels` are the labels that are asked for.
    """

    metric: str
    service: str
    mark: Mapping[str, str]
    labels: tuple[str, ...]
    increased: bool
    evidence: Evidence
    pages: tuple[Sample, ...]
    family: tuple[Series, ...]

    @property
    def own(self) -> tuple[Series, ...]:
        """Return the series that are of synthetic jobs, or name one of this job's traces."""
        return tuple(series for series in self.family if series.mine or series.has(self.mark))

    @property
    def foreign(self) -> tuple[Series, ...]:
        """Return the series that belong to others: they do not carry the mark."""
        return tuple(s for s in self.family if not s.mine and not s.has(self.mark))

    @property
    def is_gauge(self) -> bool:
        """Whether growth is asked of a family that has no counter."""
        return self.increased and all(series.last.type == "gauge" for series in self.family)

    def grew(self, series: Series) -> bool:
        """Whether the job made the series grow, as far as can be told.

        Of a job that was there before us nothing was read before: only an exemplar tells.
        """
        return series.mine or (not self.evidence.job.existing and series.increase > 0)

    def known(self, series: Series) -> bool:
        """Whether it is certain that the series is this run's: without a before, it may be old."""
        return not self.increased or series.mine or series.before is not None

    def judged(self) -> tuple[Series, ...]:
        """Return the series in which a label's value counts."""
        if not self.increased:
            return self.own
        return tuple(s for s in self.own if s.mine or (s.counts and self.grew(s)))

    def bare(self, label: str) -> list[Series]:
        """Return a series of each group of this run's that lacks the label: its count, if any."""
        groups: dict[object, Series] = {}
        for series in self.own:
            if series.label(label) or (self.increased and not self.grew(series)):
                continue
            known = groups.get(series.group())
            if known is None or (series.counts and not known.counts):
                groups[series.group()] = series
        return list(groups.values())

    def query(self, by: str) -> str:
        """Return a query that shows how the family grew, by a label."""
        names = [series.last.name for series in self.family if series.counts]
        return promql(names[0] if names else self.metric, self.mark, by)

    def needs(self) -> tuple[str, ...]:
        """Return the facts without which nothing can be said of the metric."""
        silent = (f"samples:{self.service}",) if self.service and not self.pages else ()
        nothing = () if self.evidence.samples else ("samples",)
        return ("job", *silent, *nothing)

    def notes(self) -> tuple[str, ...]:
        """Tell of series without the labels that are not this run's, or did not grow in it."""
        found = []
        for label in self.labels:
            bare = set(map(id, self.bare(label)))
            old = [s for s in self.own if not s.label(label) and id(s) not in bare]
            old = [s for s in old if s.counts and not self.grew(s)]
            others = [s for s in self.foreign if s.counts and not s.label(label)]
            found += [f"without `{label}`, but not grown in this run: {s.line()}" for s in old[:3]]
            found += [f"other traffic has no `{label}` either: {s.line()}" for s in others[:3]]
        return tuple(found)
