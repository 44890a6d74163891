"""Promises of `job_outcome`."""

from __future__ import annotations

from typing import Any

import pytest

from tests.checks.build import END, evidence, existing_job, job
from tests.checks.judging import INCOMPLETE, judge, only, passes, refused, told
from validator.model import CoverageState, Job, JobState, Status

FAILED = job(
    state=JobState.FAILED,
    status="failed",
    detail="403 Forbidden",
    fields={"failed_stage": "scraping", "error_code": "http_403", "chunks": 17},
)


def outcome(of: Job, **params: Any) -> Any:
    """Judge a job, without any telemetry."""
    return judge("job_outcome", params, evidence(job=of, state=CoverageState.ABSENT))


def test_a_job_that_ended_as_asked_passes() -> None:
    """The state, the target's word, its fields and the time are judged together."""
    assert passes(outcome(job()))
    fields = {"failed_stage": "scraping", "error_code": "http_403", "chunks": 17}
    assert passes(outcome(FAILED, state="failed", status="failed", fields=fields, within="1500ms"))


@pytest.mark.parametrize(
    ("params", "code", "words"),
    [
        ({}, "wrong_state", "the job failed (`failed`): 403 Forbidden"),
        ({"state": "failed", "status": "error"}, "wrong_status", "the status `error`"),
        ({"state": "failed", "fields": {"chunks": "17"}}, "field_value", "`chunks` is 17 (int)"),
        ({"state": "failed", "fields": {"error.code": "x"}}, "field_missing", "`error_code`?"),
        ({"state": "failed", "fields": {"zzz": "x"}}, "field_missing", "is not asked for it"),
        ({"state": "failed", "within": "1s"}, "too_slow", "the job took 1.5 s"),
    ],
)
def test_a_job_that_ended_otherwise_fails(params: dict[str, Any], code: str, words: str) -> None:
    """What was asked and what the target said are both told, and nothing will change it."""
    verdict = outcome(FAILED, **params)
    assert (verdict.status, only(verdict).code, only(verdict).final) == (Status.FAIL, code, True)
    assert only(verdict).missing == ()
    assert words in told(verdict)


@pytest.mark.parametrize("detail", ["", "val-b has the lease"])
@pytest.mark.parametrize("wanted", ["passed", "failed"])
def test_a_job_that_was_not_sent_says_nothing_of_the_target(wanted: str, detail: str) -> None:
    """Inconclusive, whatever end was expected, with the reason; the rest is blocked by it."""
    unsent = job(state=JobState.NOT_SUBMITTED, detail=detail, ended=None, id="", traces=())
    verdict = outcome(unsent, state=wanted)
    assert (verdict.status, verdict.code) == (Status.INCONCLUSIVE, "not_submitted")
    assert only(verdict).missing == ("job",)
    assert detail in verdict.summary


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (JobState.REFUSED, "refused"),
        (JobState.TIMED_OUT, "timed_out"),
    ],
)
@pytest.mark.parametrize("detail", ["", "answered 503"])
def test_a_job_without_an_end_fails_and_is_what_others_miss(
    state: JobState, code: str, detail: str
) -> None:
    """Refused or hanging: a failure of the job, by which the rest is blocked."""
    verdict = outcome(job(state=state, detail=detail, ended=None, id=""), state="failed")
    assert (verdict.status, verdict.code) == (Status.FAIL, code)
    assert only(verdict).missing == ("job",)
    assert detail in verdict.summary


@pytest.mark.parametrize(
    "of", [job(state=JobState.RUNNING, ended=None), job(state=JobState.PASSED, ended=None)]
)
def test_a_job_that_runs_is_pending(of: Job) -> None:
    """Not even a final state counts before everything about the job is done."""
    assert outcome(of).status is Status.PENDING
    assert outcome(of, state="failed").status is Status.PENDING


def test_a_job_of_which_nothing_is_known_is_inconclusive() -> None:
    """Only its trace is known: neither good nor bad."""
    verdict = outcome(existing_job())
    assert (verdict.status, verdict.code) == (Status.INCONCLUSIVE, "job_unknown")


def test_how_long_is_unknown_of_a_job_that_was_there_before() -> None:
    """Without the time of submission `within` cannot be judged; the rest can."""
    of = job(existing=True, submitted=None, ended=END)
    assert outcome(of, within="1s").code == "no_times"
    assert outcome(of, within="1s", state="failed").status is Status.FAIL
    assert passes(outcome(of))


@pytest.mark.req("V-13")
@pytest.mark.parametrize("state", INCOMPLETE)
def test_telemetry_does_not_matter(state: CoverageState) -> None:
    """The job's own evidence is what the target says."""
    assert passes(judge("job_outcome", {}, evidence(state=state)))


@pytest.mark.parametrize("params", [{"state": "done"}, {"within": "0s"}, {"status": ""}])
def test_what_makes_no_sense_is_refused_at_load(params: dict[str, Any]) -> None:
    """Nothing is half accepted."""
    assert refused("job_outcome", params)
