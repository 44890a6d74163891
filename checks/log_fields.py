"""The fields of a job's log lines: there, of the right type and value, of the job's own trace."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

from pydantic import Field, model_validator

from checks._attempts import Attempts, attempts_of
from checks._fields import Complaint, FieldRules, Piece, complaints, untold
from checks._judge_fields import Told, earlier_notes, on_any, on_every
from checks._lines import (
    LogSelector,
    flattened_as,
    line_field,
    line_keys,
    once,
    own_traces,
    trace_of,
)
from checks._queries import logql
from checks._unlogged import nothing_logged, too_few
from checks._values import shown
from checks._verdict import Examined, decide
from checks._words import listed, short
from validator.model import CoverageState, Evidence, Finding, LogLine, Signal, Verdict

KIND = "log_fields"

_LONGEST_BODY = 80


class LogFieldsParams(FieldRules):
    """Which log lines, and what their fields have to be."""

    logs: LogSelector = Field(
        LogSelector(), description="which lines: `service`, `where`, `severity_at_least`"
    )
    trace_is_job: bool = Field(
        default=False, description="whether the line's `trace_id` has to be of the job's trace"
    )
    on: Literal["every", "any"] = Field(
        "every", description="whether every line that matches is judged, or one has to be right"
    )
    min_matches: int = Field(
        1, ge=0, description="how many lines have to match; 0 where none is right too"
    )

    @model_validator(mode="after")
    def _asks_something(self) -> LogFieldsParams:
        if self.says_nothing() and not self.trace_is_job:
            raise ValueError(
                "says nothing of the fields; give `require`, `types`, `equals`, `matches`, "
                "`one_of`, `absent` or `trace_is_job`"
            )
        if self.on == "any" and self.min_matches == 0:
            raise ValueError("`on: any` asks for one at least; `min_matches: 0` contradicts it")
        return self


Wrong = list[tuple[LogLine, list[Complaint]]]


def evaluate(params: LogFieldsParams, evidence: Evidence) -> Verdict:
    """Judge the fields of the log lines that `params` selects."""
    attempts = attempts_of(evidence)
    lines = once(evidence.logs)
    judged = [line for line in lines if not _superseded(attempts, line)]
    wrong = _judged(params, evidence, judged)
    told = _told(params, evidence, attempts)
    findings = on_every(told, wrong) if params.on == "every" else on_any(told, wrong)
    signals = _signals(evidence, attempts, wrong) if findings else (Signal.LOGS,)
    if Signal.TRACES in signals and not all(map(attempts.seen, judged)):
        findings = [replace(finding, absent=True) for finding in findings]
    if len(wrong) < params.min_matches:
        findings.append(too_few(params.logs, evidence, judged, (params.min_matches, len(wrong))))
    elif not judged:
        findings.append(nothing_logged(evidence))
    earlier = [line for line in lines if _superseded(attempts, line)]
    notes = earlier_notes(
        told,
        lambda line: attempts.word((line.trace_id, line.span_id)),
        _judged(params, evidence, earlier),
    )
    fine = sum(not said for _, said in wrong)
    return decide(
        evidence,
        Examined(
            kind=KIND,
            signals=signals,
            count=len(wrong) or len(judged) * (params.min_matches == 0),
            summary=f"{fine} of {len(wrong)} matching lines are as asked",
            findings=tuple(findings),
            notes=notes,
            doubts=_untold(params, wrong),
            exists=_exists(params, attempts, wrong),
        ),
    )


def _superseded(attempts: Attempts, line: LogLine) -> bool:
    return (line.trace_id, line.span_id) in attempts.index.superseded


def _is_final(attempts: Attempts, line: LogLine) -> bool:
    return (line.trace_id, line.span_id) in attempts.settled


def _judged(params: LogFieldsParams, evidence: Evidence, lines: Iterable[LogLine]) -> Wrong:
    own = own_traces(evidence)
    return [(line, _complaints(params, line, own)) for line in lines if params.logs.selects(line)]


def _complaints(params: LogFieldsParams, line: LogLine, own: frozenset[str]) -> list[Complaint]:
    found = complaints(params, _piece(line))
    if not params.trace_is_job:
        return found
    trace = trace_of(line)
    wanted = "`trace_id` of the job's trace"
    if not trace:
        rest = [complaint for complaint in found if complaint.key != "trace_id"]
        seen = "has no `trace_id`: it is found by the job's id only, not from the trace"
        return [*rest, Complaint("missing", "trace_id", wanted, seen)]
    if trace not in own:
        seen = f"names trace {trace}, which is not of this job"
        return [*found, Complaint("foreign_trace", "trace_id", wanted, seen)]
    return found


def _piece(line: LogLine) -> Piece:
    return Piece(
        get=lambda key: line_field(line, key),
        known=lambda: line_keys(line),
        spelled=lambda pattern: flattened_as(line, pattern),
    )


def _untold(params: LogFieldsParams, wrong: Wrong) -> tuple[Finding, ...]:
    """Describe types that nobody can tell any more: they are neither right nor wrong."""
    if not params.types:
        return ()
    told = [(line, untold(params, _piece(line))) for line, said in wrong if not said]
    if params.on == "any" and not all(values for _, values in told):
        return ()
    keys = list(dict.fromkeys(key for _, values in told for key in values))
    if not keys:
        return ()
    line, values = next(pair for pair in told if pair[1])
    return (
        Finding(
            code="type_unknown",
            summary=f"of which type {listed(f'`{key}`' for key in keys)} was sent is not known",
            expected=", ".join(f"`{key}` of type {params.types[key]}" for key in keys),
            seen=tuple(
                f"{_name(line)} has `{key}` = {shown(value)}, kept as text"
                for key, value in values.items()
            ),
            likely=f"{line.source} keeps attributes as text; leave `types` out, or ask for the "
            "text with `matches`",
            query="",
        ),
    )


def _signals(evidence: Evidence, attempts: Attempts, wrong: Wrong) -> tuple[Signal, ...]:
    """Say what was read: which traces are the job's, and which attempt was the last, spans tell."""
    if evidence.covered(Signal.TRACES).state is CoverageState.ABSENT:
        return (Signal.LOGS,)
    foreign = any(one.code == "foreign_trace" for _, said in wrong for one in said)
    if foreign or not all(attempts.is_sure(line) for line, said in wrong if said):
        return (Signal.LOGS, Signal.TRACES)
    return (Signal.LOGS,)


def _told(params: LogFieldsParams, evidence: Evidence, attempts: Attempts) -> Told[LogLine]:
    def final(line: LogLine) -> bool:
        return _is_final(attempts, line)

    return Told(
        code="field",
        noun=params.logs.words(),
        name=_name,
        query=lambda line: logql(evidence, params.logs.service or line.service),
        ids=lambda line: line.span_id,
        final=final,
    )


def _name(line: LogLine) -> str:
    body = line.body if len(line.body) <= _LONGEST_BODY else f"{line.body[:_LONGEST_BODY]}…"
    where = line.instance or line.service or "no service.name"
    trace = f", trace {short(line.trace_id)}" if line.trace_id else ""
    return f"{line.severity or 'log'} `{body}` ({where}{trace})"


def _exists(
    params: LogFieldsParams,
    attempts: Attempts,
    wrong: Sequence[tuple[LogLine, Sequence[Complaint]]],
) -> bool:
    """Whether enough lines match, one is right, and no retry can take that back."""
    settled = [said for line, said in wrong if _is_final(attempts, line)]
    enough = len(settled) >= params.min_matches
    return params.on == "any" and enough and any(not said for said in settled)
