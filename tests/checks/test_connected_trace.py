"""What `connected_trace` says of each shape that a job's spans can have."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from checks._words import duration
from checks.connected_trace import ConnectedTraceParams, evaluate
from tests.traces import (
    EDGES,
    JOB,
    OTHER,
    SENT,
    SERVICES,
    TRACE,
    evidence,
    job,
    line,
    pipeline,
    sid,
    span,
)
from validator.model import (
    CoverageState,
    Evidence,
    Exemplar,
    Phase,
    Sample,
    Signal,
    SourceReport,
    Span,
    SpanKind,
    Status,
    TraceRef,
    Verdict,
)

PARAMS = ConnectedTraceParams(services=SERVICES, edges=EDGES)
BOTH = (TraceRef(TRACE, "sent"), TraceRef(OTHER, "job_id"))


def judged(spans: list[Span], params: ConnectedTraceParams = PARAMS, **more: object) -> Verdict:
    """Return the verdict on these spans."""
    return evaluate(params, evidence(spans, **more))  # type: ignore[arg-type]


def codes(verdict: Verdict) -> list[str]:
    """Return the codes of the verdict's findings."""
    return [finding.code for finding in verdict.findings]


def without(spans: list[Span], *ids: str) -> list[Span]:
    """Return the spans less those of these ids."""
    gone = {sid(name) for name in ids}
    return [one for one in spans if one.span_id not in gone]


def changed(spans: list[Span], name: str, **changes: object) -> list[Span]:
    """Return the spans with one of them changed."""
    return [
        replace(one, **changes) if one.span_id == sid(name) else one  # type: ignore[arg-type]
        for one in spans
    ]


def cut_off(spans: list[Span], top: str, trace: str = OTHER) -> list[Span]:
    """Return the spans with `top` a root of another trace, and all below it moved there."""
    below = {sid(top)}
    moved: dict[str, Span] = {}
    for one in spans:
        if one.span_id in below or one.parent_id in below:
            below.add(one.span_id)
            parent = "" if one.span_id == sid(top) else one.parent_id
            moved[one.span_id] = replace(one, trace_id=trace, parent_id=parent)
    return [moved.get(one.span_id, one) for one in spans]


@pytest.mark.req("V-03")
def test_a_whole_trace_passes() -> None:
    """Four services, three edges, every parent there: a pass that says what it looked at."""
    verdict = judged(pipeline())
    assert verdict.status is Status.PASS
    assert verdict.examined == 11
    assert "4 services in one trace, 3 edges joined" in verdict.summary


@pytest.mark.req("V-03")
def test_the_parent_that_we_sent_is_no_orphan() -> None:
    """The validator's own parent span, which nobody exports, is not missed; another one is."""
    assert judged(pipeline()).status is Status.PASS
    stranger = changed(pipeline(), "POST /jobs", parent_id=sid("nobody"))
    assert codes(judged(stranger)) == ["orphan"]


def test_a_span_delivered_twice_counts_once() -> None:
    """Exporters retry: the same span again changes nothing."""
    assert judged(pipeline() + pipeline()) == judged(pipeline())


@pytest.mark.req("V-03")
def test_context_lost_in_the_queue_says_between_what() -> None:
    """Two traces joined by nothing but the job's id: where it was cut, and into which trace."""
    spans = cut_off(pipeline(), "run-scrape")
    verdict = judged(spans, of=job(traces=BOTH))
    assert verdict.status is Status.FAIL
    assert codes(verdict) == ["context_lost"]
    finding = verdict.findings[0]
    assert finding.summary == "lost between orchestrator and scraper"
    assert finding.expected == "orchestrator -> scraper, joined by a parent"
    assert finding.seen == (
        "trace 00a1b2… ends at `apply_async/scraper.scrape_task` (orchestrator, PRODUCER)",
        (
            "`run/scraper.scrape_task` (scraper, CONSUMER) begins trace 9c3f7a… 8 ms later, "
            "with the same job.id"
        ),
    )
    assert "publisher does not put the trace context" in finding.likely
    assert finding.query == f'{{ span.job.id = "{JOB}" }}'
    assert finding.spans == (sid("pub-scrape"), sid("run-scrape"))


def test_context_lost_over_http_blames_the_client() -> None:
    """A cut between a client and a server is not told as one of a queue."""
    verdict = judged(cut_off(pipeline(), "chunk"), of=job(traces=BOTH))
    assert codes(verdict) == ["context_lost"]
    assert "traceparent" in verdict.findings[0].likely
    assert "a parent" in verdict.findings[0].expected


def test_two_cuts_are_both_told() -> None:
    """Two independent breaks: both reported, each between its own services."""
    third = "1" * 32
    spans = cut_off(cut_off(pipeline(), "run-embed", third), "run-scrape")
    verdict = judged(spans, of=job(traces=(*BOTH, TraceRef(third, "job_id"))))
    assert [finding.summary for finding in verdict.findings] == [
        "lost between orchestrator and scraper",
        "lost between orchestrator and embedding-api",
    ]


@pytest.mark.req("V-03")
def test_a_service_without_spans_is_missing() -> None:
    """The finding establishes the fact on which other checks hang, and the edge is not another."""
    verdict = judged(without(pipeline(), "chunk"))
    assert codes(verdict) == ["service_missing"]
    assert verdict.findings[0].missing == ("spans:chunking",)
    assert "neither logs nor metrics of chunking" in "".join(verdict.findings[0].seen)


def test_logs_prove_that_a_silent_service_ran() -> None:
    """A service whose logs are there has run: its exporter is at fault, not its caller."""
    verdict = judged(without(pipeline(), "chunk"), logs=[line("chunking", "chunked into 17")])
    assert any("chunking ran: it logged 1 lines" in said for said in verdict.findings[0].seen)
    assert "exports no spans" in verdict.findings[0].likely


def test_unsampled_logs_name_the_sampler() -> None:
    """A log line whose trace flag is off says that the service's own sampler dropped its spans."""
    logs = [line("chunking", "chunked", sampled=False)]
    verdict = judged(without(pipeline(), "chunk"), logs=logs)
    assert "sampler of chunking" in verdict.findings[0].likely


def test_metrics_prove_that_a_silent_service_ran() -> None:
    """A counter that grew during the run is proof of life as well; one that did not is none."""

    def counter(phase: Phase, value: float) -> Sample:
        labels = {"traffic": "synthetic"}
        return Sample("chunks", "chunks_total", "counter", labels, value, None, None, "chunking",
                      "c-1", phase, "pages", 0.0)  # fmt: skip

    base = evidence(without(pipeline(), "chunk"))
    grown = replace(base, samples=(counter(Phase.BEFORE, 3), counter(Phase.AFTER, 4)))
    still = replace(base, samples=(counter(Phase.BEFORE, 4), counter(Phase.AFTER, 4)))
    assert any("`chunks_total` increased" in s for s in evaluate(PARAMS, grown).findings[0].seen)
    assert not any("increased" in s for s in evaluate(PARAMS, still).findings[0].seen)


def test_a_renamed_service_is_recognised() -> None:
    """The nearest name with spans is told: a renamed `service.name` is the likely cause."""
    spans = changed(pipeline(), "chunk", service="chunker")
    verdict = judged(spans, ConnectedTraceParams(services=SERVICES))
    assert "`chunker`" in verdict.findings[0].likely


def test_an_orphan_is_named_with_what_is_known_of_its_parent() -> None:
    """A parent that never came: its id, its children, and who links to it."""
    spans = without(pipeline(), "scrape_task")
    spans.append(span("scraper", "watcher", parent="run-scrape", at=12,
                      links=[(TRACE, "scrape_task")]))  # fmt: skip
    verdict = judged(spans)
    assert codes(verdict) == ["orphan"]
    said = " ".join(verdict.findings[0].seen)
    assert sid("call-back") in said
    assert f"its parent {sid('scrape_task')} never came" in said
    assert "`watcher` (scraper, INTERNAL) links to that parent" in said


def test_orphans_of_one_parent_are_one_finding() -> None:
    """Ten children of one lost parent are one cause."""
    spans = without(pipeline(), "complete")
    verdict = judged(spans)
    assert codes(verdict) == ["orphan"]
    assert "2 known children" in " ".join(verdict.findings[0].seen)


def test_a_cycle_fails_at_once_and_names_its_members() -> None:
    """Spans that are each other's ancestors: final, whatever may still come."""
    spans = changed(pipeline(), "complete", parent_id=sid("call-chunk"))
    verdict = judged(spans, state=CoverageState.OPEN)
    assert verdict.status is Status.FAIL
    cycle = next(finding for finding in verdict.findings if finding.code == "cycle")
    assert cycle.final
    assert set(cycle.spans) == {sid("complete"), sid("call-chunk")}


def test_a_span_that_is_its_own_parent_is_a_cycle() -> None:
    """The shortest cycle has one member."""
    verdict = judged(changed(pipeline(), "chunk", parent_id=sid("chunk")))
    assert "cycle" in codes(verdict)


def test_a_second_root_of_the_job_fails() -> None:
    """A root with the job's id belongs below the first one; nothing to come will mend it."""
    extra = span("cron", "sweep", at=30, job=JOB)
    verdict = judged([*pipeline(), extra], state=CoverageState.OPEN)
    assert verdict.status is Status.FAIL
    assert codes(verdict) == ["second_root"]


def test_a_root_whose_link_leads_to_nothing_yet_may_still_be_joined() -> None:
    """In the job's trace or another, it is no second one for good while that span may come."""
    link = [(TRACE, "pub-late")]
    late = span("orchestrator", "apply", id="pub-late", parent="POST /jobs", at=25)
    params = ConnectedTraceParams(services=SERVICES, edges=EDGES, hops="either")
    for trace in (TRACE, OTHER):
        root = span("cron", "sweep", at=30, trace=trace, links=link, job=JOB)
        spans = [*pipeline(), root]
        verdict = judged(spans, params, of=job(traces=BOTH), state=CoverageState.OPEN)
        assert (verdict.status, verdict.findings[0].absent) == (Status.PENDING, True)
        assert judged(spans, params, of=job(traces=BOTH)).code == "second_root"
        assert judged([*spans, late], params, of=job(traces=BOTH)).status is Status.PASS


def test_what_links_to_a_second_root_is_mended_with_it() -> None:
    """A root that links to what is there waits as well: that may hang on what still comes."""
    first = span("cron", "sweep", at=30, links=[(TRACE, "pub-late")], job=JOB)
    second = span("cron", "again", at=31, links=[(TRACE, "sweep")], job=JOB)
    verdict = judged([*pipeline(), first, second], state=CoverageState.OPEN)
    assert (verdict.status, codes(verdict)) == (Status.PENDING, ["second_root"] * 2)


def test_a_second_root_names_the_job_by_a_number_too() -> None:
    """An id that the emitter sent as a number is the job's; another number is another job's."""
    root = span("cron", "sweep", at=30, attributes={"job.id": 42})
    assert codes(judged([*pipeline(), root], of=job(id="42"))) == ["second_root"]
    assert judged([*pipeline(), root], of=job(id="43")).status is Status.PASS


def test_a_second_root_of_a_named_service_fails() -> None:
    """A service that the suite names makes no root of its own in the job's trace."""
    assert codes(judged([*pipeline(), span("chunking", "gc", at=30)])) == ["second_root"]


def test_a_second_root_of_a_stranger_is_a_note() -> None:
    """Something else in the trace is told, and fails nothing."""
    verdict = judged([*pipeline(), span("cron", "sweep", at=30)])
    assert verdict.status is Status.PASS
    assert verdict.notes[0] == "roots that are not of this job: `sweep` (cron, INTERNAL)"


def test_without_a_sent_parent_the_first_root_is_the_root() -> None:
    """A target that makes traces of its own has one root by right."""
    spans = changed(pipeline(), "POST /jobs", parent_id="")
    of = job(traces=(TraceRef(TRACE, "header"),), sent_parent="")
    assert judged(spans, of=of).status is Status.PASS
    assert codes(judged([*spans, span("scraper", "x", at=9, job=JOB)], of=of)) == ["second_root"]


def test_a_trace_that_the_target_answers_is_not_the_one_that_it_was_sent() -> None:
    """Who tells the trace of its own in a header has not taken ours; whose trace is given may."""
    spans = cut_off(pipeline(), "POST /jobs")
    refs = (TraceRef(TRACE, "sent"), TraceRef(OTHER, "header"))
    verdict = judged(spans, of=job(traces=refs))
    assert codes(verdict) == ["context_not_adopted"]
    assert verdict.findings[0].seen[0].endswith("begins trace 9c3f7a…, which the target answered")
    given = job(traces=(TraceRef(TRACE, "given"), refs[1]), sent_parent="", existing=True)
    assert judged(spans, of=given).status is Status.PASS


@pytest.mark.req("V-03")
@pytest.mark.parametrize("hops", ["link", "either"])
def test_a_linked_consumer_is_one_evidence_over_both_traces(hops: str) -> None:
    """A consumer's trace reached by its link back joins the producer's."""
    spans = cut_off(pipeline(), "run-scrape")
    spans = changed(spans, "run-scrape", links=span("x", "x", links=[(TRACE, "pub-scrape")]).links)
    linked = cut_off(spans, "run-embed", "1" * 32)
    linked = changed(linked, "run-embed", links=span("x", "x", links=[(OTHER, "pub-embed")]).links)
    refs = (*BOTH, TraceRef("1" * 32, "link"))
    params = ConnectedTraceParams(services=SERVICES, edges=EDGES, hops=hops)
    verdict = judged(linked, params, of=job(traces=refs))
    assert verdict.status is Status.PASS
    assert "3 traces joined by links" in verdict.summary


@pytest.mark.req("V-03")
def test_a_link_where_a_parent_is_asked_for_fails_and_says_so() -> None:
    """`hops: parent` does not take a link, and `hops: link` no parent."""
    spans = cut_off(pipeline(), "run-scrape")
    spans = changed(spans, "run-scrape", links=span("x", "x", links=[(TRACE, "pub-scrape")]).links)
    verdict = judged(spans, of=job(traces=(BOTH[0], TraceRef(OTHER, "link"))))
    assert codes(verdict) == ["hop_is_link"]
    assert "joined by a link, not by a parent" in verdict.summary
    params = ConnectedTraceParams(services=SERVICES, edges=EDGES, hops="link")
    assert codes(judged(pipeline(), params)) == ["hop_is_parent", "hop_is_parent"]


def test_http_hops_are_parents_whatever_the_policy_for_queues() -> None:
    """`hops` speaks of queues: a call over HTTP joined by a parent is right under `link` too."""
    spans = without(pipeline(), "run-scrape", "scrape_task", "pub-scrape", "pub-embed")
    spans = [s for s in without(spans, "run-embed", "embed_task") if s.service != "scraper"]
    spans = changed(spans, "complete", parent_id=sid("POST /jobs"))
    params = ConnectedTraceParams(
        services=("orchestrator", "chunking"), edges=("orchestrator -> chunking",), hops="link"
    )
    assert judged(spans, params).status is Status.PASS


def test_an_indirect_edge_needs_its_own_arrow() -> None:
    """`->` is direct; `->>` takes a way through others, and the direct one."""
    direct = ConnectedTraceParams(services=("scraper", "chunking"), edges=("scraper -> chunking",))
    through = ConnectedTraceParams(
        services=("scraper", "chunking"), edges=("scraper ->> chunking",)
    )
    verdict = judged(pipeline(), direct)
    assert codes(verdict) == ["edge_indirect"]
    assert verdict.findings[0].seen == ("scraper -> orchestrator -> chunking",)
    assert judged(pipeline(), through).status is Status.PASS
    near = ConnectedTraceParams(
        services=("orchestrator", "chunking"), edges=("orchestrator ->> chunking",)
    )
    assert judged(pipeline(), near).status is Status.PASS


def test_an_edge_the_wrong_way_round_is_missing() -> None:
    """Both ends are there and joined, but chunking calls nobody."""
    params = ConnectedTraceParams(services=SERVICES, edges=("chunking -> embedding-api",))
    verdict = judged(pipeline(), params)
    assert codes(verdict) == ["edge_missing"]
    assert "is called by orchestrator" in verdict.findings[0].seen[0]


def test_a_service_called_by_us_alone_misses_its_edge() -> None:
    """A service reached by the validator's own request was not reached by the other."""
    params = ConnectedTraceParams(services=("chunking", "orchestrator"),
                                  edges=("chunking -> orchestrator",))  # fmt: skip
    spans = [s for s in pipeline() if s.service in ("chunking", "orchestrator")]
    spans = without(spans, "complete", "call-chunk", "pub-embed")
    spans = changed(spans, "chunk", parent_id=SENT)
    assert "validator's own request" in judged(spans, params).findings[0].seen[0]


def test_extra_services_pass_unless_exact() -> None:
    """A service that joined is told; under `exact` it fails at once."""
    extra = span("search", "GET /search", parent=SENT, at=90)
    verdict = judged([*pipeline(), extra])
    assert verdict.status is Status.PASS
    assert verdict.notes == ("other services in the trace: search",)
    exact = ConnectedTraceParams(services=SERVICES, edges=EDGES, exact=True)
    failed = judged([*pipeline(), extra], exact, state=CoverageState.OPEN)
    assert failed.status is Status.FAIL
    assert codes(failed) == ["extra_service"]


def test_a_child_before_its_parent_within_the_skew_is_a_note() -> None:
    """Two hosts' clocks may differ by the tolerance, and no further."""
    spans = changed(pipeline(), "chunk", start=pipeline()[6].start - 30_000_000)
    verdict = judged(spans)
    assert verdict.status is Status.PASS
    assert "by at most 30 ms" in verdict.notes[0]
    assert codes(judged(spans, skew=0.02)) == ["child_before_parent"]


def test_a_child_that_outlives_its_parent_passes() -> None:
    """Asynchronous work ends after what began it."""
    late = pipeline()[0].end + 5_000_000_000
    assert judged(changed(pipeline(), "embed_task", end=late)).status is Status.PASS


def retried() -> list[Span]:
    """Return a job whose scrape task was retried from within its first attempt."""
    first = span("scraper", "run/scraper.scrape_task", id="run-1", parent="pub-scrape", at=8,
                 lasts=1, kind=SpanKind.CONSUMER, task="t-1")  # fmt: skip
    again = span("scraper", "apply_async/scraper.scrape_task", id="pub-2", parent="run-1", at=8.5,
                 lasts=0.1, kind=SpanKind.PRODUCER, task="t-1")  # fmt: skip
    spans = changed(pipeline(), "run-scrape", parent_id=sid("pub-2"))
    return [*spans, first, again]


def test_a_retry_is_one_way_and_its_last_attempt_is_judged() -> None:
    """The edge into the first attempt leads to the last one; the others are told."""
    verdict = judged(retried())
    assert verdict.status is Status.PASS
    assert "ran `run/scraper.scrape_task` 2 times" in verdict.notes[0]


def test_a_retry_that_lost_the_context_fails() -> None:
    """The first attempt was joined; the one that did the work is not."""
    spans = cut_off(retried(), "run-scrape")
    assert codes(judged(spans, of=job(traces=BOTH))) == ["context_lost"]


def test_context_lost_before_a_retry_is_told_of_its_first_attempt() -> None:
    """What was lost was lost before the first attempt: that is where the new trace begins."""
    spans = [
        replace(one, trace_id=OTHER, parent_id="" if one.span_id == sid("run-1") else one.parent_id)
        if one.service != "orchestrator" or one.span_id == sid("pub-2")
        else one
        for one in retried()
    ]
    verdict = judged(spans, of=job(traces=BOTH))
    lost = next(one for one in verdict.findings if one.code == "context_lost")
    assert "begins trace 9c3f7a… 6 ms later" in lost.seen[1]
    assert lost.spans == (sid("pub-scrape"), sid("run-1"))


def test_what_a_killed_attempt_left_is_told_from_lost_context() -> None:
    """A killed worker exports no `run/…`: the children it left name a task that ran again."""
    left = span("scraper", "GET", id="left", parent="killed", at=6, task="t-1")
    assert judged([*pipeline(), left]).status is Status.PASS
    stranger = span("scraper", "GET", id="left", parent="killed", at=6, task="t-9")
    assert codes(judged([*pipeline(), stranger])) == ["orphan"]


@pytest.mark.req("V-13")
def test_no_span_at_all_is_no_pass() -> None:
    """Nothing seen: every service is missing, and nothing else is said of edges."""
    verdict = judged([])
    assert verdict.status is Status.FAIL
    assert verdict.examined == 0
    assert set(verdict.findings[0].missing) >= {"spans", "spans:scraper"}


@pytest.mark.req("V-13")
@pytest.mark.parametrize(
    ("state", "status"),
    [
        (CoverageState.OPEN, Status.PENDING),
        (CoverageState.UNPROVEN, Status.INCONCLUSIVE),
        (CoverageState.UNREACHABLE, Status.INCONCLUSIVE),
        (CoverageState.ABSENT, Status.INCONCLUSIVE),
        (CoverageState.SETTLED, Status.PASS),
        (CoverageState.EXHAUSTED, Status.PASS),
    ],
)
def test_the_shape_of_a_trace_waits_for_completeness(state: CoverageState, status: Status) -> None:
    """A whole trace passes only when nothing more can come; a missing service fails only then."""
    assert judged(pipeline(), state=state).status is status
    missing = judged(without(pipeline(), "chunk"), state=state).status
    assert missing is (Status.FAIL if state.complete else status)


def test_sampled_out_is_an_answer_of_its_own() -> None:
    """No span but logs whose flag is off: a fail where all is sampled, else inconclusive."""
    logs = [line("orchestrator", "job accepted", sampled=False)]
    everything = judged([], logs=logs)
    assert (everything.status, everything.code) == (Status.FAIL, "sampled_out")
    ratio = judged([], logs=logs, of=job(sampling="ratio"))
    assert (ratio.status, ratio.code) == (Status.INCONCLUSIVE, "sampled_out")
    assert judged([], of=job(sampling="ratio")).status is Status.FAIL


def test_two_independent_breaks_are_both_reported() -> None:
    """A lost context and a missing service: neither hides the other."""
    spans = without(cut_off(pipeline(), "run-scrape"), "run-embed", "embed_task")
    assert codes(judged(spans, of=job(traces=BOTH))) == ["service_missing", "context_lost"]


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ({"services": ()}, "at least 1 item"),
        ({"services": ("a", "b"), "edges": ("a => b",)}, "is not an edge"),
        ({"services": ("a", "b"), "edges": ("a -> b -> a",)}, "is not an edge"),
        ({"services": ("a", "b"), "edges": ("a -> a",)}, "to itself"),
        ({"services": ("a", "b"), "edges": ("a -> c",)}, "`c` is not among the services"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(given_: dict[str, object], said: str) -> None:
    """A mistake in the suite is told when it is loaded, in words that say what to write."""
    with pytest.raises(ValidationError, match=said):
        ConnectedTraceParams(**given_)


def _facts(verdict: Verdict) -> tuple[object, ...]:
    return (verdict.status, verdict.code, verdict.summary, verdict.findings, verdict.notes)


SHAPES = {
    "whole": (pipeline(), job()),
    "lost": (cut_off(pipeline(), "run-scrape"), job(traces=BOTH)),
    "retried": (retried(), job()),
    "orphaned": (without(pipeline(), "scrape_task"), job()),
    "cyclic": (changed(pipeline(), "complete", parent_id=sid("call-chunk")), job()),
}


@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), repeats=st.integers(0, 6))
def test_order_and_repetition_change_nothing(shape: str, seed: int, repeats: int) -> None:
    """The same spans in any order, any of them again, give the same verdict to the letter."""
    spans, of = SHAPES[shape]
    generator = random.Random(seed)
    shuffled = [*spans, *generator.choices(spans, k=repeats)]
    generator.shuffle(shuffled)
    assert _facts(judged(shuffled, of=of)) == _facts(judged(spans, of=of))


REQUIRED = [one for one in pipeline() if one.name != "embed_task"]


@pytest.mark.req("V-13")
@pytest.mark.parametrize("gone", [one.span_id for one in REQUIRED if one.name != "scrape_task"])
def test_taking_away_anything_required_never_leaves_a_pass(gone: str) -> None:
    """Every span of the chain carries something: without it there is an orphan, or less."""
    spans = [one for one in pipeline() if one.span_id != gone]
    if gone == sid("pub-scrape"):
        assert judged(spans).status is Status.FAIL
    assert judged(spans).status is Status.FAIL


@settings(max_examples=60, deadline=None)
@given(services=st.sets(st.sampled_from(SERVICES), min_size=1))
def test_taking_away_services_never_leaves_a_pass(services: set[str]) -> None:
    """Whatever set of required services falls silent, it is a fail."""
    spans = [one for one in pipeline() if one.service not in services]
    assert judged(spans).status is Status.FAIL


def test_two_versions_of_one_span_are_one() -> None:
    """A span sent again with more in it counts once, the fuller one, in any order."""
    fuller = [replace(one, attributes={**one.attributes, "more": 1}) for one in pipeline()]
    assert _facts(judged([*fuller, *pipeline()])) == _facts(judged([*pipeline(), *fuller]))


def test_unused_exemplars_do_not_matter() -> None:
    """The check reads values of samples alone."""
    exemplar = Exemplar({"trace_id": TRACE}, 1.0, None)
    sample = Sample("m", "m", "gauge", {}, 1.0, None, exemplar, "x", "x-1", Phase.AFTER, "p", 0.0)
    base: Evidence = replace(evidence(pipeline()), samples=(sample,))
    assert evaluate(PARAMS, base).status is Status.PASS


def test_a_thousand_orphans_are_told_of_twenty_times() -> None:
    """What breaks everywhere is counted: the verdict stays readable and quick."""
    lost = [span("scraper", f"o{i}", id=f"o{i}", parent=f"p{i}", at=12) for i in range(1000)]
    verdict = judged([*pipeline(), *lost])
    assert len(verdict.findings) == 21
    assert verdict.findings[-1].summary == "980 more like the one before are not listed"


def test_a_second_root_beside_a_missing_service_names_it_as_the_likely_caller() -> None:
    """Who calls from a service without telemetry begins a trace: the finding says so."""
    spans = [one for one in pipeline() if one.service != "scraper"]
    spans = changed(spans, "complete", parent_id="")
    verdict = judged(spans)
    root = next(one for one in verdict.findings if one.code == "second_root")
    assert "its caller may be scraper" in root.likely
    assert not root.final


def test_attempts_that_are_each_others_ancestors_are_told_and_end() -> None:
    """Two attempts in a ring: the walk ends, and the cycle is the finding."""
    consumer = SpanKind.CONSUMER
    first = span("scraper", "run/t", id="a", parent="b", at=1, kind=consumer, task="t")
    middle = span("scraper", "publish", id="b", parent="a", at=2)
    last = span("scraper", "run/t", id="c", parent="b", at=3, kind=consumer, task="t")
    above = span("orchestrator", "root", id="r", at=0)
    params = ConnectedTraceParams(
        services=("orchestrator", "scraper"), edges=("orchestrator -> scraper",)
    )
    assert {"cycle", "context_lost"} <= set(codes(judged([above, first, middle, last], params)))


@pytest.mark.parametrize(
    ("nanoseconds", "said"),
    [(2_500_000_000, "2.5 s"), (-41_000_000, "41 ms"), (7_000, "7 µs")],
)
def test_durations_are_written_in_the_unit_that_suits(nanoseconds: int, said: str) -> None:
    """Seconds, milliseconds, microseconds; the sign is told in words elsewhere."""
    assert duration(nanoseconds) == said


def test_a_way_that_forks_and_joins_again_is_told_once() -> None:
    """Two ways through the same service: the third service is named, once."""
    spans = [
        span("a", "s", parent=SENT, at=0),
        span("b", "top", parent="s", at=1),
        span("b", "left", parent="top", at=2),
        span("b", "right", parent="top", at=2),
        span("c", "end", parent="left", at=3, links=[(TRACE, "right")]),
    ]
    params = ConnectedTraceParams(services=("a", "c"), edges=("a -> c",))
    verdict = judged(spans, params)
    assert verdict.findings[0].seen == ("a -> b -> c",)


def linking(one: Span, *to: tuple[str, str]) -> Span:
    """Return the span with links to these spans."""
    return replace(one, links=span("x", "x", links=to).links)


@pytest.mark.parametrize("to", ["right", "below"])
def test_links_in_a_ring_join_nothing(to: str) -> None:
    """Two roots that link to each other, or one to its own child, are not below the beginning."""
    ring = [
        linking(span("scraper", "left", at=30, job=JOB), (TRACE, to)),
        linking(span("scraper", "right", at=31, job=JOB), (TRACE, "left")),
        span("scraper", "below", parent="left", at=32),
    ]
    verdict = judged([*pipeline(), *ring], ConnectedTraceParams(services=SERVICES, hops="either"))
    assert "second_root" in codes(verdict)


def test_the_jobs_work_below_a_strangers_root_is_a_second_root() -> None:
    """The root is nobody's, but what hangs below it is this job's: it is cut off."""
    cut = [
        span("cron", "tick", at=30),
        span("chunking", "again", parent="tick", at=31, job=JOB),
    ]
    assert "second_root" in codes(judged([*pipeline(), *cut]))


def test_an_http_hop_joined_only_by_a_link_is_no_parent() -> None:
    """`hops: parent` holds for calls over HTTP too; a link beside a parent takes nothing away."""
    spans = [
        linking(one, (TRACE, "call-chunk")) if one.span_id == sid("chunk") else one
        for one in pipeline()
    ]
    assert judged(spans).status is Status.PASS
    assert "hop_is_link" in codes(judged(changed(spans, "chunk", parent_id="")))


def test_a_service_seen_only_in_an_attempt_that_was_replaced_is_missing() -> None:
    """The last attempt never reached the service: what the first did there is history."""
    spans = [*retried(), span("search", "index", parent="run-1", at=8.2)]
    params = ConnectedTraceParams(services=(*SERVICES, "search"), edges=("search -> chunking",))
    verdict = judged(spans, params)
    assert codes(verdict) == ["service_missing"]


def test_a_poll_loop_above_a_linking_span_is_not_missed() -> None:
    """`process` links to the producer; its parent is the worker's own loop: no evidence."""
    spans = cut_off(pipeline(), "run-scrape")
    spans = [
        linking(replace(one, parent_id=sid("loop")), (TRACE, "pub-scrape"))
        if one.span_id == sid("run-scrape")
        else one
        for one in spans
    ]
    refs = (TraceRef(TRACE, "sent"), TraceRef(OTHER, "link"))
    params = ConnectedTraceParams(services=SERVICES, edges=EDGES, hops="either")
    assert judged(spans, params, of=job(traces=refs)).status is Status.PASS


def heard(*services: str) -> SourceReport:
    """Return what a source reports that these services sent spans to."""
    return SourceReport("c", "collector", (Signal.TRACES,), 1, 1, "", "", None, None, 2.0, "", (),
                        heard=services)  # fmt: skip


def test_a_service_that_was_heard_lost_the_context() -> None:
    """Its spans came, but in traces that nothing ties to the job: not an exporter's fault."""
    base = evidence([one for one in pipeline() if one.service != "chunking"])
    verdict = evaluate(PARAMS, replace(base, sources=(heard("chunking"),)))
    assert "the trace context was lost on the way to it" in verdict.findings[0].likely
    nothing = evaluate(PARAMS, replace(evidence([]), sources=(heard("scraper", "chunking"),)))
    assert "chunking, scraper did send spans meanwhile" in nothing.findings[0].likely
    silent = evaluate(PARAMS, replace(evidence([]), sources=(heard(),)))
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in silent.findings[0].likely
