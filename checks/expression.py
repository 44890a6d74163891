"""What no other check can say: an expression in CEL over the evidence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from checks._attempts import attempts_of
from checks._bounded import marked
from checks._cel import Expression, ExpressionError, compiled, offenders
from checks._params import Params
from checks._pieces import variables
from checks._queries import logql, traceql
from checks._verdict import Examined, decide
from checks._words import listed, short
from validator.model import CoverageState, Evidence, Finding, JobState, Signal, Verdict

KIND = "expression"

_BEFORE = re.compile(r"\.\s*before\b|[\w)\]]\[\s*[rR]?([\"']{3}|[\"'])before\1\s*\]")
_MOST_PIECES = 10_000
_MOST_STEPS = 1_000_000
_MOST_NAMED = 5
_SIGNALS: Mapping[str, Signal] = {
    "spans": Signal.TRACES,
    "logs": Signal.LOGS,
    "samples": Signal.METRICS,
    "job": Signal.JOB,
}


class ExpressionParams(Params):
    """An expression, and what to say where it does not hold."""

    expr: str = Field(
        min_length=1, description="CEL over `spans`, `logs`, `samples` and `job`; true is right"
    )
    message: str = Field(min_length=1, description="what is wrong when the expression is false")
    reads: tuple[Literal["traces", "logs", "metrics"], ...] = Field(
        (), description="signals that have to be there beside those that the expression names"
    )
    metrics: tuple[str, ...] = Field(
        (), description="the metric families to read; needed where the expression names `samples`"
    )

    @field_validator("expr")
    @classmethod
    def _compiles(cls, expr: str) -> str:
        if not compiled(expr).reads:
            raise ValueError("reads no evidence; name `spans`, `logs`, `samples` or `job`")
        return expr

    @model_validator(mode="after")
    def _has_metrics(self) -> ExpressionParams:
        if Signal.METRICS in self.signals() and not self.metrics:
            raise ValueError("`samples` are read only of the families that `metrics` names")
        return self

    def signals(self) -> tuple[Signal, ...]:
        """Return the signals that are read."""
        named = [_SIGNALS[name] for name in compiled(self.expr).reads]
        return tuple(dict.fromkeys([*named, *(Signal(word) for word in self.reads)]))


def evaluate(params: ExpressionParams, evidence: Evidence) -> Verdict:
    """Judge whether the expression holds for the evidence."""
    signals = params.signals()
    names = [name for name, signal in _SIGNALS.items() if signal in signals and name != "job"]
    raw = {"spans": evidence.spans, "logs": evidence.logs, "samples": evidence.samples}
    sizes = {name: len(raw[name]) for name in names}
    findings: list[Finding] = []
    doubts: list[Finding] = []
    if evidence.job.state is JobState.NOT_SUBMITTED:
        doubts = [_not_submitted(params, evidence)]
    elif max(sizes.values(), default=0) > _MOST_PIECES:
        doubts = [_too_much(sizes, compiled(params.expr))]
    else:
        context = variables(evidence, names)
        sizes = {name: len(context[name]) for name in names}
        findings = [_nothing(evidence, name) for name, size in sizes.items() if not size]
        if not findings:
            findings, doubts = _held(params, evidence, context, sizes)
            if findings and "logs" in names:
                signals, findings = _by_attempts(evidence, signals, findings)
    return decide(
        evidence,
        Examined(
            kind=KIND,
            signals=signals,
            count=sum(sizes.values()) or int(not sizes),
            summary=f"holds over {_counts(sizes)}" if sizes else "holds for the job",
            findings=tuple(findings),
            doubts=tuple(doubts),
        ),
    )


def _counts(sizes: Mapping[str, int]) -> str:
    return listed(f"{size} {name}" for name, size in sizes.items())


def _nothing(evidence: Evidence, name: str) -> Finding:
    return Finding(
        code="nothing_seen",
        summary=f"the expression reads {name}, and there are none",
        expected=f"at least one of {name}: what holds for nothing proves nothing",
        seen=(f"no {name} of the job at all",),
        likely=f"the job's {_SIGNALS[name]} are not exported, or not found",
        query=logql(evidence) if name == "logs" else traceql(evidence),
        absent=True,
        needs=("job", name),
    )


def _held(
    params: ExpressionParams,
    evidence: Evidence,
    context: Mapping[str, Any],
    sizes: Mapping[str, int],
) -> tuple[list[Finding], list[Finding]]:
    """Return the findings and the doubts of evaluating the expression."""
    expression = compiled(params.expr)
    if evidence.job.existing and "samples" in sizes and _BEFORE.search(params.expr):
        return [], [_no_before(params)]
    if max(sizes.values(), default=0) ** expression.depth > _MOST_STEPS:
        return [], [_too_much(sizes, expression)]
    try:
        value = expression.value(context)
    except ExpressionError as error:
        return [], [_broken(params, "cannot be evaluated", str(error))]
    if not isinstance(value, bool):
        return [], [_broken(params, "is neither true nor false", f"it gives {value!r:.80}")]
    return ([] if value else [_false(params, evidence, context, sizes)]), []


def _by_attempts(
    evidence: Evidence, signals: tuple[Signal, ...], findings: list[Finding]
) -> tuple[tuple[Signal, ...], list[Finding]]:
    """Have findings wait for the spans that tell whether a later attempt replaced a line's."""
    attempts = attempts_of(evidence)
    superseded = attempts.index.superseded
    lines = [one for one in evidence.logs if (one.trace_id, one.span_id) not in superseded]
    absent = evidence.covered(Signal.TRACES).state is CoverageState.ABSENT
    if absent or all(map(attempts.is_sure, lines)):
        return signals, findings
    if not all(map(attempts.seen, lines)):
        findings = [replace(finding, absent=True) for finding in findings]
    return tuple(dict.fromkeys((*signals, Signal.TRACES))), findings


def _not_submitted(params: ExpressionParams, evidence: Evidence) -> Finding:
    detail = evidence.job.detail
    return Finding(
        code="not_submitted",
        summary=f"the job was not submitted{f': {detail}' if detail else ''}",
        expected=params.expr,
        seen=("what holds for a job that was never sent proves nothing",),
        likely="another validator is at work, or the run was ended before the job was sent",
        query="",
        needs=("job",),
    )


def _no_before(params: ExpressionParams) -> Finding:
    return Finding(
        code="no_before",
        summary="what the job made grow cannot be told",
        expected=params.expr,
        seen=("nothing was read before the job: `before` of every sample is unknown",),
        likely="the job was not submitted by this run",
        query="",
    )


def _too_much(sizes: Mapping[str, int], expression: Expression) -> Finding:
    return Finding(
        code="too_much_evidence",
        summary="there is too much evidence to evaluate an expression over",
        expected=f"at most {_MOST_PIECES} pieces of each signal, and {_MOST_STEPS} steps",
        seen=(f"{_counts(sizes)}, {expression.depth} macros within each other",),
        likely="use a check of another kind, or an expression without nested macros",
        query="",
    )


def _broken(params: ExpressionParams, summary: str, seen: str) -> Finding:
    return Finding(
        code="expression_error",
        summary=f"the expression {summary}",
        expected=params.expr,
        seen=(seen,),
        likely="the expression does not fit this evidence: `has(…)` tests whether a key is there",
        query="",
        absent=True,
    )


def _false(
    params: ExpressionParams,
    evidence: Evidence,
    context: Mapping[str, Any],
    sizes: Mapping[str, int],
) -> Finding:
    """Describe an expression that does not hold; of `items.all(…)` the items are named.

    What else is false may become true by what still comes, so it counts as absent.
    """
    items = offenders(compiled(params.expr), context)
    named = [_item(item) for item in items[:_MOST_NAMED]]
    more = [f"… and {len(items) - _MOST_NAMED} more"] if len(items) > _MOST_NAMED else []
    logs_only = "logs" in sizes and "spans" not in sizes
    return Finding(
        code="expression_false",
        summary=params.message,
        expected=params.expr,
        seen=tuple(named + more) or (f"false over {_counts(sizes) or 'the job'}",),
        likely="",
        query=logql(evidence) if logs_only else traceql(evidence),
        spans=marked(item.get("span_id", "") for item in items),
        absent=not items and bool(sizes),
    )


def _item(item: Mapping[str, Any]) -> str:
    """Name a span, a line or a sample."""
    if "body" in item:
        return f"{item['severity']} `{item['body'][:80]}` ({item['service']})"
    if "labels" in item:
        labels = ", ".join(f"{key}={value}" for key, value in sorted(item["labels"].items()))
        return f"{item['instance']}: {item['name']}{{{labels}}} {item['value']:g}"
    return (
        f"`{item['name']}` ({item['service']}, {item['kind']}) {item['span_id']} of trace "
        f"{short(item['trace_id'])}"
    )
