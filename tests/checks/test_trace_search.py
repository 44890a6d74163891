"""Whether a search finds the job's traces, how long after its end, and what is said if not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.checks.build import FAR, JOB, TRACE, coverage, evidence, existing_job, hit, job, span
from tests.checks.judging import judge, only, refused
from validator.model import CoverageState, Evidence, SearchHit, Signal, Status, Verdict

SPANS = (
    span("orchestrator", "root", attributes={"job.id": JOB}),
    span("scraper", "work", trace=FAR, attributes={"job.id": JOB}),
)
OTHER = "dd" * 16
OPEN, EXHAUSTED = CoverageState.OPEN, CoverageState.EXHAUSTED


def found(*hits: SearchHit, **fields: Any) -> Evidence:
    """Return evidence of a job with two traces, and what a search found."""
    return evidence(SPANS, hits=hits, **fields)


def judged(case: Evidence, **params: Any) -> Verdict:
    """Return the verdict."""
    return judge("trace_search", params, case)


@pytest.mark.req("V-03")
def test_every_trace_has_to_be_found() -> None:
    """It passes when each is, and says when the last one was, by the first search that had it."""
    verdict = judged(found(hit(TRACE, 31.0), hit(FAR, 40.0), hit(FAR, 33.5, "other")))
    assert (verdict.status, verdict.examined) == (Status.PASS, 2)
    assert verdict.summary == "2 of 2 traces found by search 33.5 s after the job's end"
    one = judged(evidence(SPANS[:1], hits=(hit(TRACE, -1.0),)))
    assert one.summary == "trace 00a1b2… found by search 0.0 s after the job's end"


def test_a_trace_that_is_not_found_is_missing() -> None:
    """It is waited for in the index alone; then it fails, and names the trace and the query."""
    case = found(hit(TRACE), state=EXHAUSTED)
    verdict = judged(case)
    assert (verdict.status, verdict.code) == (Status.FAIL, "not_searchable")
    finding = only(verdict)
    assert finding.summary == "1 of 2 traces cannot be found by search"
    assert finding.seen == (f"{FAR}: 1 span, read by id",)
    assert finding.query == f'{{ span.job.id = "{JOB}" }}'
    assert "index" in finding.likely
    assert finding.absent
    assert verdict.signals == (Signal.SEARCH,)


@pytest.mark.req("V-13")
@pytest.mark.parametrize(
    ("state", "status", "code"),
    [
        (CoverageState.OPEN, Status.PENDING, "pending"),
        (CoverageState.UNPROVEN, Status.INCONCLUSIVE, "source_unproven"),
        (CoverageState.UNREACHABLE, Status.INCONCLUSIVE, "source_unreachable"),
        (CoverageState.ABSENT, Status.INCONCLUSIVE, "no_source"),
        (CoverageState.EXHAUSTED, Status.FAIL, "not_searchable"),
    ],
)
def test_nothing_found_is_no_failure_of_an_index_that_is_not_shown_to_work(
    state: CoverageState, status: Status, code: str
) -> None:
    """What is missing is missing only where a full answer came from what is shown to work."""
    verdict = judged(found(coverage=coverage(EXHAUSTED, search=state)))
    assert (verdict.status, verdict.code) == (status, code)


@pytest.mark.req("V-13")
def test_a_pass_waits_for_the_traces() -> None:
    """While more traces may come, those that are known to be found are not all."""
    hits = (hit(TRACE), hit(FAR))
    for state in ({"traces": OPEN}, {"search": OPEN}):
        case = found(*hits, coverage=coverage(EXHAUSTED, **state))
        assert judged(case).status is Status.PENDING


def test_an_id_that_is_a_number_is_something_to_find_spans_by() -> None:
    """The index is to blame then, and the query asks for the number."""
    spans = [span("scraper", "work", attributes={"job.id": 42})]
    finding = only(judged(evidence(spans, state=EXHAUSTED, job=job(id="42"))))
    assert finding.likely == "the index fails or is behind while the storage works"
    assert finding.query == "{ span.job.id = 42 }"


def test_without_spans_there_is_nothing_to_search_for() -> None:
    """No pass without evidence: it is blocked where another check finds the spans missing."""
    verdict = judged(evidence(hits=(hit(TRACE),), state=EXHAUSTED))
    assert (verdict.status, verdict.code) == (Status.FAIL, "nothing_seen")
    assert only(verdict).needs == ("job", "spans")
    assert verdict.notes == (f"search finds trace {TRACE}, of which no span is evidence",)


def test_one_may_be_enough() -> None:
    """With `any` it passes early, and what is not found is a note."""
    verdict = judged(found(hit(FAR), state=OPEN), traces="any")
    assert verdict.status is Status.PASS
    assert verdict.notes == (f"trace {TRACE} is not found by search",)
    assert judged(found(state=EXHAUSTED), traces="any").code == "not_searchable"


def test_a_trace_that_is_found_late_fails_at_once() -> None:
    """Nothing that may still come mends it; with `any`, one in time is enough."""
    case = found(hit(TRACE, 31.0), hit(FAR, 61.5), state=OPEN)
    verdict = judged(case, within="60s")
    assert (verdict.status, verdict.code) == (Status.FAIL, "found_late")
    finding = only(verdict)
    assert finding.summary == (
        "1 of 2 traces found by search 61.5 s after the job's end, not within 60 s"
    )
    assert finding.seen == (f"{FAR}: after 61.5 s",)
    assert judged(case, within="60s", traces="any").status is Status.PASS
    late = found(hit(FAR, 61.5), state=EXHAUSTED)
    assert judged(late, within="60s", traces="any").code == "found_late"
    both = judged(found(hit(FAR, 61.5), state=EXHAUSTED), within="60s")
    assert [finding.code for finding in both.findings] == ["found_late", "not_searchable"]
    assert judged(found(hit(TRACE, 60.0), hit(FAR, 3.0)), within="60s").status is Status.PASS


def test_the_time_of_an_existing_job_is_not_known() -> None:
    """It is said to be found, and not when; `within` cannot be judged."""
    hits = (hit(TRACE), hit(FAR))
    case = found(*hits, job=existing_job())
    assert judged(case).summary == "2 of 2 traces found by search"
    verdict = judged(case, within="60s")
    assert (verdict.status, verdict.code) == (Status.INCONCLUSIVE, "no_end")
    assert judged(found(*hits, job=job(ended=None)), within="60s").code == "no_end"


def test_spans_without_the_jobs_id_are_said_to_be() -> None:
    """The likely cause is then not the index."""
    case = evidence([span("scraper", "work", attributes={})], state=EXHAUSTED)
    likely = only(judged(case)).likely
    assert likely.startswith("none of their spans has the job's id under `job.id`, `job_id`")


def test_what_is_found_beyond_the_evidence_is_a_note() -> None:
    """A trace of the job's id of which no span is evidence is told."""
    verdict = judged(found(hit(TRACE), hit(FAR), hit(OTHER)))
    assert verdict.status is Status.PASS
    assert verdict.notes == (f"search finds trace {OTHER}, of which no span is evidence",)


def test_parameters_are_held_to() -> None:
    """A duration has its unit, and there are two words for how many."""
    assert "unit" in refused("trace_search", {"within": 60})
    assert "any" in refused("trace_search", {"traces": "some"})
