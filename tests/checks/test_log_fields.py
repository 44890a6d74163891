"""Promises of `log_fields`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.checks.build import FAR, JOB, TRACE, attempt, coverage, evidence, job, log, span, span_id
from tests.checks.judging import (
    INCOMPLETE,
    WAITS_FOR_TRACES,
    judge,
    only,
    passes,
    refused,
    told,
)
from validator.model import CoverageState, LogLine, Span, Status, TraceRef

pytestmark = pytest.mark.req("V-06")

FIELDS = {"failed_stage": "scraping", "error_code": "http_403", "job_id": JOB}
PARAMS: dict[str, Any] = {
    "logs": {"service": "scraper", "severity_at_least": "ERROR"},
    "require": ["failed_stage", "error_code", "trace_id", "job_id"],
    "equals": {"job_id": JOB},
    "trace_is_job": True,
}


def failure(**fields: Any) -> LogLine:
    """Make a good failure line, with fields of the line changed."""
    made = {"severity": "ERROR", "attributes": FIELDS, **fields}
    return log("scraper", "blocked by the site", **made)


ROOT = span("orchestrator", "root", id="root")


def test_a_line_with_everything_passes() -> None:
    """A line delivered twice is one line; less severe lines do not matter."""
    lines = [failure(), replace(failure(), source="loki", seen=1.0), log("scraper", "fetching")]
    verdict = judge("log_fields", PARAMS, evidence([ROOT], lines))
    assert passes(verdict)
    assert verdict.examined == 1


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        (failure(trace_id=""), "field_missing", "found by the job's id only"),
        (failure(trace_id=FAR), "foreign_trace", f"names trace {FAR}"),
        (failure(attributes={**FIELDS, "error_code": ""}), "field_empty", "present but empty"),
        (failure(attributes={k: v for k, v in FIELDS.items() if k != "failed_stage"}),
         "field_missing", "has no `failed_stage`"),
        (failure(attributes={**FIELDS, "job_id": "x"}), "field_value", '`job_id` = "x"'),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_the_line_and_the_query(
    line: LogLine, code: str, words: str
) -> None:
    """The body, the instance and a query to paste are named."""
    verdict = judge("log_fields", PARAMS, evidence([ROOT], [line]))
    assert (verdict.status, only(verdict).code) == (Status.FAIL, code)
    for word in (words, "blocked by the site", "scraper-1", '{service_name="scraper"} | job_id='):
        assert word in told(verdict)


def test_a_line_outside_of_any_span_is_explained() -> None:
    """Without a trace the likely cause is lost context; the body of a long line is cut."""
    line = replace(failure(trace_id="", severity="FATAL"), body="x" * 200)
    params = {**PARAMS, "trace_is_job": False}
    verdict = judge("log_fields", params, evidence([], [line]))
    assert "outside of a span" in told(verdict)
    assert f"{'x' * 80}…" in told(verdict)


def test_the_trace_may_stand_in_an_attribute() -> None:
    """Backends that keep only JSON have it there; a record's own field goes first."""
    line = failure(trace_id="", attributes={**FIELDS, "trace_id": TRACE.upper()})
    assert passes(judge("log_fields", PARAMS, evidence([ROOT], [line])))
    empty = failure(trace_id="", attributes={**FIELDS, "trace_id": ""})
    assert judge("log_fields", PARAMS, evidence([ROOT], [empty])).code == "field_missing"
    odd = failure(trace_id="", attributes={**FIELDS, "trace_id": 7})
    assert not passes(judge("log_fields", PARAMS, evidence([ROOT], [odd])))


def test_a_trace_that_only_the_line_itself_vouches_for_is_not_the_jobs() -> None:
    """The job's id on a line of another trace does not make that trace the job's; a span does."""
    of = job(traces=(TraceRef(TRACE, "sent"), TraceRef(FAR, "job_id")))
    line = failure(trace_id=FAR)
    assert judge("log_fields", PARAMS, evidence([ROOT], [line], job=of)).code == "foreign_trace"
    far = span("scraper", "work", trace=FAR, parent="")
    assert passes(judge("log_fields", PARAMS, evidence([ROOT, far], [line], job=of)))


@WAITS_FOR_TRACES
def test_whose_trace_it_is_may_depend_on_the_spans(traces: CoverageState, status: Status) -> None:
    """A strange trace may turn out to be the job's while spans are awaited or unknown."""
    covered = coverage(CoverageState.SETTLED, traces=traces)
    line = failure(trace_id=FAR)
    assert judge("log_fields", PARAMS, evidence([], [line], coverage=covered)).status is status


@pytest.mark.parametrize(
    ("logs", "line", "words"),
    [
        ({"service": "scrapper"}, failure(), "nearest service: `scraper`"),
        ({"service": "zzz"}, failure(), "its logs are not exported"),
        ({"severity_at_least": "ERROR"}, failure(severity="INFO"), "INFO `blocked"),
        ({"severity_at_least": "ERROR"}, failure(severity=""), "no severity `blocked"),
        ({"where": {"failed.stage": "scraping"}}, failure(), "has `failed_stage`"),
        ({"where": {"zzz": "x", "error_code": "http_403"}}, failure(), "it has no `zzz`"),
        ({"where": {"error_code": "http_404"}}, failure(), 'it has `error_code` = "http_403"'),
    ],
)
@pytest.mark.req("V-13")
def test_a_selector_that_matches_nothing_fails_and_says_what_came_near(
    logs: dict[str, Any], line: LogLine, words: str
) -> None:
    """No match is a failure with the nearest candidate."""
    verdict = judge("log_fields", {**PARAMS, "logs": logs}, evidence([ROOT], [line]))
    assert (verdict.code, only(verdict).absent, verdict.examined) == ("no_match", True, 0)
    assert words in told(verdict)
    if logs.get("service") is None:
        assert "looked for under `job.id`, `job_id`" in told(verdict)


@pytest.mark.req("V-13")
def test_no_line_at_all_never_passes() -> None:
    """Not even where none has to match: there was nothing to look at."""
    for extra in ({}, {"min_matches": 0}):
        verdict = judge("log_fields", {**PARAMS, **extra}, evidence([ROOT]))
        assert verdict.status is Status.FAIL
        assert "logs" in only(verdict).needs
    assert only(judge("log_fields", PARAMS, evidence([ROOT]))).needs == (
        "job",
        "logs:scraper",
        "logs",
    )


def test_none_may_match_where_the_suite_says_so() -> None:
    """With `min_matches: 0` other lines of the job show that there was something."""
    params = {**PARAMS, "min_matches": 0}
    assert passes(judge("log_fields", params, evidence([ROOT], [log("scraper", "fine")])))


def test_fewer_than_asked_fail() -> None:
    """The count is told."""
    verdict = judge("log_fields", {**PARAMS, "min_matches": 2}, evidence([ROOT], [failure()]))
    assert (verdict.code, "only 1" in verdict.summary) == ("too_few", True)


def test_lines_of_earlier_attempts_are_told_only() -> None:
    """What an attempt logged that another replaced is a note."""
    tries = [attempt("scraper", "run/scrape", "t1", id=f"a{n}", ms=n * 50) for n in (1, 2)]
    old = failure(span_id=span_id("a1"), attributes={}, ms=60)
    new = failure(span_id=span_id("a2"), ms=110)
    verdict = judge("log_fields", PARAMS, evidence(tries, [old, new]))
    assert passes(verdict)
    assert any(note.startswith("attempt 1 of 2: ERROR") for note in verdict.notes)


def test_a_wrong_line_decides_at_once_only_where_no_retry_can_replace_it() -> None:
    """A line of a span outside of any attempt is final; one without a known span waits."""
    wrong = failure(attributes={})
    at_once = evidence([ROOT], [wrong], state=CoverageState.OPEN)
    assert judge("log_fields", PARAMS, at_once).status is Status.FAIL
    later = evidence([], [wrong], state=CoverageState.OPEN)
    assert judge("log_fields", PARAMS, later).status is Status.PENDING


TRIES = [attempt("scraper", "run/scrape", "t1", id=f"a{n}", ms=n * 50) for n in (1, 2)]
TRIED = [failure(span_id=span_id("a1"), attributes={}, ms=60), failure(span_id=span_id("a2"))]


@pytest.mark.req("V-13")
@pytest.mark.parametrize("spans", [[], [ROOT], TRIES[:1], [ROOT, TRIES[1]]])
@WAITS_FOR_TRACES
def test_a_wrong_line_of_an_attempt_that_may_have_been_replaced_waits_for_the_spans(
    spans: list[Span], traces: CoverageState, status: Status
) -> None:
    """Which attempt was the last, spans tell: where there are to be any, not the lines alone."""
    covered = coverage(CoverageState.SETTLED, traces=traces)
    verdict = judge("log_fields", PARAMS, evidence(spans, TRIED, coverage=covered))
    finding = next(one for one in verdict.findings if one.code == "field_missing")
    assert verdict.status is status
    assert finding.absent is (traces is not CoverageState.ABSENT)
    assert passes(judge("log_fields", {**PARAMS, "on": "any"}, evidence(spans, TRIED)))


@pytest.mark.req("V-13")
def test_a_line_of_no_attempt_is_judged_without_the_spans() -> None:
    """What names no span, or one below no attempt, no later attempt replaces."""
    covered = coverage(CoverageState.SETTLED, traces=CoverageState.UNREACHABLE)
    for wrong in (failure(span_id="", attributes={}), failure(attributes={})):
        verdict = judge("log_fields", PARAMS, evidence([ROOT], [wrong], coverage=covered))
        assert verdict.status is Status.FAIL
        assert not any(finding.absent for finding in verdict.findings)


@pytest.mark.req("V-13")
@pytest.mark.parametrize("state", INCOMPLETE)
def test_no_pass_on_incomplete_evidence_but_for_one_that_exists(state: CoverageState) -> None:
    """`on: any` passes early with a line of a span that no retry can replace."""
    found = evidence([ROOT], [failure(), failure(ms=20, attributes={})], state=state)
    fine = evidence([ROOT], [failure()], state=state)
    assert not passes(judge("log_fields", PARAMS, fine))
    assert passes(judge("log_fields", {**PARAMS, "on": "any"}, found))
    unknown = evidence([], [failure()], state=state)
    assert not passes(judge("log_fields", {**PARAMS, "on": "any"}, unknown))


@pytest.mark.parametrize(
    ("severity", "selected"),
    [("WARNING", True), ("warn", True), ("ERROR2", True), ("Critical", True),
     ("Information", False), ("", False), ("verbose", False)],
)  # fmt: skip
def test_severities_are_known_by_their_usual_names(*, severity: str, selected: bool) -> None:
    """Loki, Python and OTLP name them in their own ways; an unknown one is below all."""
    params = {"logs": {"severity_at_least": "WARN"}, "require": ["job_id"]}
    verdict = judge("log_fields", params, evidence([ROOT], [failure(severity=severity)]))
    assert passes(verdict) is selected


@pytest.mark.parametrize(
    ("severity", "fatal"),
    [("CRIT", True), ("critical", True), ("emerg", True), ("EMERGENCY", True), ("Alert", True),
     ("panic", True), ("DPANIC", True), ("SEVERE", False), ("err", False), ("ERROR", False)],
)  # fmt: skip
def test_the_names_of_syslog_and_java_are_errors_at_least(*, severity: str, fatal: bool) -> None:
    """A wrong line under one of them is no line that does not matter."""
    line = failure(severity=severity, attributes={})
    for least, selected in (("ERROR", True), ("FATAL", fatal)):
        params = {"logs": {"severity_at_least": least}, "require": ["job_id"], "min_matches": 0}
        verdict = judge("log_fields", params, evidence([ROOT], [line]))
        assert passes(verdict) is not selected


def test_fields_of_the_record_itself_and_of_the_resource_are_fields() -> None:
    """`body`, `service` and the resource are read like attributes."""
    params = {
        "require": ["body", "span_id"],
        "equals": {"service": "scraper", "resource.service.name": "scraper"},
        "matches": {"body": "blocked .*"},
    }
    assert passes(judge("log_fields", params, evidence([ROOT], [failure()])))


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "says nothing of the fields"),
        ({"trace_is_job": True, "on": "any", "min_matches": 0}, "contradicts"),
        ({"trace_is_job": True, "logs": {"severity_at_least": "BAD"}}, "FATAL"),
    ],
)
def test_what_makes_no_sense_is_refused_at_load(params: dict[str, Any], words: str) -> None:
    """Nothing is half accepted."""
    assert words in refused("log_fields", params)


# -- what a backend keeps in a spelling of its own ------------------------------------------------


def flat(**fields: str) -> LogLine:
    """Make a line whose attributes came from Loki: keys with `_`, values as text."""
    return replace(failure(attributes=fields), flattened=tuple(fields))


@pytest.mark.parametrize("key", ["job.id", "job_id", "job-id"])
def test_a_flattened_key_is_every_key_that_it_may_have_been(key: str) -> None:
    """Loki has `job.id` as `job_id`: it is found under both, required, compared, selected by."""
    params = {"logs": {"where": {key: JOB}}, "require": [key], "equals": {key: JOB}}
    assert passes(judge("log_fields", params, evidence([ROOT], [flat(job_id=JOB)])))
    wrong = judge("log_fields", {**params, "logs": {}}, evidence([ROOT], [flat(job_id="x")]))
    assert (wrong.status, only(wrong).code) == (Status.FAIL, "field_value")
    missing = judge("log_fields", {"require": [key]}, evidence([ROOT], [flat(other=JOB)]))
    assert (missing.status, only(missing).code) == (Status.FAIL, "field_missing")


def test_a_key_that_was_not_flattened_has_one_spelling() -> None:
    """A line as it was sent has its keys as they were sent."""
    line = failure(attributes={"job_id": JOB})
    assert not passes(judge("log_fields", {"require": ["job.id"]}, evidence([ROOT], [line])))
    mixed = replace(failure(attributes={"job_id": JOB, "a_b": "1"}), flattened=("a_b",))
    assert not passes(judge("log_fields", {"require": ["job.id"]}, evidence([ROOT], [mixed])))
    assert passes(judge("log_fields", {"equals": {"job_id": JOB}}, evidence([ROOT], [mixed])))


@pytest.mark.parametrize("pattern", ["user.email", "user.*", "*.email", "user_*", "user_email"])
def test_what_must_not_be_there_is_found_in_either_spelling(pattern: str) -> None:
    """A forbidden field is forbidden however the backend writes it."""
    found = judge("log_fields", {"absent": [pattern]}, evidence([ROOT], [flat(user_email="x")]))
    assert (found.status, only(found).code) == (Status.FAIL, "field_forbidden")
    params = {"absent": [pattern]}
    assert passes(judge("log_fields", params, evidence([ROOT], [flat(name="x")])))


@pytest.mark.parametrize("pattern", ["*password*", "user.*", "user.password"])
def test_what_must_not_be_there_is_found_within_maps(pattern: str) -> None:
    """A glob meets what its exact key would meet."""
    line = failure(attributes={"user": {"password": "hunter2"}})
    verdict = judge("log_fields", {"absent": [pattern]}, evidence([ROOT], [line]))
    assert (verdict.code, "has `user.password`" in told(verdict)) == ("field_forbidden", True)
    assert "hunter2" not in told(verdict)


@pytest.mark.parametrize(
    ("text", "wanted", "same"),
    [
        ("3", 3, True), ("3", "3", True), ("3", 3.0, True), ("3", 4, False), ("03", 3, False),
        ("0.5", 0.5, True), ("true", True, True), ("true", False, False), ("True", True, False),
        ('["a","b"]', ["a", "b"], True), ('["a","b"]', ["a"], False), ("[broken]", [1], False),
        ("abc", "abc", True), ("1", True, False),
    ],
)  # fmt: skip
def test_text_is_equal_to_what_has_that_text(text: str, wanted: Any, same: bool) -> None:
    """Of a value that was kept as text alone only the text can be compared."""
    lines = [flat(retries=text)]
    assert passes(judge("log_fields", {"equals": {"retries": wanted}}, evidence([], lines))) == same
    params = {"one_of": {"retries": [wanted, "never"]}}
    assert passes(judge("log_fields", params, evidence([], lines))) == same


@pytest.mark.parametrize(
    ("text", "kind", "status", "code"),
    [
        ("three", "string", Status.PASS, "ok"),
        ("3", "string", Status.INCONCLUSIVE, "type_unknown"),
        ("3", "int", Status.INCONCLUSIVE, "type_unknown"),
        ("true", "bool", Status.INCONCLUSIVE, "type_unknown"),
        ("three", "int", Status.FAIL, "field_type"),
        ("3", "bool", Status.FAIL, "field_type"),
        ("3", "map", Status.FAIL, "field_type"),
    ],
)
def test_a_type_that_the_backend_did_not_keep(
    text: str, kind: str, status: Status, code: str
) -> None:
    """It is wrong where no value of it has that text, and else it is not known."""
    params = {"types": {"retries": kind}}
    verdict = judge("log_fields", params, evidence([ROOT], [flat(retries=text)]))
    assert (verdict.status, verdict.code) == (status, code)
    known = [flat(retries=text), failure(attributes={"retries": 3})]
    params = {"types": {"retries": "int"}, "on": "any"}  # type: ignore[dict-item]
    assert passes(judge("log_fields", params, evidence([ROOT], known)))


def test_the_resource_may_lie_among_the_attributes() -> None:
    """Loki has most of the resource in one place with the attributes."""
    line = flat(service_version="1.2")
    params: dict[str, Any] = {"equals": {"resource.service.version": "1.2"}}
    assert passes(judge("log_fields", params, evidence([ROOT], [line])))
    told_so = replace(failure(resource={"process.pid": "7"}), flattened=("process.pid",))
    params = {"equals": {"process.pid": 7, "resource.process.pid": 7}}
    assert passes(judge("log_fields", params, evidence([ROOT], [told_so])))
