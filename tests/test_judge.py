"""Which verdicts only repeat what another has found, and which are judged at all."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from checks import CHECKS
from tests.traces import evidence, job, pipeline
from validator.judge import JOB_OUTCOME, Judge, blocked
from validator.model import Finding, JobState, Signal, Status, Verdict
from validator.suite import CheckSpec


def finding(*, missing: str = "", needs: str = "", absent: bool = True) -> Finding:
    """Return a finding that establishes and needs facts, each named by a word."""
    return Finding(
        code="c",
        summary="s",
        expected="e",
        seen=(),
        likely="l",
        query="q",
        absent=absent,
        missing=tuple(missing.split()),
        needs=tuple(needs.split()),
    )


def verdict(
    name: str, *findings: Finding, status: Status = Status.FAIL, check: str = "x"
) -> Verdict:
    """Return a verdict of these findings."""
    return Verdict(
        check=check,
        name=name,
        status=status,
        code="c",
        summary="s",
        findings=findings,
        notes=(),
        examined=1,
        signals=(Signal.TRACES,),
        blocked_by="",
        catches="",
    )


def said(*verdicts: Verdict) -> dict[str, str]:
    """Return each verdict's status, and by whom it is blocked."""
    found = blocked(verdicts)
    return {v.name: v.blocked_by or str(v.status) for v in found}


@pytest.mark.parametrize("order", list(itertools.permutations("abc")))
def test_what_hangs_on_a_missing_fact_is_blocked_in_any_order(order: tuple[str, ...]) -> None:
    """The order of a suite decides nothing."""
    all_ = {
        "a": verdict("a", finding(missing="spans:s")),
        "b": verdict("b", finding(needs="spans:s")),
        "c": verdict("c", finding(needs="spans:other")),
    }
    assert said(*(all_[name] for name in order)) == {"a": "fail", "b": "a", "c": "fail"}


def test_two_that_establish_and_need_the_same_do_not_hide_each_other() -> None:
    """Whoever says itself that a fact is missing is no consequence of another who says so."""
    both = finding(missing="spans:s", needs="spans:s")
    assert said(verdict("a", both), verdict("b", both)) == {"a": "fail", "b": "fail"}


def test_mutual_needs_leave_one_failure_to_be_seen() -> None:
    """Of a ring of consequences not every member may be hidden behind the next."""
    one = verdict("a", finding(missing="p", needs="q"))
    other = verdict("b", finding(missing="q", needs="p"))
    assert "fail" in said(one, other).values()


@pytest.mark.req("R-06")
def test_what_sets_the_exit_code_is_not_blocked_by_what_does_not() -> None:
    """An advisory failure explains nothing away: the required one is still told as a failure."""
    advisory = replace(verdict("a", finding(missing="p")), level="advisory")
    assert said(advisory, verdict("b", finding(needs="p"))) == {"a": "fail", "b": "fail"}
    quiet = replace(verdict("b", finding(needs="p")), level="quarantined")
    assert said(advisory, quiet) == {"a": "fail", "b": "a"}
    outcome = verdict("job", finding(missing="job"), check=JOB_OUTCOME)
    outcome = replace(outcome, level="advisory")
    assert said(outcome, verdict("b", finding(needs="spans:x"))) == {"job": "fail", "b": "fail"}


def test_a_chain_ends_in_what_is_not_blocked() -> None:
    """What is blocked by a verdict leads, step by step, to one that fails."""
    chain = (
        verdict("a", finding(missing="p")),
        verdict("b", finding(missing="q", needs="p")),
        verdict("c", finding(needs="q")),
    )
    found = said(*chain)
    assert found["a"] == "fail"
    assert found["b"] == "a"
    assert found["c"] in {"a", "b"}


def test_a_finding_that_is_no_absence_is_never_hidden() -> None:
    """One wrong value beside a consequence keeps the verdict a failure."""
    mixed = verdict("b", finding(needs="p"), finding(absent=False))
    assert said(verdict("a", finding(missing="p")), mixed)["b"] == "fail"


def test_a_second_absence_without_a_reason_is_not_hidden() -> None:
    """Each finding needs an explanation of its own."""
    two = verdict("b", finding(needs="p"), finding(needs="r"))
    assert said(verdict("a", finding(missing="p")), two)["b"] == "fail"


def test_only_failures_establish_facts() -> None:
    """What an inconclusive verdict does not see is not known to be missing."""
    unsure = verdict("a", finding(missing="p"), status=Status.INCONCLUSIVE)
    assert said(unsure, verdict("b", finding(needs="p")))["b"] == "fail"


def test_a_job_that_failed_blocks_what_it_left_undone_and_nothing_else() -> None:
    """What was not there to be judged is its doing; a break in what is there stands, as a pass."""
    outcome = verdict("job", finding(missing="job"), check=JOB_OUTCOME)
    found = said(
        outcome,
        verdict("absence", finding(needs="spans:x")),
        verdict("lost", finding()),
        verdict("wrong", finding(absent=False)),
        verdict("open", status=Status.PENDING),
        verdict("good", status=Status.PASS),
    )
    assert found == {
        "job": "fail",
        "absence": "job",
        "lost": "fail",
        "wrong": "fail",
        "open": "job",
        "good": "pass",
    }


# -- Which checks are judged ---------------------------------------------------------------------


SPEC = CheckSpec("connected_trace", "c", {"services": ["scraper"]}, "a test", "required", "x:1")


def test_every_suite_judges_its_jobs_outcome() -> None:
    """Unless it does so itself, first and as a required check."""
    assert [v.name for v in Judge(CHECKS, (SPEC,)).verdicts(evidence(pipeline()))] == [
        "job_outcome",
        "c",
    ]
    own = CheckSpec(JOB_OUTCOME, "mine", {"state": "passed"}, "a test", "advisory", "x:2")
    found = Judge(CHECKS, (SPEC, own)).verdicts(evidence(pipeline()))
    assert [(v.name, v.level) for v in found] == [("c", "required"), ("mine", "advisory")]


def test_the_outcome_of_a_job_of_which_nothing_is_known_is_not_judged() -> None:
    """Nobody asked for it, and nobody can say; of one that was submitted that is a doubt."""
    unknown = job(existing=True, state=JobState.UNKNOWN)
    found = Judge(CHECKS, (SPEC,)).verdicts(evidence(pipeline(), of=unknown))
    assert [v.name for v in found] == ["c"]
    unknown = job(state=JobState.UNKNOWN)
    found = Judge(CHECKS, (SPEC,)).verdicts(evidence(pipeline(), of=unknown))
    assert [v.name for v in found] == ["job_outcome", "c"]
    assert found[0].status is Status.INCONCLUSIVE


@pytest.mark.req("V-13")
def test_a_template_that_the_job_does_not_fill_is_inconclusive() -> None:
    """What is to be compared with is not known: neither pass nor fail."""
    params = {"spans": {"service": "scraper"}, "equals": {"job.id": "{{ job.absent }}"}}
    spec = replace(SPEC, kind="span_attributes", params=params)
    found = Judge(CHECKS, (spec,)).verdicts(evidence(pipeline()))[-1]
    assert (found.status, found.code) == (Status.INCONCLUSIVE, "unbound_template")


def test_what_hangs_on_a_job_that_was_never_sent_is_blocked_by_its_outcome() -> None:
    """Nothing was asked of the target: no check fails, and one says why."""
    unsent = job(state=JobState.NOT_SUBMITTED, detail="val-b has the lease", id="", ended=None)
    nothing = replace(evidence([], of=unsent), coverage={})
    found = Judge(CHECKS, (SPEC,)).verdicts(nothing)
    assert [(v.name, v.status, v.blocked_by) for v in found] == [
        ("job_outcome", Status.INCONCLUSIVE, ""),
        ("c", Status.BLOCKED, "job_outcome"),
    ]
    assert "val-b has the lease" in found[0].summary


def test_the_signals_are_those_that_the_checks_read() -> None:
    """Sources of others need not be asked while the job runs."""
    assert Judge(CHECKS, (SPEC,)).signals() >= {Signal.TRACES}
    assert Judge(CHECKS, ()).signals() == frozenset()
