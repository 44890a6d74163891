"""Promises of `expression`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from checks._cel import Expression, compiled, offenders, reason_of
from tests.checks.build import (
    JOB,
    attempt,
    coverage,
    evidence,
    existing_job,
    job,
    log,
    sample,
    span,
    span_id,
)
from tests.checks.judging import (
    INCOMPLETE,
    WAITS_FOR_TRACES,
    judge,
    only,
    passes,
    refused,
    told,
)
from validator.judge import blocked
from validator.model import CoverageState, Evidence, JobState, Signal, Status

SPANS = [span("scraper", "work", took=20.0), span("search", "find")]
FULL = evidence(
    SPANS,
    [log("scraper", "done")],
    [sample("jobs_total", 1.0, before=True), sample("jobs_total", 3.0, labels={"a": "b"})],
)


def holds(expr: str, of: Evidence = FULL, **params: Any) -> Any:
    """Judge an expression."""
    metrics = {"metrics": ["jobs"]} if "samples" in expr else {}
    return judge("expression", {"expr": expr, "message": "it is so", **metrics, **params}, of)


@pytest.mark.parametrize(
    "expr",
    [
        "spans.all(s, s.attributes['job.id'] == job.id)",
        "spans.exists(s, s.duration_ms >= 20.0 && s.status == 'UNSET' && s.kind == 'INTERNAL')",
        "size(spans) == 2 && logs.size() == 1",
        "logs.all(l, l.severity == 'INFO' && has(l.attributes.job_id) && l.time_ms > 1.0)",
        "samples.exists(m, m.value - m.before == 3.0 && m.labels['a'] == 'b')",
        "job.state == 'passed' && size(job.traces) == 1",
        "spans.filter(s, s.service == 'scraper').map(t, t.name) == ['work']",
        "spans.map(s, s.name).exists_one(n, n.matches('^w.*k$'))",
    ],
)
def test_what_holds_passes(expr: str) -> None:
    """Every kind of evidence can be read under its documented names."""
    assert passes(holds(expr))


def test_what_does_not_hold_fails_with_the_message_and_the_offenders() -> None:
    """Of `items.all(…)` the items are named, and there is nothing that may still come."""
    verdict = holds("spans.all(s, s.name == 'work)')")
    assert (verdict.status, verdict.code, verdict.summary) == (
        Status.FAIL,
        "expression_false",
        "it is so",
    )
    assert set(only(verdict).spans) == {span_id("work"), span_id("find")}
    assert not only(verdict).absent
    logs = holds("logs.all(l, l.body == 'x')")
    assert "INFO `done` (scraper)" in told(logs)
    assert only(logs).query.startswith("{service_name=")
    assert "{a=b, traffic=synthetic} 3" in told(holds("samples.all(m, m.value < 2.0)"))
    many = evidence([span("a", f"s{n}") for n in range(7)])
    assert "… and 2 more" in told(holds("spans.all(s, s.service == 'b')", many))


def test_what_may_still_become_true_is_an_absence() -> None:
    """An expression of another form does not say which piece is wrong."""
    for expr in ("spans.exists(s, s.name == 'x')", "spans.all(s, false) || job.id == ''"):
        verdict = holds(expr)
        assert (verdict.code, only(verdict).absent) == ("expression_false", True)
        assert "false over 2 spans" in told(verdict)
    of_job = holds("job.state == 'failed'")
    assert (only(of_job).absent, "false over the job" in told(of_job)) == (False, True)


@pytest.mark.req("V-13")
@pytest.mark.parametrize(
    ("expr", "need"),
    [
        ("spans.all(s, false)", "spans"),
        ("logs.all(l, false)", "logs"),
        ("samples.all(m, m.value > 100.0)", "samples"),
    ],
)
def test_what_holds_for_nothing_proves_nothing(expr: str, need: str) -> None:
    """`all` of an empty list is true, and no pass."""
    verdict = holds(expr, evidence())
    assert (verdict.status, verdict.code) == (Status.FAIL, "nothing_seen")
    assert only(verdict).needs == ("job", need)
    assert verdict.examined == 0


@pytest.mark.req("V-13")
def test_signals_that_are_read_have_to_be_there() -> None:
    """`reads` adds a signal that the expression does not name."""
    verdict = holds("size(spans) > 0", evidence(SPANS), reads=["logs"])
    assert verdict.code == "nothing_seen"
    assert verdict.signals == (Signal.TRACES, Signal.LOGS)


@pytest.mark.parametrize(
    ("expr", "words"),
    [
        ("spans.exists(s, s.attributes.nope == 1)", "there is no `nope`"),
        ("spans.all(s, s.attributes['job.id'] > 1)", "No such overload"),
        ("spans.all(s, s.name.matches('('))", "regex"),
        ("spans[0].attributes['job.id']", f"it gives '{JOB}'"),
    ],
)
def test_what_cannot_be_evaluated_is_inconclusive(expr: str, words: str) -> None:
    """It is neither right nor wrong; the reason is said in a line."""
    verdict = holds(expr)
    assert (verdict.status, verdict.code) == (Status.INCONCLUSIVE, "expression_error")
    assert words in told(verdict)


def test_items_that_cannot_be_evaluated_do_not_hide_that_one_is_wrong() -> None:
    """`all` ends at the first that is wrong; which others are cannot be told then."""
    one = span("a", "odd", id="odd", ms=500, attributes={})
    expr = "spans.all(s, s.name != 'work' && s.attributes['job.id'] == job.id)"
    verdict = holds(expr, evidence([*SPANS, one]))
    assert verdict.code in ("expression_false", "expression_error")
    assert offenders(compiled(expr), {"spans": [{"name": "x"}], "job": {}}) == []


def test_values_that_cel_does_not_know_are_handed_over_as_near_ones() -> None:
    """Huge integers become decimals, arrays lists; nothing breaks."""
    odd = span(
        "a",
        "b",
        attributes={"big": 2**80, "f": float("nan"), "t": (1, (True,)), "m": {"x": None}},
    )
    for held in ("s.attributes.t[0] == 1", "s.attributes.big > 1.0", "size(s.attributes.m) == 1"):
        assert passes(holds(f"spans.all(s, {held})", evidence([odd])))


def test_superseded_attempts_are_not_read() -> None:
    """Only the last attempt's spans and lines are there."""
    heads = [attempt("scraper", "run/x", "t", id=f"a{n}", ms=n * 50) for n in (1, 2)]
    old = log("scraper", "failed", span_id=span_id("a1"))
    new = log("scraper", "done", span_id=span_id("a2"))
    assert passes(holds("size(spans) == 1 && size(logs) == 1", evidence(heads, [old, new])))


@pytest.mark.req("V-13")
@WAITS_FOR_TRACES
def test_lines_of_attempts_that_may_have_been_replaced_wait_for_the_spans(
    traces: CoverageState, status: Status
) -> None:
    """What is false because of them is so for good only when the spans are known."""
    tries = [attempt("scraper", "run/x", "t", id=f"a{n}", ms=n * 50) for n in (1, 2)]
    lines = [log("scraper", "failed", span_id=span_id("a1"), ms=60)]
    lines += [log("scraper", "done", span_id=span_id("a2"))]
    covered = coverage(CoverageState.SETTLED, traces=traces)
    expr = "logs.all(l, l.body == 'done')"
    unseen = holds(expr, evidence([], lines, coverage=covered))
    assert (unseen.status, only(unseen).absent) == (status, traces is not CoverageState.ABSENT)
    known = holds(expr, evidence(tries[:1], lines[:1], coverage=covered))
    assert (known.status, only(known).absent) == (status, False)
    assert holds(expr, evidence(tries, lines, coverage=covered)).status is Status.PASS
    of_none = [log("scraper", "failed", span_id="")]
    assert holds(expr, evidence([], of_none, coverage=covered)).status is Status.FAIL


@pytest.mark.req("V-13")
@pytest.mark.parametrize(
    ("growth", "code"),
    [
        ("m.before", "no_before"),
        ("m . before", "no_before"),
        ('m["before"]', "no_before"),
        ("m[ r'''before''' ]", "no_before"),
        ('m ["before"]', "expression_error"),
        ("m['be' + 'fore']", "expression_error"),
    ],
)
def test_of_a_job_that_was_there_before_us_no_growth_is_known(growth: str, code: str) -> None:
    """However `before` is spelled; what does not read it is judged."""
    expr = f"samples.all(m, m.value > {growth})"
    there = replace(FULL, job=existing_job())
    verdict = holds(expr, there)
    assert (verdict.status, verdict.code) == (Status.INCONCLUSIVE, code)
    assert passes(holds("samples.all(m, m.value > 0.0 && !(m.name in ['before']))", there))
    assert passes(holds(expr, replace(FULL, samples=FULL.samples[1:])))


def test_work_is_bounded() -> None:
    """Too many pieces, or nested macros over many, are not evaluated; patterns are linear."""
    many = evidence([span("a", "b", id=f"{n:016x}") for n in range(10_001)])
    verdict = holds("spans.all(s, true)", many)
    assert (verdict.status, verdict.code) == (Status.INCONCLUSIVE, "too_much_evidence")
    some = evidence([span("a", "b", id=f"{n:016x}") for n in range(1_001)])
    nested = "spans.all(s, spans.exists(t, t.name == s.name))"
    assert holds(nested, some).code == "too_much_evidence"
    assert passes(holds("spans.all(s, true) && spans.all(t, true)", some))
    slow = evidence([span("a", "a" * 50_000)])
    assert passes(holds("spans.all(s, !s.name.matches('^(a+)+$b'))", slow))


@pytest.mark.req("V-13")
@pytest.mark.parametrize("state", INCOMPLETE)
def test_nothing_passes_on_incomplete_evidence(state: CoverageState) -> None:
    """Whether more would change the answer is not known of an expression."""
    assert not passes(holds("spans.exists(s, true)", evidence(SPANS, state=state)))


def test_an_expression_of_the_job_alone_needs_no_telemetry() -> None:
    """It is complete when the job has ended."""
    assert passes(holds("job.status == 'done'", evidence(state=CoverageState.ABSENT)))
    running = evidence(job=job(ended=None), state=CoverageState.SETTLED)
    assert holds("job.status == 'done'", running).status is Status.PENDING


@pytest.mark.req("V-13")
def test_a_job_that_was_not_sent_fulfils_no_expression() -> None:
    """Whatever is true of it: inconclusive, with the reason, or blocked by the job's outcome."""
    unsent = job(state=JobState.NOT_SUBMITTED, detail="val-b has the lease", ended=None, id="")
    for expr in ("job.state != 'failed'", "job.state == 'failed'"):
        verdict = holds(expr, evidence(job=unsent))
        assert (verdict.status, verdict.code) == (Status.INCONCLUSIVE, "not_submitted")
        assert "val-b has the lease" in verdict.summary
    plain = holds("job.state != 'failed'", evidence(job=replace(unsent, detail="")))
    assert plain.summary == "the job was not submitted"
    waiting = holds("size(spans) > 0", evidence(job=unsent, state=CoverageState.OPEN))
    assert waiting.status is Status.PENDING
    outcome = judge("job_outcome", {}, evidence(job=unsent))
    assert blocked([outcome, verdict])[1].blocked_by == "job_outcome"


@pytest.mark.parametrize(
    ("expr", "words"),
    [
        ("1 +", "line 1, column 4: mismatched input"),
        ("spams.all(s, true)", "`spams` is not known; did you mean `spans`?"),
        ("zzz == 1 && job.id == ''", "known are job, logs, samples, spans"),
        ("spans.all(s, s.servce == 'x')", "`servce` is not known; did you mean `service`?"),
        ("job.stat == 'x'", "did you mean `state`?"),
        ("spans.al(s, s.name == 'x')", "function `al` is not known; did you mean `all`?"),
        ("spans.all(s, s.name.startWith('x'))", "did you mean `startsWith`?"),
        ("size(spans)", "has to be true or false; it gives 1"),
        ("1 == 1", "reads no evidence"),
        ("samples.exists(m, true)", "`metrics`"),
        ("job.id == '" + "x" * 4000 + "'", "longer than 4000"),
        ("", "at least 1 character"),
    ],
)
def test_a_bad_expression_is_refused_at_load(expr: str, words: str) -> None:
    """Where it is wrong and what is known is said before any run."""
    assert words in refused("expression", {"expr": expr, "message": "m"})


def test_a_name_that_is_bound_over_something_else_is_not_checked() -> None:
    """Only what ranges over the evidence has known fields."""
    expr = "spans.all(s, true) && spans.map(t, t.name).all(s, s.foo == 1)"
    assert isinstance(compiled(expr), Expression)
    assert compiled("logs.all(s, s.body != '') && spans.all(s, s.kind != '')").depth == 1


def test_brackets_in_text_do_not_confuse() -> None:
    """Text is skipped where the expression is read by eye."""
    expr = "spans.all(s, s.name != 'a) (b' && s.name != \"(\")"
    assert passes(holds(expr))
    assert compiled("job.id != ')' && spans.all(s, (s.name != ''))").depth == 1


def test_comments_do_not_confuse() -> None:
    """A bracket in a comment may hide which items are wrong, never that some are."""
    verdict = holds("spans.all(s, s.name == 'x' // (\n)")
    assert verdict.code == "expression_false"
    assert holds("spans.all(s, s.name == 'x' // why\n)").findings[0].spans


def test_what_the_parser_says_otherwise_is_passed_on() -> None:
    """A complaint without a place is said as it is, in a line."""
    assert reason_of("too deep\nat once") == "too deep"
