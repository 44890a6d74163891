"""A metric's labels: on every sample of this run, with every value, and grown by the job."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field, model_validator

from checks import _metric_findings as tell
from checks._metric_case import MetricCase
from checks._params import Params
from checks._series import is_of, series_of
from checks._verdict import Examined, decide
from checks._words import listed
from validator.model import Evidence, Finding, Signal, Verdict

KIND = "metric_labels"


class MetricLabelsParams(Params):
    """Which metric, and which labels with which values it has to have."""

    metric: str = Field(min_length=1, description="the metric family, as its page names it")
    label: str | None = Field(None, min_length=1, description="the label that has to be there")
    values: tuple[str, ...] = Field(
        (), description="the values of `label`, each of which the job has to have caused"
    )
    labels: Mapping[str, tuple[str, ...]] = Field(
        {}, description="several labels at once, each with its values (a list, may be empty)"
    )
    on_every_sample: bool = Field(
        default=True, description="whether each sample of this run has to have the labels"
    )
    increased: bool = Field(
        default=True, description="whether the job has to have made them grow (false for gauges)"
    )
    service: str | None = Field(
        None, min_length=1, description="only pages of this service (default: of any)"
    )
    mark: Mapping[str, str] = Field(
        {"traffic": "synthetic"},
        description="the labels by which samples of synthetic jobs are told; `{}` if there are "
        "none",
    )

    @model_validator(mode="after")
    def _consistent(self) -> MetricLabelsParams:
        if self.label is None and self.values:
            raise ValueError("`values` needs the `label` that has them")
        if self.label is None and not self.labels:
            raise ValueError("give `label` (with `values`) or `labels`")
        if self.label in self.labels:
            raise ValueError(f"`{self.label}` is given under `label` and under `labels`")
        for name, values in self.wanted().items():
            if "" in values:
                raise ValueError(f"an empty value of `{name}` is the same as no label")
            if not values and not self.on_every_sample:
                raise ValueError(f"nothing is asked of `{name}`: give values or `on_every_sample`")
        return self

    def wanted(self) -> dict[str, tuple[str, ...]]:
        """Return each label with its values."""
        return {**({self.label: self.values} if self.label else {}), **self.labels}


def evaluate(params: MetricLabelsParams, evidence: Evidence) -> Verdict:
    """Judge the labels of the metric's samples that are of this run."""
    case = _case(params, evidence)
    findings: list[Finding] = []
    doubts: list[Finding] = []
    if not case.family:
        findings = [tell.no_family(case)]
    elif case.is_gauge:
        doubts = [tell.gauge(case)]
    else:
        found = [one for label in case.labels for one in _label(params, case, label)]
        findings = [one for one in found if one.code != "no_before"]
        doubts = [one for one in found if one.code == "no_before"]
    values = [value for each in params.wanted().values() for value in each]
    return decide(
        evidence,
        Examined(
            kind=KIND,
            signals=(Signal.METRICS,),
            count=len(case.judged()),
            summary=f"`{params.metric}` has {listed([*case.labels, *values])}",
            findings=tuple(findings),
            notes=case.notes(),
            doubts=tuple(doubts),
        ),
    )


def _case(params: MetricLabelsParams, evidence: Evidence) -> MetricCase:
    pages = [
        sample
        for sample in evidence.samples
        if params.service is None or sample.service == params.service
    ]
    family = series_of(evidence, (sample for sample in pages if is_of(sample, params.metric)))
    return MetricCase(
        metric=params.metric,
        service=params.service or "",
        mark=params.mark,
        labels=tuple(params.wanted()),
        increased=params.increased,
        evidence=evidence,
        pages=tuple(pages),
        family=tuple(family),
    )


def _label(params: MetricLabelsParams, case: MetricCase, label: str) -> list[Finding]:
    seen = {series.label(label) for series in case.judged()} - {""}
    values = params.wanted()[label]
    missing = [value for value in values if value not in seen]
    bare = case.bare(label) if params.on_every_sample else []
    if bare:
        return [tell.bare(case, label, bare, missing)]
    if not values and not seen:
        missing = [""]
    return [tell.value_missing(case, label, value) for value in missing]
