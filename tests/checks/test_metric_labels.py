"""Promises of `metric_labels`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.checks.build import END, FAR, TRACE, evidence, existing_job, sample
from tests.checks.judging import INCOMPLETE, judge, only, passes, refused, told
from validator.model import CoverageState, Sample, Signal, SourceReport, Status

pytestmark = pytest.mark.req("V-05")

NAME = "embedding_request_duration_seconds"
PARAMS: dict[str, Any] = {"metric": NAME, "label": "operation", "values": ["read", "write"]}


def requests(operation: str, value: float, **fields: Any) -> Sample:
    """Make a count of requests; an empty operation is no label."""
    labels = {"operation": operation} if operation else {}
    labels |= fields.pop("labels", {})
    suffix = fields.pop("suffix", "_count")
    return sample(NAME + suffix, value, type="histogram", labels=labels, **fields)


GOOD = [
    requests("read", 1, before=True),
    requests("read", 2),
    requests("write", 17),
    requests("write", 3, suffix="_bucket", labels={"le": "0.1"}),
    sample(NAME + "_created", 1.0, metric=NAME, type="histogram"),
]


def test_each_value_that_grew_on_labelled_samples_passes() -> None:
    """Growth from before to after, or from nothing, counts; `_created` is left alone."""
    verdict = judge("metric_labels", PARAMS, evidence(samples=GOOD))
    assert passes(verdict)
    assert verdict.examined == 2


def test_a_sample_of_this_run_without_the_label_fails_at_once() -> None:
    """The instance and the line are named, and the values that it may have swallowed."""
    samples = [
        requests("read", 2),
        requests("", 2, before=True),
        requests("", 17),
        requests("", 3, suffix="_bucket", labels={"le": "0.1"}),
    ]
    for order in (samples, samples[::-1]):
        verdict = judge("metric_labels", PARAMS, evidence(samples=order, state=CoverageState.OPEN))
        finding = only(verdict)
        assert (verdict.status, finding.code, finding.final) == (Status.FAIL, "label_missing", True)
        assert f'embedding-api-1: {NAME}_count{{traffic="synthetic"}} 17 (was 2)' in finding.seen
        assert "the one that should count write" in finding.likely
        assert "increase(" in finding.query


@pytest.mark.req("V-13")
def test_a_sample_without_the_label_may_be_old_where_nothing_was_read_before() -> None:
    """It fails once the metrics are complete; where they cannot be, whose it is is not known."""
    samples = [requests("read", 2), requests("write", 2), requests("", 17)]
    for state, status in (
        (CoverageState.OPEN, Status.PENDING),
        (CoverageState.UNPROVEN, Status.INCONCLUSIVE),
        (CoverageState.SETTLED, Status.FAIL),
    ):
        verdict = judge("metric_labels", PARAMS, evidence(samples=samples, state=state))
        assert (verdict.status, only(verdict).code) == (status, "label_missing")
    for sure in (requests("", 9, before=True), requests("", 17, exemplar=TRACE)):
        found = evidence(samples=[*samples, sure], state=CoverageState.UNPROVEN)
        assert judge("metric_labels", PARAMS, found).status is Status.FAIL


def test_a_renamed_label_is_found() -> None:
    """The nearest label on the same samples is named."""
    samples = [requests("read", 2), requests("", 17, labels={"operatoin": "write"})]
    verdict = judge("metric_labels", {**PARAMS, "values": ["read"]}, evidence(samples=samples))
    assert "was `operation` renamed to `operatoin`?" in told(verdict)
    bare = judge("metric_labels", {**PARAMS, "values": []}, evidence(samples=[requests("", 1)]))
    assert "one way through the code counts without `operation`" in told(bare)


def test_samples_without_the_label_that_did_not_grow_are_told_only() -> None:
    """What an earlier run left on the page is not this run's, nor is other people's traffic."""
    old = [requests("", 5), requests("", 5, before=True), requests("", 9, mark="user")]
    verdict = judge("metric_labels", PARAMS, evidence(samples=[*GOOD, *old]))
    assert passes(verdict)
    notes = "\n".join(verdict.notes)
    assert "not grown in this run" in notes
    assert "other traffic has no `operation` either" in notes


@pytest.mark.parametrize(
    ("samples", "code", "words"),
    [
        ([requests("read", 2), requests("read", 2, before=True), requests("write", 1)],
         "not_increased", "2 (was 2)"),
        ([requests("read", 2, mark="user"), requests("write", 1)],
         "mark_lost", "grew without the mark"),
        ([requests("read", 2, mark=""), requests("write", 1)],
         "mark_lost", "is lost on the way"),
        ([requests("reed", 2), requests("write", 1)],
         "label_value_missing", "renamed to reed"),
        ([requests("zzz", 2), requests("write", 1)],
         "label_value_missing", "`operation` is write, zzz"),
        ([requests("read", 2, mark="user"), requests("read", 2, mark="user", before=True),
          requests("write", 1)],
         "label_value_missing", "counts something else now"),
    ],
)  # fmt: skip
def test_a_value_that_the_job_did_not_cause_fails(
    samples: list[Sample], code: str, words: str
) -> None:
    """Each way of missing has its code; it may still come, so it is an absence."""
    verdict = judge("metric_labels", PARAMS, evidence(samples=samples))
    finding = only(verdict)
    assert (verdict.status, finding.code, finding.absent) == (Status.FAIL, code, True)
    assert words in told(verdict)
    waiting = judge("metric_labels", PARAMS, evidence(samples=samples, state=CoverageState.OPEN))
    assert waiting.status is Status.PENDING


def test_only_other_traffic_is_no_synthetic_traffic() -> None:
    """Where no sample has the mark at all, that is said."""
    samples = [
        requests("reads", 2, mark="user", before=True),
        requests("reads", 2, mark="user"),
    ]
    verdict = judge("metric_labels", {**PARAMS, "values": ["read"]}, evidence(samples=samples))
    assert "nothing of a synthetic job is counted" in told(verdict)


@pytest.mark.req("V-13")
def test_a_family_that_is_not_there_fails_and_says_what_answered() -> None:
    """Who answered, from which pages, and the nearest name are told."""
    report = SourceReport(
        "pages", "scrape", (Signal.METRICS,), 4, 3, "", "", END, None, 5.0, "", ()
    )
    other = sample("embedding_requests_duration_seconds", 1.0)
    verdict = judge("metric_labels", PARAMS, evidence(samples=[other], sources=(report,)))
    assert (verdict.code, only(verdict).needs) == ("metric_missing", ("job",))
    for words in ("answered 3 of 4", "embedding-api-1 (embedding-api)", "was `embedding_request"):
        assert words in told(verdict)
    early = judge("metric_labels", PARAMS, evidence(samples=[requests("read", 1, before=True)]))
    assert "restarted" in told(early)
    silent = judge("metric_labels", {**PARAMS, "service": "search"}, evidence(samples=GOOD))
    assert only(silent).needs == ("job", "samples:search")
    nothing = judge("metric_labels", PARAMS, evidence(sources=(replace(report, signals=()),)))
    assert only(nothing).needs == ("job", "samples")
    assert nothing.examined == 0


def test_a_counter_that_fell_counts_from_zero() -> None:
    """A process that was restarted between the readings counts anew, per instance."""
    samples = [
        requests("read", 9, before=True),
        requests("read", 1),
        requests("write", 5, before=True, instance="a"),
        requests("write", 5, instance="a"),
        requests("write", 1, instance="b"),
    ]
    assert passes(judge("metric_labels", PARAMS, evidence(samples=samples)))
    stalled = [*samples[:-1], requests("write", 0, instance="b")]
    assert not passes(judge("metric_labels", PARAMS, evidence(samples=stalled)))


def test_of_several_readings_the_last_one_counts() -> None:
    """Pages are read again and again after the job."""
    early = [replace(one, value=1.0, seen=one.seen - 0.5) for one in GOOD[1:2]]
    for order in ([*GOOD, *early], [*early, *GOOD]):
        assert passes(judge("metric_labels", PARAMS, evidence(samples=order)))


def test_a_job_that_was_there_before_needs_an_exemplar() -> None:
    """There is no reading from before it: its trace id on a sample proves it, else nothing does."""
    job = existing_job()
    verdict = judge("metric_labels", PARAMS, evidence(samples=GOOD, job=job))
    assert (verdict.status, verdict.code) == (Status.INCONCLUSIVE, "no_before")
    shown = [
        requests("read", 1, exemplar=TRACE),
        requests("write", 1, suffix="_bucket", exemplar=TRACE.upper(), mark=""),
    ]
    assert passes(judge("metric_labels", PARAMS, evidence(samples=shown, job=job)))
    of_another = [requests("read", 1, exemplar=TRACE), requests("write", 1, exemplar=FAR)]
    verdict = judge("metric_labels", PARAMS, evidence(samples=of_another, job=job))
    assert (verdict.status, verdict.code) == (Status.INCONCLUSIVE, "no_before")
    missing = judge("metric_labels", PARAMS, evidence(samples=shown[:1], job=job))
    assert (missing.status, missing.code) == (Status.FAIL, "label_value_missing")
    bare = [*shown, requests("", 1, exemplar=TRACE)]
    assert judge("metric_labels", PARAMS, evidence(samples=bare, job=job)).code == "label_missing"
    any_value = {**PARAMS, "values": []}
    verdict = judge("metric_labels", any_value, evidence(samples=GOOD, job=job))
    assert verdict.code == "no_before"


def test_an_exemplar_without_a_trace_proves_nothing() -> None:
    """Exemplars may carry other labels."""
    one = requests("read", 1, exemplar=TRACE)
    assert one.exemplar is not None
    odd = replace(one, exemplar=replace(one.exemplar, labels={"span": "x"}))
    verdict = judge("metric_labels", PARAMS, evidence(samples=[odd], job=existing_job()))
    assert not passes(verdict)


def test_growth_cannot_be_asked_of_a_gauge() -> None:
    """That is said as such; with `increased: false` the value's being there is enough."""
    gauges = [sample("queue_depth", 0.0, type="gauge", labels={"queue": "scrape"})]
    params = {"metric": "queue_depth", "label": "queue", "values": ["scrape"]}
    verdict = judge("metric_labels", params, evidence(samples=gauges))
    assert (verdict.status, verdict.code) == (Status.INCONCLUSIVE, "not_a_counter")
    there = {**params, "increased": False}
    assert passes(judge("metric_labels", there, evidence(samples=gauges)))
    bare = [*gauges, sample("queue_depth", 0.0, type="gauge")]
    assert judge("metric_labels", there, evidence(samples=bare)).code == "label_missing"
    other = {**there, "values": ["embed"]}
    assert judge("metric_labels", other, evidence(samples=gauges)).code == "label_value_missing"


def test_a_target_without_a_mark_is_judged_by_growth_alone() -> None:
    """`mark: {}` takes whatever grew."""
    samples = [requests("read", 2, mark=""), requests("write", 1, mark="user")]
    assert passes(judge("metric_labels", {**PARAMS, "mark": {}}, evidence(samples=samples)))


def test_counters_are_known_with_and_without_their_suffix() -> None:
    """Both `jobs` and `jobs_total` name the family."""
    samples = [sample("jobs_total", 1.0, labels={"status": "done"})]
    for metric in ("jobs", "jobs_total"):
        params = {"metric": metric, "labels": {"status": ["done"]}}
        assert passes(judge("metric_labels", params, evidence(samples=samples)))


@pytest.mark.req("V-13")
@pytest.mark.parametrize("state", INCOMPLETE)
@pytest.mark.parametrize("every", [True, False])
def test_nothing_passes_on_readings_that_may_not_be_whole(
    state: CoverageState, every: bool
) -> None:
    """An increase is a difference of two readings: without the first nothing is known to grow."""
    found = evidence(samples=GOOD, state=state)
    assert not passes(judge("metric_labels", {**PARAMS, "on_every_sample": every}, found))


def test_a_label_without_named_values_has_to_be_there() -> None:
    """Any value does, none does not; without growth nothing was shown."""
    params = {"metric": NAME, "label": "operation"}
    assert passes(judge("metric_labels", params, evidence(samples=GOOD)))
    still = [requests("read", 1), requests("read", 1, before=True)]
    verdict = judge("metric_labels", params, evidence(samples=still))
    assert (verdict.code, "any `operation`" in verdict.summary) == ("not_increased", True)


def test_many_lines_are_cut() -> None:
    """Five lines are shown, the rest is counted."""
    bare = [requests("", 1, instance=f"i{n}") for n in range(7)]
    verdict = judge("metric_labels", PARAMS, evidence(samples=bare))
    assert "… and 2 more" in only(verdict).seen
    assert "have no `operation`" in verdict.summary
    unlabelled = [
        requests("", 3, suffix="_bucket", labels={"le": "1"}),
        requests("", 3, suffix="_sum"),
    ]
    verdict = judge("metric_labels", PARAMS, evidence(samples=unlabelled))
    assert verdict.code == "label_missing"


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"values": ["a"]}, "needs the `label`"),
        ({}, "give `label`"),
        ({"label": "a", "labels": {"a": ["x"]}}, "under `labels`"),
        ({"label": "a", "values": [""]}, "same as no label"),
        ({"label": "a", "on_every_sample": False}, "nothing is asked of `a`"),
    ],
)
def test_what_makes_no_sense_is_refused_at_load(params: dict[str, Any], words: str) -> None:
    """Nothing is half accepted."""
    assert words in refused("metric_labels", {"metric": "x", **params})
