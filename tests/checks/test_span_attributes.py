"""Promises of `span_attributes`."""

from __future__ import annotations

from typing import Any

import pytest

from tests.checks.build import FAR, JOB, attempt, evidence, job, log, span
from tests.checks.judging import INCOMPLETE, judge, only, passes, refused, told
from validator.model import AttributeValue, CoverageState, Span, SpanKind, Status

pytestmark = pytest.mark.req("V-04")

GOOD = {
    "job.id": JOB,
    "job.url": "https://example.com/article",
    "job.stage": "scraping",
    "queue.name": "scrape",
    "request.mode": "async",
    "retries": 1,
    "attempts": 1,
}
SCRAPE = {"service": "scraper", "name": "scrape_task"}
PARAMS: dict[str, Any] = {
    "spans": SCRAPE,
    "require": ["job.id", "job.url", "job.stage", "queue.name", "request.mode"],
    "types": {"retries": "int"},
    "equals": {"job.id": JOB, "attempts": 1},
    "matches": {"job.url": "https://.*"},
    "one_of": {"request.mode": ["async", "sync"]},
    "absent": ["http.request.header.*", "password"],
}


def scrape(**changes: Any) -> Span:
    """Make a good scrape span with attributes changed; None takes one away."""
    attributes = {**GOOD, **{key.replace("__", "."): value for key, value in changes.items()}}
    return span(
        "scraper", "scrape_task", attributes={k: v for k, v in attributes.items() if v is not None}
    )


def test_a_span_with_everything_passes() -> None:
    """Presence, type, equality, pattern and choice hold together."""
    verdict = judge("span_attributes", PARAMS, evidence([scrape(), span("a", "b")]))
    assert passes(verdict)
    assert verdict.examined == 1


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"queue__name": None, "queue_name": "q"}, "attribute_missing", "was `queue.name` renamed"),
        ({"queue__name": None}, "attribute_missing", "no longer sets it"),
        ({"queue__name": "  "}, "attribute_empty", "present but empty"),
        ({"retries": True}, "attribute_type", "`retries` = true (bool)"),
        ({"retries": "1"}, "attribute_type", '`retries` = "1" (string)'),
        ({"job__id": "other"}, "attribute_value", f'`job.id` = "{JOB}" (string)'),
        ({"job__url": "ftp://x"}, "attribute_value", "matching /https://.*/"),
        ({"job__url": b"https://x"}, "attribute_value", "(bytes)"),
        ({"attempts": True}, "attribute_value", "`attempts` = true (bool)"),
        ({"attempts": 1.0}, "attribute_value", "`attempts` = 1.0 (float)"),
        ({"job__url": 7}, "attribute_value", "`job.url` = 7 (int)"),
        ({"request__mode": "batch"}, "attribute_value", 'one of "async", "sync"'),
        ({"password": "hunter2"}, "attribute_forbidden", "has `password`"),
        ({"http__request__header__cookie": "x"}, "attribute_forbidden", "header.cookie"),
    ],
)
def test_what_is_wrong_is_said_with_name_value_and_query(
    change: dict[str, Any], code: str, words: str
) -> None:
    """Each kind of wrong has its code; the span, its ids and the query to paste are named."""
    wrong = scrape(**change)
    verdict = judge("span_attributes", PARAMS, evidence([wrong]))
    finding = only(verdict)
    assert (verdict.status, verdict.code, finding.final) == (Status.FAIL, code, True)
    text = told(verdict)
    for word in (words, "scrape_task", wrong.span_id, wrong.trace_id, 'name = "scrape_task"'):
        assert word in text
    assert finding.spans == (wrong.span_id,)
    assert "hunter2" not in text


def test_two_independent_wrongs_are_both_told() -> None:
    """One finding for each, none hidden."""
    verdict = judge("span_attributes", PARAMS, evidence([scrape(queue__name=None, job__id="x")]))
    assert {finding.code for finding in verdict.findings} == {
        "attribute_missing",
        "attribute_value",
    }
    assert "(and 1 more)" in verdict.summary
    assert "trace:id" in verdict.findings[0].query


def test_one_wrong_on_many_spans_is_one_finding() -> None:
    """The share is said, a few spans are named, all are marked."""
    spans = [span("scraper", "scrape_task", id=f"s{n}", attributes={}) for n in range(7)]
    spans += [span("scraper", "scrape_task", id="good", attributes=GOOD)]
    finding = only(
        judge("span_attributes", {"spans": SCRAPE, "require": ["queue.name"]}, evidence(spans))
    )
    assert "(on 7 of 8)" in finding.summary
    assert "1 of 8 have it" in finding.likely
    assert finding.seen[-1] == "… and 2 more"
    assert len(finding.spans) == 7


def test_an_attribute_of_the_resource_or_within_a_map_counts() -> None:
    """`resource.` leads to the resource, dots lead into maps."""
    one = span("a", "b", attributes={"http": {"request": {"size": 3}}, "a.b": {"c": 1}})
    params = {
        "spans": {"service": "a"},
        "equals": {"http.request.size": 3, "a.b.c": 1, "resource.service.version": "1.2.3"},
    }
    assert passes(judge("span_attributes", params, evidence([one])))
    wrong = {"spans": {"service": "a"}, "require": ["http.request.nope", "resource.nope"]}
    assert judge("span_attributes", wrong, evidence([one])).status is Status.FAIL


@pytest.mark.parametrize("pattern", ["*password*", "user.*", "user.password", "*.password"])
def test_what_must_not_be_there_is_found_within_maps(pattern: str) -> None:
    """A glob meets what its exact key would meet, in attributes and in the resource."""
    secret = {"password": "hunter2"}
    own = span("a", "b", attributes={"user": secret, "job.id": JOB})
    verdict = judge("span_attributes", {"spans": {}, "absent": [pattern]}, evidence([own]))
    assert (verdict.code, only(verdict).spans) == ("attribute_forbidden", (own.span_id,))
    assert "has `user.password`" in verdict.summary
    of_host = span("a", "b", resource={"user": secret})
    params = {"spans": {}, "absent": [f"resource.{pattern}"]}
    assert (
        "has `resource.user.password`"
        in judge("span_attributes", params, evidence([of_host])).summary
    )


def test_maps_within_maps_are_looked_into_as_deep_as_they_are_sent() -> None:
    """As deep as protobuf carries them all is found; what is deeper than that breaks nothing."""

    def nested(depth: int) -> Span:
        value: AttributeValue = "x"
        for _ in range(depth):
            value = {"password": value, "name": "y"}
        return span("a", "b", attributes={"user": value})

    params = {"spans": {}, "absent": ["user" + ".password" * 32 + "*"]}
    assert judge("span_attributes", params, evidence([nested(31)])).status is Status.PASS
    assert judge("span_attributes", params, evidence([nested(32)])).status is Status.FAIL
    params = {"spans": {}, "absent": ["*secret*"]}
    assert judge("span_attributes", params, evidence([nested(5000)])).status is Status.PASS


@pytest.mark.req("V-13")
@pytest.mark.parametrize(
    ("selector", "words", "needs"),
    [
        ({"service": "scraper", "name": "scrape_tusk"}, "renamed to `scrape_task`", ("job",)),
        ({"service": "scraper", "name": "zzz"}, "no longer instrumented", ("job",)),
        ({"service": "scrapper"}, "nearest service: `scraper`", ("job", "spans:scrapper")),
        ({"service": "zzz"}, "not reached", ("job", "spans:zzz")),
        ({**SCRAPE, "kind": "server"}, "not SERVER", ("job",)),
        ({**SCRAPE, "where": {"job.stage": "x"}}, '"scraping", not "x"', ("job",)),
        ({**SCRAPE, "where": {"job_stage": "x"}}, "has `job.stage`", ("job",)),
        (
            {**SCRAPE, "where": {"zzz": "x", "retries": 1}},
            "has no `zzz`",
            ("job",),
        ),
        (
            {**SCRAPE, "where": {"job.stage": {"matches": "chunk.*"}}},
            "not matching /chunk.*/",
            ("job",),
        ),
        ({"name": "zzz"}, "1 spans: scrape_task", ("job",)),
    ],
)
def test_a_selector_that_matches_nothing_fails_and_says_what_came_near(
    selector: dict[str, Any], words: str, needs: tuple[str, ...]
) -> None:
    """No match is a failure, with the nearest candidate, and with what it hangs on."""
    verdict = judge(
        "span_attributes", {"spans": selector, "require": ["job.id"]}, evidence([scrape()])
    )
    finding = only(verdict)
    assert (verdict.status, finding.code, finding.absent) == (Status.FAIL, "no_match", True)
    assert words in told(verdict)
    assert finding.needs == needs
    assert verdict.examined == 0


@pytest.mark.req("V-13")
def test_no_span_at_all_never_passes() -> None:
    """Not even where none has to match: there was nothing to look at."""
    for extra in ({}, {"min_matches": 0}):
        verdict = judge("span_attributes", {**PARAMS, **extra}, evidence())
        assert verdict.status is Status.FAIL
        assert "spans" in only(verdict).needs


def test_none_may_match_where_the_suite_says_so() -> None:
    """With `min_matches: 0` other spans of the job are evidence that there was something."""
    verdict = judge("span_attributes", {**PARAMS, "min_matches": 0}, evidence([span("a", "b")]))
    assert passes(verdict)


def test_fewer_than_asked_fail() -> None:
    """The count is told."""
    verdict = judge("span_attributes", {**PARAMS, "min_matches": 2}, evidence([scrape()]))
    assert (verdict.code, "only 1" in verdict.summary) == ("too_few", True)


def test_the_last_attempt_is_judged_and_earlier_ones_are_told() -> None:
    """A wrong value on an attempt that another replaced is a note; on the last it fails."""
    tries = [attempt("scraper", "run/scrape", "t1", id=f"a{n}", ms=n * 50) for n in (1, 2)]
    works = [
        span("scraper", "scrape_task", id=f"s{n}", parent=f"a{n}", ms=n * 50 + 1, attributes=has)
        for n, has in ((1, {}), (2, GOOD))
    ]
    verdict = judge("span_attributes", PARAMS, evidence([*tries, *works]))
    assert passes(verdict)
    assert any(note.startswith("attempt 1 of 2: `scrape_task`") for note in verdict.notes)
    only_first = judge("span_attributes", PARAMS, evidence([*tries, works[0]]))
    assert only_first.code == "no_match"
    assert "1 on attempts that another replaced" in told(only_first)


def test_an_attempt_without_its_head_is_told_as_earlier() -> None:
    """What a killed attempt left behind is no attempt of a number."""
    last = attempt("scraper", "run/scrape", "t1", id="a2", ms=50)
    remains = span(
        "scraper", "scrape_task", id="s1", parent="a1", ms=1, attributes={"task.id": "t1"}
    )
    good = span("scraper", "scrape_task", id="s2", parent="a2", ms=51, attributes=GOOD)
    verdict = judge("span_attributes", PARAMS, evidence([last, remains, good]))
    assert passes(verdict)
    assert any(note.startswith("an earlier attempt: ") for note in verdict.notes)


@pytest.mark.parametrize("where", ["attempt", "orphan", "task"])
def test_what_a_retry_may_mend_waits(where: str) -> None:
    """A wrong span of an attempt, or one whose ancestors are not all there, is not final."""
    head = attempt("scraper", "run/scrape", "t1", id="a1", ms=1)
    parent = {"attempt": "a1", "orphan": "unseen", "task": "5e5e5e5e5e5e5e5e"}[where]
    has = {"task.id": "t1"} if where == "task" else {}
    wrong = span("scraper", "scrape_task", parent=parent, attributes=has)
    verdict = judge("span_attributes", PARAMS, evidence([head, wrong], state=CoverageState.OPEN))
    assert verdict.status is Status.PENDING
    assert not any(finding.final for finding in verdict.findings)


def test_what_no_retry_can_mend_fails_at_once() -> None:
    """Outside of any attempt a wrong value decides while more may come."""
    wrong = evidence([scrape(job__id="x")], state=CoverageState.OPEN)
    assert judge("span_attributes", PARAMS, wrong).status is Status.FAIL


@pytest.mark.req("V-13")
@pytest.mark.parametrize("state", INCOMPLETE)
def test_no_pass_on_incomplete_evidence_but_for_one_that_exists(state: CoverageState) -> None:
    """`on: every` waits for completeness; `on: any` passes with one that nothing can replace."""
    found = evidence([scrape(), scrape()], state=state)
    assert not passes(judge("span_attributes", PARAMS, found))
    assert passes(judge("span_attributes", {**PARAMS, "on": "any"}, found))
    head = attempt("scraper", "run/scrape", "t1", id="a1", ms=1)
    tried = span("scraper", "scrape_task", parent="a1", attributes=GOOD)
    replaceable = evidence([head, tried], state=state)
    assert not passes(judge("span_attributes", {**PARAMS, "on": "any"}, replaceable))
    two = {**PARAMS, "on": "any", "min_matches": 2}
    assert not passes(judge("span_attributes", two, found))


def test_any_fails_when_none_is_right_and_tells_of_the_nearest() -> None:
    """The span with the least wrong is shown."""
    spans = [
        span("scraper", "scrape_task", id="s1", attributes={}),
        span("scraper", "scrape_task", id="s2", attributes={**GOOD, "job.id": "x"}),
    ]
    verdict = judge("span_attributes", {**PARAMS, "on": "any"}, evidence(spans))
    assert (verdict.code, only(verdict).absent) == ("none_fits", True)
    assert only(verdict).spans == (spans[1].span_id,)
    assert passes(judge("span_attributes", {**PARAMS, "on": "any"}, evidence([*spans, scrape()])))


def test_kinds_and_links_do_not_matter_unless_named() -> None:
    """A root in another trace is judged like any span of the job."""
    far = span("scraper", "scrape_task", trace=FAR, parent="", kind=SpanKind.SERVER, attributes={})
    verdict = judge(
        "span_attributes",
        {"spans": {**SCRAPE, "kind": "SERVER"}, "require": ["job.id"]},
        evidence([far], [log("scraper", "x")], job=job(sent_parent="")),
    )
    assert (verdict.status, only(verdict).final) == (Status.FAIL, True)
    assert FAR in only(verdict).query


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"require": [], "types": {}, "equals": {}, "matches": {}, "one_of": {}, "absent": []},
         "says nothing of the attributes"),
        ({"on": "any", "min_matches": 0}, "contradicts"),
        ({"absent": ["job.*"]}, "`absent` (job.*) forbids it"),
        ({"one_of": {"a": []}}, "no values to choose from"),
        ({"matches": {"a": "("}}, "not a regular expression"),
        ({"types": {"a": "text"}}, "string"),
        ({"spans": {"kind": 3}}, "kind"),
        ({"spans": {"srevice": "x"}}, "srevice"),
        ({"min_matches": -1}, "greater than or equal to 0"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_at_load(change: dict[str, Any], words: str) -> None:
    """Nothing is half accepted."""
    assert words in refused("span_attributes", {**PARAMS, **change})


def test_a_pattern_in_where_selects() -> None:
    """A condition may be a pattern; what is not text matches none."""
    for key, found in (("job.url", True), ("retries", False), ("nope", False)):
        selector = {**SCRAPE, "where": {key: {"matches": ".*"}}}
        verdict = judge(
            "span_attributes", {"spans": selector, "require": ["job.id"]}, evidence([scrape()])
        )
        assert passes(verdict) is found
