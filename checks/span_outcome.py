"""How a job's spans ended: their status, how long they took, and how many there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, model_validator

from checks._attempts import Attempts, attempts_of
from checks._bounded import few, marked
from checks._params import Params
from checks._select import SpanSelector, span_query
from checks._trace import key_of
from checks._unmatched import no_span, nothing_seen
from checks._values import Duration
from checks._verdict import Examined, decide
from checks._words import duration, named
from validator.model import Evidence, Finding, Signal, Span, SpanStatus, Verdict

KIND = "span_outcome"

_MOST_NAMED = 5
_STATUSES = {
    "unset": (SpanStatus.UNSET,),
    "ok": (SpanStatus.OK,),
    "error": (SpanStatus.ERROR,),
    "not_error": (SpanStatus.UNSET, SpanStatus.OK),
}


class Count(Params):
    """How many spans there have to be."""

    min: int | None = Field(None, ge=0, description="at least so many")
    max: int | None = Field(None, ge=0, description="at most so many")
    equals: int | None = Field(None, ge=0, description="exactly so many; 0: none is what is wanted")

    @model_validator(mode="after")
    def _consistent(self) -> Count:
        if (self.min, self.max, self.equals) == (None, None, None):
            raise ValueError("give `min`, `max` or `equals`")
        if self.equals is not None and (self.min is not None or self.max is not None):
            raise ValueError("`equals` leaves nothing for `min` and `max` to say")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"`min` ({self.min}) is more than `max` ({self.max})")
        return self

    @property
    def least(self) -> int:
        """Return how many there have to be: one, unless none is allowed in so many words."""
        if self.equals is not None:
            return self.equals
        if self.min is not None:
            return self.min
        return 0 if self.max == 0 else 1

    @property
    def most(self) -> int | None:
        """Return how many there may be, None for any number."""
        return self.max if self.equals is None else self.equals


class SpanOutcomeParams(Params):
    """Which spans, and how they have to have ended."""

    spans: SpanSelector = Field(description="which spans: `service`, `name`, `kind`, `where`")
    status: Literal["unset", "ok", "error", "not_error"] | None = Field(
        None, description="the status of every span that matches"
    )
    min_duration: Duration | None = Field(None, description="how long each takes at least")
    max_duration: Duration | None = Field(None, description="how long each takes at most")
    count: Count | None = Field(
        None, description="how many there are: `min`, `max` or `equals` (default: at least one)"
    )

    @model_validator(mode="after")
    def _asks_something(self) -> SpanOutcomeParams:
        shortest, longest = self.min_duration, self.max_duration
        judged = (self.status, shortest, longest)
        if judged == (None, None, None) and self.count is None:
            raise ValueError(
                "says nothing of the spans; give `status`, `min_duration`, `max_duration` "
                "or `count`"
            )
        if judged == (None, None, None) and (self.least, self.most) == (0, None):
            raise ValueError(
                "`count: {min: 0}` alone is true of any number; give `max`, `status` or a duration"
            )
        if shortest is not None and longest is not None and shortest > longest:
            raise ValueError("`min_duration` is longer than `max_duration`")
        if self.count is not None and self.count.most == 0 and judged != (None, None, None):
            raise ValueError("`count` wants none, so there is nothing to have a status or duration")
        return self

    @property
    def least(self) -> int:
        """Return how many spans there have to be."""
        return 1 if self.count is None else self.count.least

    @property
    def most(self) -> int | None:
        """Return how many spans there may be, None for any number."""
        return None if self.count is None else self.count.most


@dataclass(frozen=True, slots=True)
class _Rule:
    """One thing asked of every span: `broken` says of a span what is wrong, empty if nothing."""

    code: str
    expected: str
    likely: str
    broken: Callable[[Span], str]


def evaluate(params: SpanOutcomeParams, evidence: Evidence) -> Verdict:
    """Judge how the spans that `params` selects ended."""
    attempts = attempts_of(evidence)
    matched = [span for span in attempts.judged if params.spans.selects(span)]
    rules = _rules(params)
    findings = [
        *_counted(params, evidence, attempts, matched),
        *(
            found
            for rule in rules
            for found in _broken(params, evidence, attempts, (rule, matched))
        ),
    ]
    return decide(
        evidence,
        Examined(
            kind=KIND,
            signals=(Signal.TRACES,),
            count=len(matched) or len(attempts.judged) * (params.least == 0),
            summary=f"{len(matched)} matching spans ended as asked"
            if matched
            else f"none of {len(attempts.judged)} spans matches, as asked",
            findings=tuple(findings),
            notes=(*attempts.index.retry_notes(), *_earlier_notes(params, attempts, rules)),
        ),
    )


def _rules(params: SpanOutcomeParams) -> list[_Rule]:
    rules = []
    if params.status is not None:
        rules.append(_status_rule(params.status))
    if params.min_duration is not None or params.max_duration is not None:
        rules.append(_times_rule())
    if params.max_duration is not None:
        rules.append(_slow_rule(params.max_duration))
    if params.min_duration is not None:
        rules.append(_fast_rule(params.min_duration))
    return rules


def _status_rule(wanted: str) -> _Rule:
    def broken(span: Span) -> str:
        if span.status in _STATUSES[wanted]:
            return ""
        message = f": {span.status_message[:200]}" if span.status_message else ""
        return f"has the status {span.status}{message}"

    likely = (
        "an error is swallowed before the span learns of it"
        if wanted == "error"
        else "the work failed, or what is expected to fail there is recorded as an error"
    )
    return _Rule("wrong_status", f"status {wanted}", likely, broken)


def _has_times(span: Span) -> bool:
    return 0 < span.start <= span.end


def _times_rule() -> _Rule:
    def broken(span: Span) -> str:
        return "" if _has_times(span) else f"has no valid times: {span.start} to {span.end}"

    likely = "the span was never ended, or its clock was set back while it ran"
    return _Rule("bad_times", "a start and an end after it", likely, broken)


def _slow_rule(longest: float) -> _Rule:
    def broken(span: Span) -> str:
        took = span.end - span.start
        return f"took {duration(took)}" if _has_times(span) and took > longest * 1e9 else ""

    likely = "what it waits for got slower, or it does more than it did"
    return _Rule("too_slow", f"at most {duration(longest * 1e9)} each", likely, broken)


def _fast_rule(shortest: float) -> _Rule:
    def broken(span: Span) -> str:
        took = span.end - span.start
        return f"took only {duration(took)}" if _has_times(span) and took < shortest * 1e9 else ""

    likely = "the work is skipped (a cache, an early return), or the span no longer encloses it"
    return _Rule("too_fast", f"at least {duration(shortest * 1e9)} each", likely, broken)


def _broken(
    params: SpanOutcomeParams,
    evidence: Evidence,
    attempts: Attempts,
    asked: tuple[_Rule, list[Span]],
) -> list[Finding]:
    rule, matched = asked
    wrong = [(span, said) for span in matched if (said := rule.broken(span))]
    if not wrong:
        return []
    more = [f"… and {len(wrong) - _MOST_NAMED} more"] if len(wrong) > _MOST_NAMED else []
    share = f" ({len(wrong)} of {len(matched)})" if len(matched) > 1 else ""
    return [
        Finding(
            code=rule.code,
            summary=f"{params.spans.words()} {wrong[0][1]}{share}",
            expected=f"{params.spans.words()}: {rule.expected}",
            seen=tuple([f"{_name(span)} {said}" for span, said in wrong[:_MOST_NAMED]] + more),
            likely=rule.likely,
            query=span_query(evidence, params.spans, wrong[0][0]),
            spans=marked(span.span_id for span, _ in wrong),
            final=any(attempts.is_final(span) for span, _ in wrong),
        )
    ]


def _name(span: Span) -> str:
    return f"{named(span)} {span.span_id} of trace {span.trace_id}"


def _counted(
    params: SpanOutcomeParams, evidence: Evidence, attempts: Attempts, matched: list[Span]
) -> list[Finding]:
    if len(matched) < params.least:
        return [no_span(params.spans, evidence, attempts, (params.least, len(matched)))]
    if params.most is not None and len(matched) > params.most:
        return [_too_many(params, evidence, attempts, matched)]
    if not attempts.judged:
        return [nothing_seen(evidence, "none may match, but the job has to have left some")]
    return []


def _too_many(
    params: SpanOutcomeParams, evidence: Evidence, attempts: Attempts, matched: list[Span]
) -> Finding:
    most = params.most or 0
    lasting = sum(map(attempts.is_final, matched))
    return Finding(
        code="too_many",
        summary=f"{len(matched)} {params.spans.words()}, {most or 'none'} expected",
        expected=f"at most {most} {params.spans.words()}" if most else f"no {params.spans.words()}",
        seen=tuple(f"{_name(span)}, status {span.status}" for span in matched[:_MOST_NAMED]),
        likely="the work is done more often than it should: a call is repeated, or a task was "
        "retried whose spans carry no task id",
        query=span_query(evidence, params.spans, matched[0]),
        spans=marked(span.span_id for span in matched),
        final=lasting > most,
    )


def _earlier_notes(
    params: SpanOutcomeParams, attempts: Attempts, rules: list[_Rule]
) -> tuple[str, ...]:
    return few(
        f"{attempts.word(key_of(span))}: {_name(span)} {said}"
        for span in attempts.earlier
        if params.spans.selects(span)
        for rule in rules
        if (said := rule.broken(span))
    )
