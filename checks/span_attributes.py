"""The attributes of a job's spans: there, of the right type and value, none that must not be."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from checks._attempts import Attempts, attempts_of
from checks._fields import Complaint, FieldRules, Piece, complaints
from checks._judge_fields import Told, earlier_notes, on_any, on_every
from checks._select import SpanSelector, attribute, keys_of, span_query
from checks._trace import key_of
from checks._unmatched import no_span, nothing_seen
from checks._verdict import Examined, decide
from checks._words import named
from validator.model import Evidence, Finding, Signal, Span, Verdict

KIND = "span_attributes"


class SpanAttributesParams(FieldRules):
    """Which spans, and what their attributes have to be."""

    spans: SpanSelector = Field(description="which spans: `service`, `name`, `kind`, `where`")
    on: Literal["every", "any"] = Field(
        "every", description="whether every span that matches is judged, or one has to be right"
    )
    min_matches: int = Field(
        1, ge=0, description="how many spans have to match; 0 where none is right too"
    )

    @model_validator(mode="after")
    def _asks_something(self) -> SpanAttributesParams:
        if self.says_nothing():
            raise ValueError(
                "says nothing of the attributes; give `require`, `types`, `equals`, `matches`, "
                "`one_of` or `absent` (`span_outcome` counts spans)"
            )
        if self.on == "any" and self.min_matches == 0:
            raise ValueError("`on: any` asks for one at least; `min_matches: 0` contradicts it")
        return self


def evaluate(params: SpanAttributesParams, evidence: Evidence) -> Verdict:
    """Judge the attributes of the spans that `params` selects."""
    attempts = attempts_of(evidence)
    wrong = _judged(params, attempts.judged)
    told = _told(params, evidence, attempts)
    findings = on_every(told, wrong) if params.on == "every" else on_any(told, wrong)
    findings += _too_few(params, evidence, attempts, len(wrong))
    fine = [span for span, said in wrong if not said]
    return decide(
        evidence,
        Examined(
            kind=KIND,
            signals=(Signal.TRACES,),
            count=len(wrong) or len(attempts.judged) * (params.min_matches == 0),
            summary=f"{len(fine)} of {len(wrong)} matching spans are as asked",
            findings=tuple(findings),
            notes=(
                *attempts.index.retry_notes(),
                *earlier_notes(
                    told,
                    lambda span: attempts.word(key_of(span)),
                    _judged(params, attempts.earlier),
                ),
            ),
            exists=_exists(params, attempts, wrong),
        ),
    )


def _judged(
    params: SpanAttributesParams, spans: tuple[Span, ...]
) -> list[tuple[Span, list[Complaint]]]:
    return [
        (span, complaints(params, _piece(span))) for span in spans if params.spans.selects(span)
    ]


def _piece(span: Span) -> Piece:
    return Piece(
        get=lambda key: attribute(span, key),
        known=lambda: keys_of(span.attributes, span.resource),
    )


def _told(params: SpanAttributesParams, evidence: Evidence, attempts: Attempts) -> Told[Span]:
    selector = params.spans
    return Told(
        code="attribute",
        noun=selector.words(),
        name=lambda span: f"{named(span)} {span.span_id} of trace {span.trace_id}",
        query=lambda span: span_query(evidence, selector, span),
        ids=lambda span: span.span_id,
        final=attempts.is_final,
    )


def _too_few(
    params: SpanAttributesParams, evidence: Evidence, attempts: Attempts, found: int
) -> list[Finding]:
    if found < params.min_matches:
        return [no_span(params.spans, evidence, attempts, (params.min_matches, found))]
    if not attempts.judged:
        return [nothing_seen(evidence, "none may match, but the job has to have left some")]
    return []


def _exists(
    params: SpanAttributesParams,
    attempts: Attempts,
    wrong: list[tuple[Span, list[Complaint]]],
) -> bool:
    """Whether enough spans match, one is right, and no retry can take that back."""
    settled = [said for span, said in wrong if attempts.is_final(span)]
    enough = len(settled) >= params.min_matches
    return params.on == "any" and enough and any(not said for said in settled)
