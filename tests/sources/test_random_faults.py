"""However a source breaks, and however that changes, no verdict is wrong.

The oracle is a run without a fault: with faults each verdict is the same, or inconclusive with a
fault named that was met. All runs are end to end, on a clock that only they move.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import pytest

from checks import CHECKS
from tests.sources.faulty import NAMED, SIZE, Backend, Fault, Spell, Wire, weather
from tests.sources.faulty_loki import FakeLoki, Logged, json_line, record
from tests.sources.faulty_metrics import (
    FAMILY,
    Counted,
    FakePage,
    FakePrometheus,
    Metered,
    counted,
)
from tests.sources.faulty_traces import FakeCollector, FakeJaeger, FakeTempo, Rows
from tests.traces import EDGES, EPOCH, JOB, SERVICES, TRACE, pipeline
from validator.judge import Judge
from validator.mark import new_mark
from validator.model import JobState, Run, Signal, Span, SpanStatus, Status, Verdict
from validator.plan import Parts, Plan, Target
from validator.ports import Source
from validator.run import SuiteRun
from validator.sources.collector.client import RemoteCollectorSource
from validator.sources.control import Control
from validator.sources.http import Bounds, Http, make_session
from validator.sources.jaeger import JaegerSource
from validator.sources.loki import LokiSource, Streams
from validator.sources.prometheus import PrometheusSource
from validator.sources.scrape import Page, ScrapeSource
from validator.sources.tempo import TempoSource
from validator.sources.trace_store import Lags
from validator.suite import CheckSpec, Suite
from validator.testing import FakeClock, FakeExecutor, FakeObserver, FakeSubmitter
from validator.traces import parent_id_for

pytestmark = pytest.mark.slow
TRIALS = 1_000
_BLOCK = 250
URL = "http://backend.example"
_UNDECIDED = (Status.INCONCLUSIVE, Status.BLOCKED)


@dataclass(frozen=True)
class Subject:
    """A type of source: how it is made, of which backends, and the suite that reads it.

    `variants` makes the backend of each case, by name; `ways` are parts of the paths that faults
    may be of alone. Of the cases `undecided` nobody can tell: a page without any sample of what
    is asked for does not show itself.
    """

    make: Callable[[Http], Source]
    variants: Mapping[str, Callable[[FakeClock], Backend]]
    checks: tuple[tuple[str, Mapping[str, Any]], ...]
    ways: tuple[str, ...] = ("",)
    metrics: frozenset[str] = frozenset()
    undecided: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trial:
    """One run, and what it met."""

    run: Run
    wire: Wire


def run_trial(subject: Subject, variant: str, spells: tuple[Spell, ...]) -> Trial:
    """Make one run of a case in this weather."""
    clock = FakeClock(float(EPOCH))
    backend = subject.variants[variant](clock)
    wire = Wire(clock, backend, spells)
    session = make_session()
    session.mount("http://", wire)
    session.trust_env = False
    http = Http("backend", session, clock, Bounds(timeout=2.0, size=SIZE))
    source = subject.make(http)
    specs = tuple(
        CheckSpec(kind, f"{kind}-{number}", params, "a test", "required", "x")
        for number, (kind, params) in enumerate(subject.checks)
    )
    mark = replace(new_mark({}, traceparent=True), trace_id=TRACE, parent_id=parent_id_for(TRACE))
    done = [(0.0, "running", JobState.RUNNING), (1.0, "done", JobState.PASSED)]
    job = FakeSubmitter(clock, done, job_id=JOB, poll_interval=0.25)
    if isinstance(backend, Metered):
        backend.job = job
    target = Target("t", job, "adopt", ("job.id",), "all")
    plan = Plan(
        suite=Suite("s", 1, "t", {}, 30.0, 2.0, 0.05, False, specs, "s.yaml"),  # noqa: FBT003
        target=target,
        sources=(source,),
        judge=Judge(CHECKS, specs),
        mark=mark,
        metrics=subject.metrics,
        patience=5.0,
    )
    try:
        parts = Parts(clock, FakeExecutor(clock), FakeObserver(clock))
        return Trial(SuiteRun(plan, parts).make(), wire)
    finally:
        source.close()


# -- Loki -----------------------------------------------------------------------------------------


def _loki(http: Http) -> Source:
    control = Control(f"{URL}/otlp", http, (Signal.LOGS,))
    return LokiSource("backend", http, 4.0, Streams(URL, control=control))


GOOD_LOGS = (
    record(0.3, "orchestrator", "accepted"),
    json_line(0.6, "scraper", "fetched", error_code="none"),
    record(0.9, "chunking", "chunked", chunks="7"),
    json_line(1.3, "scraper", "failed once", "warning", error_code="http_503"),
    record(1.7, "orchestrator", "done"),
)


def _lines(*rows: Logged) -> Callable[[FakeClock], Backend]:
    return lambda clock: FakeLoki(clock, list(rows))


def _less(body: str) -> tuple[Logged, ...]:
    return tuple(row for row in GOOD_LOGS if body not in row.body)


LOG_CHECKS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("log_fields", {"logs": {"service": "chunking"}, "require": ["trace_id", "job.id", "chunks"],
                    "trace_is_job": True}),
    ("log_fields", {"logs": {"where": {"body": "failed once"}}, "require": ["error_code"],
                    "equals": {"job.id": JOB}}),
    ("log_fields", {"logs": {"severity_at_least": "ERROR"}, "absent": ["*"], "min_matches": 0}),
    ("log_fields", {"absent": ["password"], "min_matches": 0}),
    ("log_fields", {"logs": {"service": "orchestrator"}, "require": ["trace_id"], "on": "any"}),
    ("expression", {"expr": "!logs.exists(l, l.severity == 'ERROR')", "message": "an error"}),
    ("expression", {"expr": "logs.all(l, l.body != 'lost')", "message": "lost"}),
)  # fmt: skip
LOG_VARIANTS = {
    "good": GOOD_LOGS,
    "a service is silent": _less("chunked"),
    "a line is missing": _less("failed once"),
    "a field is missing": (*_less("failed once"), json_line(1.3, "scraper", "failed once")),
    "an error": (*GOOD_LOGS, record(1.4, "scraper", "lost", "ERROR")),
    "a secret": (*GOOD_LOGS, record(1.6, "chunking", "login", password="x")),
    "another trace": (*_less("chunked"), record(0.9, "chunking", "chunked", chunks="7",
                                                trace="9" * 32)),
    "no trace": (*_less("chunked"), record(0.9, "chunking", "chunked", chunks="7", trace="")),
    "nothing": (),
}  # fmt: skip
LOKI = Subject(
    _loki,
    {name: _lines(*rows) for name, rows in LOG_VARIANTS.items()},
    LOG_CHECKS,
    ("", "", "/otlp", "/query_range"),
)


# -- traces ---------------------------------------------------------------------------------------


def _readable(spans: Iterable[Span]) -> Rows:
    """Return spans as they become readable, one after the other, the last after the job's end."""
    return [(0.2 + 0.13 * number, one) for number, one in enumerate(spans)]


def _but(*services: str) -> list[Span]:
    return [one for one in pipeline() if one.service not in services]


def _changed(name: str, **fields: Any) -> list[Span]:
    return [replace(one, **fields) if one.name == name else one for one in pipeline()]


TRACE_CHECKS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("connected_trace", {"services": SERVICES, "edges": EDGES}),
    ("span_attributes", {"spans": {"service": "scraper", "name": "scrape_task"},
                         "require": ["job.id"]}),
    ("span_outcome", {"spans": {"where": {"error.type": "timeout"}}, "count": {"max": 0}}),
    ("span_outcome", {"spans": {"service": "chunking"}, "count": {"equals": 1},
                      "status": "not_error"}),
    ("expression", {"expr": "!spans.exists(s, s.status == 'ERROR')", "message": "an error"}),
)  # fmt: skip
TRACE_VARIANTS: Mapping[str, list[Span]] = {
    "good": pipeline(),
    "a service is missing": _but("chunking"),
    "the last service is missing": _but("embedding-api"),
    "an attribute is missing": _changed("scrape_task", attributes={}),
    "an error": _changed("POST /chunk", status=SpanStatus.ERROR,
                         attributes={"error.type": "timeout", "job.id": JOB}),
    "a lost parent": _changed("run/scraper.scrape_task", parent_id=""),
    "nothing": [],
}  # fmt: skip


def _tempo(http: Http) -> Source:
    return TempoSource("backend", URL, http, Lags(4.0, 4.0), _planting(http))


def _jaeger(http: Http) -> Source:
    return JaegerSource("backend", URL, http, Lags(4.0, 4.0), _planting(http))


def _planting(http: Http) -> Control:
    return Control(f"{URL}/otlp", http, (Signal.TRACES,))


class PolledCollector(RemoteCollectorSource):
    """A remote collector whose long poll is left out: a thread of its own would move the clock."""

    def on_change(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Wake now, as an answer that was waited for would; later moments are the run's own."""
        wake()
        return lambda: None


def _collector(http: Http) -> Source:
    return PolledCollector("backend", URL, http, 4.0)


def _stores(
    backend: Callable[[FakeClock, Rows], Backend],
) -> Mapping[str, Callable[[FakeClock], Backend]]:
    def made(spans: list[Span]) -> Callable[[FakeClock], Backend]:
        return lambda clock: backend(clock, _readable(spans))

    return {name: made(spans) for name, spans in TRACE_VARIANTS.items()}


# -- metrics --------------------------------------------------------------------------------------

METRIC_CHECKS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("metric_labels", {"metric": FAMILY, "label": "operation", "values": ["read", "write"]}),
    ("metric_labels", {"metric": FAMILY, "label": "operation", "values": ["read"]}),
    ("expression", {"expr": "!samples.exists(s, s.labels.operation == 'lost')", "message": "lost",
                    "metrics": [FAMILY]}),
)  # fmt: skip
METRIC_VARIANTS: Mapping[str, list[Counted]] = {
    "good": [counted("read", 5, 6), counted("write", 5, 7)],
    "one stands still": [counted("read", 5, 6), counted("write", 5, 5)],
    "one is missing": [counted("read", 5, 6)],
    "another's traffic": [counted("read", 5, 6), counted("write", 5, 7, "user")],
    "a label of its own": [counted("read", 5, 6), counted("write", 5, 7), counted("lost", 0, 1)],
    "nothing": [],
}


def _prometheus(http: Http) -> Source:
    return PrometheusSource("backend", URL, http, 3.0)


def _scrape(http: Http) -> Source:
    return ScrapeSource("backend", (Page("embedding-api", f"{URL}/metrics"),), http, 3.0)


def _metrics(
    backend: Callable[[FakeClock, list[Counted]], Backend],
) -> Mapping[str, Callable[[FakeClock], Backend]]:
    def made(rows: list[Counted]) -> Callable[[FakeClock], Backend]:
        return lambda clock: backend(clock, rows)

    return {name: made(rows) for name, rows in METRIC_VARIANTS.items()}


_FAMILIES = frozenset({FAMILY})
SUBJECTS = {
    "loki": LOKI,
    "tempo": Subject(_tempo, _stores(FakeTempo), TRACE_CHECKS, ("", "", "/otlp", "/api/")),
    "jaeger": Subject(_jaeger, _stores(FakeJaeger), TRACE_CHECKS, ("", "", "/otlp", "/api/")),
    "collector": Subject(_collector, _stores(FakeCollector), TRACE_CHECKS, ("", "", "/v1/t")),
    "prometheus": Subject(
        _prometheus, _metrics(FakePrometheus), METRIC_CHECKS, ("", "/query"), _FAMILIES
    ),
    "scrape": Subject(
        _scrape,
        _metrics(FakePage),
        METRIC_CHECKS,
        metrics=_FAMILIES,
        undecided=("nothing",),
    ),
}


# -- the promise ----------------------------------------------------------------------------------


def _said(run: Run, verdict: Verdict) -> str:
    """Return every word that may give the reason of a verdict."""
    words = [verdict.summary, *run.findings]
    words += [text for one in verdict.findings for text in (one.summary, *one.seen)]
    for report in run.evidence.sources:
        words += [report.error, *report.findings]
    return "\n".join(words)


def _wrong(trial: Trial, oracle: Run) -> list[str]:
    """Return what is wrong with the verdicts of a trial."""
    wrong = []
    met = set(trial.wire.met)
    for found, right in zip(trial.run.verdicts, oracle.verdicts, strict=True):
        if (found.status, found.code) == (right.status, right.code):
            continue
        if found.status is Status.BLOCKED and right.status is Status.FAIL:
            continue
        if found.status not in _UNDECIDED:
            wrong.append(f"{found.name}: {found.status} {found.code} ({found.summary})")
        elif not any(word in _said(trial.run, found) for fault in met for word in NAMED[fault]):
            wrong.append(f"{found.name}: {found.status} names none of {met}: {found.summary}")
    return wrong


@pytest.mark.req("V-13")
@pytest.mark.parametrize("name", SUBJECTS)
def test_the_oracle_is_right(name: str) -> None:
    """Without a fault every check of the good case passes, and in each broken one some fail."""
    subject = SUBJECTS[name]
    for variant in subject.variants:
        verdicts = run_trial(subject, variant, ()).run.verdicts
        statuses = {verdict.status for verdict in verdicts}
        if variant == "good":
            assert statuses == {Status.PASS}, verdicts
        else:
            undecided = Status.INCONCLUSIVE in statuses
            assert undecided if variant in subject.undecided else Status.FAIL in statuses, variant
            assert undecided == (variant in subject.undecided), (variant, verdicts)


@pytest.mark.req("V-13")
@pytest.mark.parametrize("first", range(0, TRIALS, _BLOCK))
@pytest.mark.parametrize("name", SUBJECTS)
def test_no_fault_makes_a_wrong_verdict(name: str, first: int) -> None:
    """A thousand times: no false pass, no false fail, and a reason that names a fault."""
    subject = SUBJECTS[name]
    oracles = {variant: run_trial(subject, variant, ()).run for variant in subject.variants}
    failures = []
    for seed in range(first, first + _BLOCK):
        chance = random.Random(f"{name} {seed}")
        variant = chance.choice(["good", *subject.variants])
        spells = weather(chance, subject.ways)
        trial = run_trial(subject, variant, spells)
        failures += [
            f"seed {seed}, {variant}: {one}\n    {spells}"
            for one in _wrong(trial, oracles[variant])
        ]
    assert not failures, f"{len(failures)} wrong:\n" + "\n".join(failures[:20])


@pytest.mark.req("V-13")
@pytest.mark.parametrize("name", SUBJECTS)
def test_who_answers_from_elsewhere_never_proves_that_there_is_nothing(name: str) -> None:
    """Whenever the wrong tenant or data source begins to answer, and whether it ever ends."""
    subject = SUBJECTS[name]
    oracles = {variant: run_trial(subject, variant, ()).run for variant in subject.variants}
    for start in (step / 10 for step in range(0, 30, 2)):
        for variant, lasts in product(subject.variants, (1e9, 2.0)):
            spells = (Spell(start, start + lasts, Fault.EMPTY),)
            wrong = _wrong(run_trial(subject, variant, spells), oracles[variant])
            assert not wrong, (variant, spells)
