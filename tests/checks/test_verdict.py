"""Promises of "Rules of judging": when findings decide, and when nothing may be decided."""

from __future__ import annotations

from typing import Any

import pytest

from checks._verdict import Examined, decide, worst
from tests.checks.build import END, coverage, evidence, job
from tests.checks.judging import judge
from tests.traces import line
from validator.model import CoverageState, Evidence, Finding, JobState, Signal, Status, Verdict

COMPLETE = (CoverageState.SETTLED, CoverageState.EXHAUSTED)
UNKNOWABLE = {
    CoverageState.UNPROVEN: "source_unproven",
    CoverageState.UNREACHABLE: "source_unreachable",
    CoverageState.ABSENT: "no_source",
}


def finding(code: str = "wrong", **fields: Any) -> Finding:
    """Make a finding."""
    return Finding(code, f"it is {code}", "", (), "", "", **fields)


def decided(state: CoverageState, *findings: Finding, **fields: Any) -> Verdict:
    """Decide on findings with traces of this state."""
    signals = fields.pop("signals", (Signal.TRACES,))
    of = fields.pop("of", None) or evidence(state=state)
    return decide(of, Examined("kind", signals, 1, "fine", findings, **fields))


@pytest.mark.req("V-13")
@pytest.mark.parametrize("state", CoverageState)
def test_a_pass_needs_complete_evidence(state: CoverageState) -> None:
    """Without findings a check passes on complete evidence, waits on open, else is undecided."""
    verdict = decided(state)
    if state in COMPLETE:
        assert (verdict.status, verdict.code, verdict.summary) == (Status.PASS, "ok", "fine")
    elif state is CoverageState.OPEN:
        assert (verdict.status, verdict.code) == (Status.PENDING, "pending")
    else:
        assert (verdict.status, verdict.code) == (Status.INCONCLUSIVE, UNKNOWABLE[state])
        assert verdict.summary == evidence(state=state).covered(Signal.TRACES).reason


@pytest.mark.parametrize("state", CoverageState)
def test_only_what_asks_that_one_exists_passes_early(state: CoverageState) -> None:
    """That something exists needs no completeness."""
    assert decided(state, exists=True).status is Status.PASS


@pytest.mark.req("V-13")
@pytest.mark.parametrize("state", CoverageState)
def test_what_is_missing_fails_only_when_all_is_there(state: CoverageState) -> None:
    """A finding that may be mended waits for completeness; where there is none, nothing is said."""
    verdict = decided(state, finding(absent=True), finding("other"), exists=True)
    if state in COMPLETE:
        assert (verdict.status, verdict.code) == (Status.FAIL, "wrong")
        assert verdict.summary == "it is wrong (and 1 more)"
    elif state is CoverageState.OPEN:
        assert verdict.status is Status.PENDING
    else:
        assert verdict.status is Status.INCONCLUSIVE
    assert len(verdict.findings) == 2


@pytest.mark.parametrize("state", CoverageState)
def test_what_nothing_can_mend_fails_at_once(state: CoverageState) -> None:
    """A final finding decides, and leads the summary."""
    verdict = decided(state, finding(absent=True), finding("final", final=True))
    assert (verdict.status, verdict.code) == (Status.FAIL, "final")


@pytest.mark.parametrize("state", CoverageState)
def test_a_doubt_is_never_a_pass_nor_a_fail(state: CoverageState) -> None:
    """Complete evidence that cannot be judged is inconclusive with its own reason."""
    verdict = decided(state, doubts=(finding("no_before"),), exists=True)
    expected = Status.PENDING if state is CoverageState.OPEN else Status.INCONCLUSIVE
    assert verdict.status is expected
    assert verdict.findings[0].code == "no_before"
    assert (verdict.code == "no_before") is (state in COMPLETE)


def test_a_fail_outranks_a_doubt() -> None:
    """What is known to be wrong is not hidden by what is not known."""
    verdict = decided(CoverageState.SETTLED, finding(), doubts=(finding("no_before"),))
    assert (verdict.status, verdict.code) == (Status.FAIL, "wrong")


def test_the_least_trustworthy_signal_decides() -> None:
    """A check that reads two signals is as sure as the weaker one; one unheard of is absent."""
    mixed = evidence(coverage=coverage(CoverageState.SETTLED, logs=CoverageState.UNREACHABLE))
    assert worst(mixed, (Signal.TRACES, Signal.LOGS)).state is CoverageState.UNREACHABLE
    assert worst(evidence(coverage={}), (Signal.TRACES,)).state is CoverageState.ABSENT


@pytest.mark.parametrize(
    ("state", "ended", "status"),
    [
        (JobState.RUNNING, None, Status.PENDING),
        (JobState.RUNNING, END, Status.PENDING),
        (JobState.PASSED, None, Status.PENDING),
        (JobState.PASSED, END, Status.PASS),
        (JobState.TIMED_OUT, None, Status.PASS),
    ],
)
def test_what_the_target_says_is_complete_when_the_job_is_over(
    state: JobState, ended: float | None, status: Status
) -> None:
    """The job's own evidence does not depend on any source of telemetry."""
    of: Evidence = evidence(state=CoverageState.ABSENT, job=job(state=state, ended=ended))
    assert decided(CoverageState.OPEN, of=of, signals=(Signal.JOB,)).status is status


@pytest.mark.req("V-13")
@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("connected_trace", {"services": ["orchestrator"]}),
        ("span_attributes", {"spans": {"service": "scraper"}, "require": ["job.id"]}),
        (
            "span_attributes",
            {"spans": {"service": "x"}, "min_matches": 0, "absent": ["http.request.header.*"]},
        ),
        ("span_outcome", {"spans": {"service": "scraper"}, "status": "ok"}),
        ("version", {"services": ["scraper"], "version": "1"}),
        ("trace_search", {}),
        ("expression", {"expr": "spans.all(s, s.name != '')", "message": "a name is missing"}),
    ],
)
def test_no_check_fails_for_spans_that_were_sampled_out(kind: str, params: dict[str, Any]) -> None:
    """Where the target samples, what is wrong is only that there is nothing to look at."""
    logs = [line("orchestrator", "job accepted", sampled=False)]
    sampling = job(sampling="ratio")
    found = judge(kind, params, evidence(logs=logs, job=sampling))
    assert (found.status, found.code) == (Status.INCONCLUSIVE, "sampled_out")
    assert judge(kind, params, evidence(logs=logs)).status is Status.FAIL
    assert judge(kind, params, evidence(job=sampling)).status is Status.FAIL
