"""What a test waits for, as checks of a run: they say what is missing and when nothing more comes.

A wish that is granted passes; one that complete evidence lacks fails, with a finding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from checks import CheckKind, connected_trace
from checks._attempts import attempts_of
from checks._near import nearest
from checks._params import Params
from checks._select import SpanSelector
from checks._series import Series, is_of, series_of
from checks._trace import build
from checks._unmatched import no_span, nothing_seen
from checks._verdict import Examined, decide
from checks._words import listed
from validator.model import Evidence, Finding, Signal, Span, Status, Verdict

TRACE: Final = "trace"
SPAN: Final = "span"
METRICS: Final = "metrics"


class TraceWish(Params):
    """All spans of a job; `services` are those that are waited for, none: nobody knows which."""

    services: tuple[str, ...] = ()


class SpanWish(SpanSelector):
    """Spans of a service and name."""


class MetricsWish(Params):
    """A service's samples; `metric` empty: of every family that is read."""

    service: str
    metric: str = ""
    mark: Mapping[str, str] = {}


def trace(params: TraceWish, evidence: Evidence) -> Verdict:
    """Wait for the whole of what a job leaves; only a job without any span fails."""
    if not evidence.spans:
        return _no_trace(params, evidence)
    index = build(evidence.spans, evidence.job.sent_parent)
    present = {span.service for span in evidence.spans}
    lacking = [f"spans of {name}" for name in params.services if name not in present]
    lacking += [f"the parent of `{span.name}`" for span in index.orphans]
    lacking += [] if params.services else ["whatever else the job leaves"]
    waited = tuple(_may_come(one) for one in lacking)
    count = len(evidence.spans)
    verdict = decide(
        evidence, Examined(TRACE, (Signal.TRACES,), count, f"{count} spans", findings=waited)
    )
    return replace(verdict, status=Status.PASS) if verdict.status is Status.FAIL else verdict


def _may_come(what: str) -> Finding:
    return Finding("may_come", f"{what} may come", "", (), "", "", absent=True)


def _no_trace(params: TraceWish, evidence: Evidence) -> Verdict:
    if params.services:
        wanted = connected_trace.ConnectedTraceParams(services=params.services)
        return connected_trace.evaluate(wanted, evidence)
    findings = (nothing_seen(evidence, "it was asked for its trace"),)
    return decide(evidence, Examined(TRACE, (Signal.TRACES,), 0, "", findings=findings))


def matching(params: SpanSelector, evidence: Evidence) -> tuple[Span, ...]:
    """Return the spans that are meant, by time; of attempts only the last."""
    return tuple(span for span in attempts_of(evidence).judged if params.selects(span))


def span(params: SpanWish, evidence: Evidence) -> Verdict:
    """Wait for at least one span, and for whatever else may match."""
    found = matching(params, evidence)
    attempts = attempts_of(evidence)
    findings = () if found else (no_span(params, evidence, attempts, (1, 0)),)
    summary = f"{len(found)} {params.words()}"
    return decide(
        evidence, Examined(SPAN, (Signal.TRACES,), len(found), summary, findings=findings)
    )


def of_service(params: MetricsWish, evidence: Evidence) -> list[Series]:
    """Return the service's series after the job, with what they were before it."""
    return series_of(
        evidence,
        (
            sample
            for sample in evidence.samples
            if sample.service == params.service
            and (is_of(sample, params.metric) if params.metric else sample.metric != "target_info")
        ),
    )


def grew(series: Series, mark: Mapping[str, str], evidence: Evidence) -> bool:
    """Whether a series is of this job; a gauge cannot tell."""
    if series.last.type == "gauge":
        return True
    moved = series.increase > 0 and not evidence.job.existing
    return series.mine or (moved and series.has(mark))


def metrics(params: MetricsWish, evidence: Evidence) -> Verdict:
    """Wait until the job has moved something; only a service without any sample fails."""
    every = of_service(params, evidence)
    own = [one for one in every if one.last.type != "gauge" and grew(one, params.mark, evidence)]
    findings = () if own else (_nothing_grew(params, evidence, every),)
    count = len(every)
    verdict = decide(
        evidence,
        Examined(METRICS, (Signal.METRICS,), count, f"{count} samples", findings=findings),
    )
    known = every and verdict.status is Status.FAIL
    return replace(verdict, status=Status.PASS) if known else verdict


def _nothing_grew(params: MetricsWish, evidence: Evidence, every: list[Series]) -> Finding:
    what = f"samples of {params.metric or 'any family'} from {params.service}"
    pages = sorted({sample.service for sample in evidence.samples})
    near = nearest(params.service, pages) if params.service not in pages else ""
    if every:
        seen = (f"{len(every)} series, none of which grew in this job",)
    else:
        asked = f"samples of {listed(pages)}" if pages else "no sample at all"
        seen = (asked, *((f"nearest service: `{near}`",) if near else ()))
    return Finding(
        code="no_samples",
        summary=f"no {what}" if not every else f"nothing of {params.service} grew",
        expected=what,
        seen=seen,
        likely="its page is not among the sources, or it has no such family",
        query="",
        absent=True,
        needs=("job", "samples"),
    )


WISHES: Final[Mapping[str, CheckKind]] = {
    TRACE: CheckKind(TraceWish, trace, (Signal.TRACES,)),
    SPAN: CheckKind(SpanWish, span, (Signal.TRACES,)),
    METRICS: CheckKind(MetricsWish, metrics, (Signal.METRICS,)),
}
"""What a test can wait for, by name."""
