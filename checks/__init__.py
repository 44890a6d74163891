"""The kinds of checks: one module each, with its parameters and a pure `evaluate`.

A check is a function from parameters and evidence to a verdict. It does no I/O and reads no
clock; `evidence.now` is the time of judging.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from checks import (
    connected_trace,
    expression,
    job_outcome,
    log_fields,
    metric_labels,
    span_attributes,
    span_outcome,
    trace_search,
    version,
)
from checks._params import Params
from checks.connected_trace import ConnectedTraceParams
from checks.expression import ExpressionParams
from checks.job_outcome import JobOutcomeParams
from checks.log_fields import LogFieldsParams
from checks.metric_labels import MetricLabelsParams
from checks.span_attributes import SpanAttributesParams
from checks.span_outcome import SpanOutcomeParams
from checks.trace_search import TraceSearchParams
from checks.version import VersionParams
from validator.model import Evidence, Signal, Verdict

Evaluate = Callable[[Any, Evidence], Verdict]
"""`(parameters, evidence) -> verdict`; the parameters are of the kind's own class."""


@dataclass(frozen=True, slots=True)
class CheckKind:
    """One kind of check: what it is given, how it judges, and what evidence it reads."""

    params: type[Params]
    evaluate: Evaluate
    signals: tuple[Signal, ...]


CHECKS: Mapping[str, CheckKind] = {
    "connected_trace": CheckKind(ConnectedTraceParams, connected_trace.evaluate, (Signal.TRACES,)),
    "expression": CheckKind(
        ExpressionParams, expression.evaluate, (Signal.TRACES, Signal.LOGS, Signal.METRICS)
    ),
    "job_outcome": CheckKind(JobOutcomeParams, job_outcome.evaluate, (Signal.JOB,)),
    "log_fields": CheckKind(LogFieldsParams, log_fields.evaluate, (Signal.LOGS,)),
    "metric_labels": CheckKind(MetricLabelsParams, metric_labels.evaluate, (Signal.METRICS,)),
    "span_attributes": CheckKind(SpanAttributesParams, span_attributes.evaluate, (Signal.TRACES,)),
    "span_outcome": CheckKind(SpanOutcomeParams, span_outcome.evaluate, (Signal.TRACES,)),
    "trace_search": CheckKind(
        TraceSearchParams, trace_search.evaluate, (Signal.TRACES, Signal.SEARCH)
    ),
    "version": CheckKind(VersionParams, version.evaluate, (Signal.TRACES,)),
}
"""Every kind by its name in a suite. Literal: importing must have no side effects."""
