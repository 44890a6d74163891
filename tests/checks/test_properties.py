"""Properties of every check: order and repetition never matter, and nothing passes without all.

Each kind has one good piece of evidence; the properties hold over what is done to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks import CHECKS
from tests.checks.build import (
    FAR,
    JOB,
    TRACE,
    attempt,
    coverage,
    evidence,
    hit,
    job,
    log,
    sample,
    span,
)
from tests.checks.build import existing_job as existing
from tests.checks.judging import INCOMPLETE, judge, passes
from validator.model import CoverageState, Evidence, JobState, Phase, Signal, SpanStatus

ATTRIBUTES = {"job.id": JOB, "queue.name": "scrape", "request.mode": "async"}
FIELDS = {"failed_stage": "scraping", "error_code": "http_403", "job_id": JOB}
DURATION = "request_duration_seconds"


@dataclass(frozen=True)
class Good:
    """A check and evidence on which it passes; `early` if it needs no complete evidence."""

    kind: str
    params: Mapping[str, Any]
    evidence: Evidence
    early: bool = False


HEADS = [attempt("scraper", "run/scrape", "t1", id=f"a{n}", ms=n * 50.0) for n in (1, 2)]
OLD = span("scraper", "scrape_task", id="s1", parent="a1", ms=51, attributes={})
WORK = span(
    "scraper", "scrape_task", parent="a2", ms=101, attributes=ATTRIBUTES, status=SpanStatus.OK
)
ROOT = span("orchestrator", "root", id="root", ms=0, took=500.0)
SPANS = [ROOT, *HEADS, OLD, WORK]
LINE = log("scraper", "blocked", severity="ERROR", attributes=FIELDS)
SAMPLES = [
    sample(f"{DURATION}_count", 1.0, type="histogram", labels={"operation": "read"}, before=True),
    sample(f"{DURATION}_count", 2.0, type="histogram", labels={"operation": "read"}),
    sample(f"{DURATION}_count", 2.0, type="histogram", labels={"operation": "write"}),
]
FULL = evidence(SPANS, [LINE], SAMPLES, job=job(fields={"error_code": "none"}))

GOODS = {
    "span_attributes": Good(
        "span_attributes",
        {
            "spans": {"service": "scraper", "name": "scrape_task"},
            "require": ["job.id", "queue.name"],
            "types": {"request.mode": "string"},
            "equals": {"job.id": JOB},
        },
        FULL,
    ),
    "span_attributes any": Good(
        "span_attributes",
        {"spans": {"service": "orchestrator"}, "require": ["job.id"], "on": "any"},
        evidence([ROOT]),
        early=True,
    ),
    "span_outcome": Good(
        "span_outcome",
        {"spans": {"name": "scrape_task"}, "status": "ok", "max_duration": "1s",
         "count": {"equals": 1}},
        FULL,
    ),
    "metric_labels": Good(
        "metric_labels",
        {"metric": DURATION, "label": "operation", "values": ["read", "write"]},
        FULL,
    ),
    "metric_labels of an existing job": Good(
        "metric_labels",
        {"metric": DURATION, "label": "operation", "values": ["read"], "on_every_sample": False},
        evidence(
            samples=[
                sample(f"{DURATION}_count", 1.0, type="histogram", labels={"operation": "read"},
                       exemplar=TRACE),
            ],
            job=existing(),
        ),
        early=True,
    ),
    "log_fields": Good(
        "log_fields",
        {
            "logs": {"service": "scraper", "severity_at_least": "ERROR"},
            "require": ["failed_stage", "error_code", "trace_id", "job_id"],
            "trace_is_job": True,
        },
        FULL,
    ),
    "job_outcome": Good(
        "job_outcome",
        {"fields": {"error_code": "none"}, "status": "done", "within": "30s"},
        FULL,
        early=True,  # not a matter of telemetry
    ),
    "version": Good(
        "version", {"services": ["orchestrator", "scraper"], "version": "1.2.3"}, FULL
    ),
    "trace_search": Good(
        "trace_search",
        {"within": "60s"},
        evidence([ROOT, span("scraper", "far", trace=FAR)], hits=(hit(TRACE), hit(FAR))),
    ),
    "trace_search any": Good(
        "trace_search", {"traces": "any"}, evidence([ROOT], hits=(hit(TRACE),)), early=True
    ),
    "expression": Good(
        "expression",
        {
            "expr": "spans.exists(s, s.name == 'scrape_task' && s.service == 'scraper') "
            "&& logs.all(l, l.attributes.error_code == 'http_403')",
            "message": "m",
        },
        FULL,
    ),
    "connected_trace": Good(
        "connected_trace",
        {"services": ["orchestrator", "scraper"]},
        evidence([ROOT, span("scraper", "scrape_task", parent="root")]),
    ),
}  # fmt: skip
EVERY = pytest.mark.parametrize("good", GOODS.values(), ids=GOODS.keys())


def test_every_kind_is_among_them() -> None:
    """A new kind has to state its properties here."""
    assert {good.kind for good in GOODS.values()} == set(CHECKS)


@EVERY
def test_good_evidence_passes(good: Good) -> None:
    """What is taken away below is the reason for no longer passing."""
    assert passes(judge(good.kind, dict(good.params), good.evidence))


def spoiled(of: Evidence) -> Iterator[Evidence]:
    """Make evidence with something wrong in each part, so that failures are compared too."""
    yield of
    yield replace(of, spans=tuple(replace(one, attributes={}) for one in of.spans))
    yield replace(of, spans=tuple(one for one in of.spans if one.service != "scraper"))
    yield replace(of, spans=tuple(replace(one, resource={}) for one in of.spans))
    yield replace(of, logs=tuple(replace(one, trace_id="", attributes={}) for one in of.logs))
    yield replace(of, samples=tuple(replace(one, labels={}) for one in of.samples))
    yield replace(of, samples=of.samples[:1])


@EVERY
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_neither_order_nor_repetition_matters(good: Good, data: st.DataObject) -> None:
    """Answers overlap and come in any order: the verdict is the same to the letter."""
    case = data.draw(st.sampled_from(list(spoiled(good.evidence))))

    def mixed(pieces: tuple[Any, ...]) -> tuple[Any, ...]:
        again = data.draw(st.lists(st.sampled_from(pieces), max_size=4)) if pieces else []
        return tuple(data.draw(st.permutations([*pieces, *again])))

    shuffled = replace(
        case, spans=mixed(case.spans), logs=mixed(case.logs), samples=mixed(case.samples)
    )
    params = dict(good.params)
    assert judge(good.kind, params, shuffled) == judge(good.kind, params, case)


Taken = Iterator[tuple[str, Evidence]]


def _of_span_attributes(good: Good) -> Taken:
    of = good.evidence
    for key in (*good.params["require"], *good.params.get("types", ())):
        yield key, replace(of, spans=tuple(_less(one, key) for one in of.spans))


def _of_log_fields(good: Good) -> Taken:
    of = good.evidence
    for key in FIELDS:
        yield key, replace(of, logs=tuple(_less(one, key) for one in of.logs))
    yield "trace_id", replace(of, logs=tuple(replace(one, trace_id="") for one in of.logs))


def _of_metric_labels(good: Good) -> Taken:
    of = good.evidence
    for index, one in enumerate(of.samples):
        if one.phase is Phase.AFTER:
            rest = of.samples[:index] + of.samples[index + 1 :]
            yield "a sample", replace(of, samples=rest)
            bare = replace(one, labels={"traffic": "synthetic"})
            yield "a label", replace(of, samples=(*rest, bare))
            unmarked = {key: value for key, value in one.labels.items() if key != "traffic"}
            yield (
                "the mark",
                replace(of, samples=(*rest, replace(one, labels=unmarked, exemplar=None))),
            )


def _of_version(good: Good) -> Taken:
    of = good.evidence
    yield "versions", replace(of, spans=tuple(replace(one, resource={}) for one in of.spans))


def _of_span_outcome(good: Good) -> Taken:
    of = good.evidence
    unset = tuple(replace(one, status=SpanStatus.UNSET) for one in of.spans)
    yield "status", replace(of, spans=unset)


def _of_job_outcome(good: Good) -> Taken:
    job_of = good.evidence.job
    for state in set(JobState) - {JobState.PASSED}:
        yield state, replace(good.evidence, job=replace(job_of, state=state))
    changes: tuple[dict[str, Any], ...] = (
        {"fields": {}},
        {"status": ""},
        {"submitted": None},
        {"ended": None},
    )
    for change in changes:
        yield str(change), replace(good.evidence, job=replace(job_of, **change))


_TAKERS: Mapping[str, Callable[[Good], Taken]] = {
    "span_attributes": _of_span_attributes,
    "log_fields": _of_log_fields,
    "metric_labels": _of_metric_labels,
    "version": _of_version,
    "span_outcome": _of_span_outcome,
    "job_outcome": _of_job_outcome,
}


def without(good: Good) -> Taken:
    """Take away what the check of this kind asks for, one thing at a time."""
    of = good.evidence
    if good.kind in _TAKERS:
        yield from _TAKERS[good.kind](good)
    signals = judge(good.kind, dict(good.params), of).signals
    if Signal.TRACES in signals:
        yield "all spans", replace(of, spans=())
    if Signal.LOGS in signals:
        yield "all logs", replace(of, logs=())
    if Signal.SEARCH in signals:
        for one in of.hits:
            rest = tuple(other for other in of.hits if other is not one)
            yield "a hit", replace(of, hits=rest)
    if Signal.METRICS in signals:
        yield "all samples", replace(of, samples=())
    for service in good.params.get("services", ()):
        yield service, replace(of, spans=tuple(one for one in of.spans if one.service != service))


def _less(piece: Any, key: str) -> Any:
    kept = {name: value for name, value in piece.attributes.items() if name != key}
    return replace(piece, attributes=kept)


@pytest.mark.req("V-13")
@EVERY
def test_taking_away_anything_required_never_leaves_a_pass(good: Good) -> None:
    """Not one piece, attribute, field, label or value can go unnoticed."""
    taken = list(without(good))
    assert taken
    for what, rest in taken:
        assert not passes(judge(good.kind, dict(good.params), rest)), what


@pytest.mark.req("V-13")
@EVERY
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_nothing_passes_unless_it_is_complete_or_exists(good: Good, data: st.DataObject) -> None:
    """Whatever is left of good evidence passes on incomplete evidence only where one is enough."""
    of = good.evidence
    state = data.draw(st.sampled_from(INCOMPLETE))
    left = replace(
        of,
        spans=tuple(data.draw(st.lists(st.sampled_from(of.spans)))) if of.spans else (),
        logs=tuple(data.draw(st.lists(st.sampled_from(of.logs)))) if of.logs else (),
        samples=tuple(data.draw(st.lists(st.sampled_from(of.samples)))) if of.samples else (),
        coverage=coverage(state),
    )
    verdict = judge(good.kind, dict(good.params), left)
    assert passes(verdict) is False or good.early


@EVERY
def test_empty_and_hostile_evidence_breaks_nothing(good: Good) -> None:
    """Nothing, empty names, zero times and hundreds of attributes are judged, not raised about."""
    odd = span("", "", id="odd", parent="odd", ms=0, took=-5, attributes={}, resource={})
    wide = span("scraper", "scrape_task", attributes={f"k{n}": n for n in range(10_000)})
    line = log("", "", severity="", trace_id="xyz", span_id="", attributes={"": ""})
    point = sample("", float("nan"), labels={"": ""}, service="", instance="")
    hostile = evidence([odd, replace(wide, start=0, end=0)], [line], [point])
    for case in (hostile, evidence(job=job(id="", traces=(), state=JobState.NOT_SUBMITTED))):
        for state in CoverageState:
            verdict = judge(good.kind, dict(good.params), replace(case, coverage=coverage(state)))
            assert verdict.check == good.kind
