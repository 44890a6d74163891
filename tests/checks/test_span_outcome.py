"""Promises of `span_outcome`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.checks.build import attempt, evidence, span
from tests.checks.judging import INCOMPLETE, judge, only, passes, refused, told
from validator.model import CoverageState, SpanStatus, Status

WORK = {"service": "scraper", "name": "work"}
OK = span("scraper", "work", status=SpanStatus.OK)
BAD = span("scraper", "work", id="bad", status=SpanStatus.ERROR, status_message="403")


@pytest.mark.parametrize(
    ("status", "given", "fine"),
    [
        ("ok", SpanStatus.OK, True),
        ("ok", SpanStatus.UNSET, False),
        ("unset", SpanStatus.UNSET, True),
        ("not_error", SpanStatus.UNSET, True),
        ("not_error", SpanStatus.OK, True),
        ("not_error", SpanStatus.ERROR, False),
        ("error", SpanStatus.ERROR, True),
        ("error", SpanStatus.OK, False),
    ],
)
def test_the_status_of_every_span_is_judged(status: str, given: SpanStatus, fine: object) -> None:
    """Each word says which of OTLP's statuses will do."""
    one = span("scraper", "work", status=given)
    verdict = judge("span_outcome", {"spans": WORK, "status": status}, evidence([one]))
    assert passes(verdict) is fine
    if not fine:
        assert (verdict.code, only(verdict).final) == ("wrong_status", True)
        assert f"has the status {given}" in told(verdict)


def test_the_message_and_the_share_are_told() -> None:
    """What failed is named with its message; five are named, all are marked."""
    many = [replace(BAD, span_id=f"{n:016x}") for n in range(7)]
    finding = only(judge("span_outcome", {"spans": WORK, "status": "ok"}, evidence([OK, *many])))
    assert "ERROR: 403 (7 of 8)" in finding.summary
    assert finding.seen[-1] == "… and 2 more"
    assert len(finding.spans) == 7


@pytest.mark.parametrize(
    ("params", "took", "code"),
    [
        ({"max_duration": "5ms"}, 5.0, ""),
        ({"max_duration": "5ms"}, 6.0, "too_slow"),
        ({"min_duration": "5ms"}, 5.0, ""),
        ({"min_duration": "5ms"}, 4.0, "too_fast"),
        ({"min_duration": "1ms", "max_duration": "2s"}, -1.0, "bad_times"),
    ],
)
def test_durations_are_judged(params: dict[str, Any], took: float, code: str) -> None:
    """The bounds are allowed; a span that ends before it starts has no duration."""
    verdict = judge(
        "span_outcome", {"spans": WORK, **params}, evidence([span("scraper", "work", took=took)])
    )
    assert passes(verdict) is (not code)
    assert verdict.code == (code or "ok")


def test_a_span_that_never_started_has_no_duration() -> None:
    """A time of zero is no time."""
    verdict = judge(
        "span_outcome", {"spans": WORK, "max_duration": "1h"}, evidence([replace(OK, start=0)])
    )
    assert verdict.code == "bad_times"


@pytest.mark.parametrize(
    ("count", "found", "code"),
    [
        (None, 0, "no_match"),
        ({"min": 2}, 1, "too_few"),
        ({"min": 2}, 2, "ok"),
        ({"max": 1}, 2, "too_many"),
        ({"max": 2}, 0, "no_match"),
        ({"max": 2}, 2, "ok"),
        ({"min": 0, "max": 2}, 0, "ok"),
        ({"equals": 2}, 2, "ok"),
        ({"equals": 2}, 3, "too_many"),
        ({"equals": 2}, 1, "too_few"),
        ({"equals": 0}, 0, "ok"),
        ({"equals": 0}, 1, "too_many"),
        ({"max": 0}, 0, "ok"),
    ],
)
def test_spans_are_counted(count: dict[str, int] | None, found: int, code: str) -> None:
    """At least one has to match unless the suite says otherwise in so many words."""
    params: dict[str, Any] = {"spans": WORK} | (
        {"status": "unset"} if count is None else {"count": count}
    )
    spans = [span("scraper", "work", id=f"w{n}") for n in range(found)]
    verdict = judge("span_outcome", params, evidence([span("a", "b"), *spans]))
    assert verdict.code == code
    assert passes(verdict) is (code == "ok")
    if code in ("too_few", "no_match"):
        assert only(verdict).absent


@pytest.mark.req("V-13")
@pytest.mark.parametrize("state", INCOMPLETE)
@pytest.mark.parametrize(
    "params", [{"count": {"equals": 0}}, {"count": {"max": 3}}, {"status": "ok"}]
)
def test_nothing_passes_on_incomplete_evidence(
    state: CoverageState, params: dict[str, Any]
) -> None:
    """That there is none, or not too many, is known only when all is there."""
    spans = [span("a", "b")] if params.get("count") == {"equals": 0} else [OK]
    verdict = judge("span_outcome", {"spans": WORK, **params}, evidence(spans, state=state))
    assert not passes(verdict)
    assert verdict.status in (Status.PENDING, Status.INCONCLUSIVE)


@pytest.mark.req("V-13")
def test_none_among_no_spans_at_all_proves_nothing() -> None:
    """A job without a trace has no failed spans either."""
    verdict = judge("span_outcome", {"spans": WORK, "count": {"equals": 0}}, evidence())
    assert (verdict.status, verdict.code) == (Status.FAIL, "nothing_seen")
    assert only(verdict).needs == ("job", "spans")


def test_too_many_fails_at_once_only_if_no_retry_can_take_some_back() -> None:
    """Spans of an attempt may be replaced by the next."""
    params = {"spans": WORK, "count": {"max": 1}}
    two = [OK, BAD]
    assert judge("span_outcome", params, evidence(two, state=CoverageState.OPEN)).code == "too_many"
    head = attempt("scraper", "run/x", "t", id="a1", ms=1)
    tried = [replace(one, parent_id=head.span_id) for one in two]
    waiting = judge("span_outcome", params, evidence([head, *tried], state=CoverageState.OPEN))
    assert waiting.status is Status.PENDING
    assert not only(waiting).final


def test_earlier_attempts_are_told_only() -> None:
    """A retry that works is a pass, with a note of what failed before."""
    heads = [attempt("scraper", "run/x", "t", id=f"a{n}", ms=n * 50) for n in (1, 2)]
    bad = replace(BAD, parent_id=heads[0].span_id)
    good = span("scraper", "work", id="good", parent="a2", ms=101, status=SpanStatus.OK)
    verdict = judge("span_outcome", {"spans": WORK, "status": "ok"}, evidence([*heads, bad, good]))
    assert passes(verdict)
    assert any("attempt 1 of 2" in note and "ERROR: 403" in note for note in verdict.notes)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "says nothing of the spans"),
        ({"count": {}}, "give `min`, `max` or `equals`"),
        ({"count": {"min": 0}}, "true of any number"),
        ({"count": {"equals": 1, "min": 1}}, "leaves nothing"),
        ({"count": {"min": 2, "max": 1}}, "more than `max`"),
        ({"min_duration": "2s", "max_duration": "1s"}, "longer than `max_duration`"),
        ({"count": {"equals": 0}, "status": "ok"}, "wants none"),
        ({"max_duration": 5}, "needs its unit"),
        ({"status": "good"}, "not_error"),
    ],
)
def test_what_makes_no_sense_is_refused_at_load(params: dict[str, Any], words: str) -> None:
    """Nothing is half accepted."""
    assert words in refused("span_outcome", {"spans": WORK, **params})


def test_none_may_match_where_something_else_is_asked() -> None:
    """`min: 0` is right beside a status: what is there, if anything is, has to have it."""
    params = {"spans": WORK, "count": {"min": 0}, "status": "ok"}
    assert passes(judge("span_outcome", params, evidence([span("a", "b")])))
    assert judge("span_outcome", params, evidence([BAD])).status is Status.FAIL
