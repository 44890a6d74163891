"""Promises of how checks hang together: one cause is told once, by the check that found it."""

from __future__ import annotations

from typing import Any

import pytest

from checks import CHECKS
from tests.checks.build import JOB, evidence, job, log, span
from validator.judge import Judge
from validator.model import CoverageState, Evidence, JobState, Status, Verdict
from validator.suite import CheckSpec

ROOT = span("orchestrator", "root")


def judged(of: Evidence, *checks: tuple[str, dict[str, Any]]) -> dict[str, Verdict]:
    """Judge a suite of these checks."""
    specs = tuple(CheckSpec(kind, kind, params, "x", "required", "s:1") for kind, params in checks)
    return {verdict.name: verdict for verdict in Judge(CHECKS, specs).verdicts(of)}


SUITE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("connected_trace", {"services": ["orchestrator", "scraper"]}),
    ("span_attributes", {"spans": {"service": "scraper"}, "require": ["job.id"]}),
    ("span_outcome", {"spans": {"service": "scraper"}, "status": "not_error"}),
    ("version", {"services": ["scraper"], "version": "1.2.3"}),
)


def test_what_hangs_on_a_missing_service_is_blocked_by_the_check_that_found_it() -> None:
    """The service without spans is one failure, not four."""
    verdicts = judged(evidence([ROOT]), *SUITE)
    assert verdicts["connected_trace"].status is Status.FAIL
    for kind in ("span_attributes", "span_outcome", "version"):
        assert (verdicts[kind].status, verdicts[kind].blocked_by) == (
            Status.BLOCKED,
            "connected_trace",
        )


def test_what_hangs_on_a_job_without_a_trace_is_blocked_as_well() -> None:
    """Also what names no service, and what wants none."""
    more = (
        ("expression", {"expr": "spans.all(s, true)", "message": "m"}),
        ("span_outcome", {"spans": {"name": "x"}, "count": {"equals": 0}}),
    )
    verdicts = judged(evidence(), SUITE[0], SUITE[1], *more)
    assert verdicts["connected_trace"].status is Status.FAIL
    for kind in ("span_attributes", "expression", "span_outcome"):
        assert verdicts[kind].status is Status.BLOCKED


def test_without_such_a_check_each_fails_itself() -> None:
    """Nothing is blocked by what nobody found."""
    verdicts = judged(evidence([ROOT]), SUITE[1])
    assert verdicts["span_attributes"].status is Status.FAIL


def test_another_name_in_a_service_that_is_there_is_a_failure_of_its_own() -> None:
    """A break that is independent of the missing service is not hidden."""
    wrong = ("span_attributes", {"spans": {"service": "orchestrator"}, "require": ["nope"]})
    named = ("span_outcome", {"spans": {"service": "orchestrator", "name": "x"}, "status": "ok"})
    verdicts = judged(evidence([ROOT]), SUITE[0], wrong, named)
    assert verdicts["span_attributes"].status is Status.FAIL
    assert verdicts["span_outcome"].status is Status.FAIL


@pytest.mark.parametrize("state", [JobState.REFUSED, JobState.TIMED_OUT])
def test_what_hangs_on_a_job_without_an_end_is_blocked_by_its_outcome(state: JobState) -> None:
    """A target that refuses or hangs fails one check, whatever the suite asks beside it."""
    of = evidence(state=CoverageState.OPEN, job=job(state=state, ended=None))
    metric = ("metric_labels", {"metric": "x", "label": "y"})
    logs = ("log_fields", {"require": ["job_id"]})
    verdicts = judged(of, *SUITE, metric, logs)
    assert verdicts.pop("job_outcome").status is Status.FAIL
    assert {verdict.status for verdict in verdicts.values()} == {Status.BLOCKED}
    assert {verdict.blocked_by for verdict in verdicts.values()} == {"job_outcome"}


def test_a_wrong_value_is_never_hidden() -> None:
    """A failed job does not excuse a log line without its trace."""
    line = log("scraper", "x", trace_id="", attributes={"job_id": JOB})
    of = evidence([ROOT], [line], job=job(state=JobState.FAILED))
    verdicts = judged(of, ("log_fields", {"require": ["trace_id"]}), SUITE[1])
    assert verdicts["job_outcome"].status is Status.FAIL
    assert verdicts["log_fields"].status is Status.FAIL
    assert verdicts["span_attributes"].status is Status.BLOCKED
