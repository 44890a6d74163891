"""What every source promises, held against each of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Protocol

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE as CUMULATIVE,
)

from tests.sources import encode
from tests.sources.conftest import Rig, RigMaker, ask, http
from tests.sources.encode import Row
from tests.sources.prom_answers import answering, matrix, scraped, series
from tests.sources.servers import Canned, Script, always, serving
from validator.clock import SystemClock
from validator.errors import SourceError, SourceFailure
from validator.model import (
    Link,
    LogLine,
    Phase,
    Sample,
    Span,
    SpanKind,
    SpanStatus,
    TraceRef,
)
from validator.ports import LogSource, MetricSource, Plantable, Source, TraceSource, Waking
from validator.sources.alertmanager import AlertmanagerSource
from validator.sources.collector.client import RemoteCollectorSource
from validator.sources.collector.limits import Limits
from validator.sources.grafana import GrafanaSource
from validator.sources.http import Bounds
from validator.sources.jaeger import JaegerSource
from validator.sources.loki import LokiSource, Streams
from validator.sources.prometheus import PrometheusSource
from validator.sources.scrape import Page, ScrapeSource
from validator.sources.tempo import TempoSource
from validator.sources.trace_store import Lags
from validator.testing import FakeClock, FakeMetrics, FakeSource

OURS, OTHER, LINKING = "a1" * 16, "b2" * 16, "c3" * 16
JOB = {"job.id": "job-1"}
ROWS = (
    Row(OURS, span="00000000000000a1"),
    Row(OURS, span="00000000000000a2", parent="00000000000000a1"),
    Row(OTHER, span="00000000000000b1", attributes=JOB),
    Row(OTHER, span="00000000000000b2", parent="00000000000000b1"),
    Row(LINKING, span="00000000000000c1", links=((OURS, "00000000000000a2"),)),
    Row("d4" * 16, span="00000000000000d1", attributes={"job.id": "job-2"}),
)
PAGE = """# TYPE pages_seen_total counter
pages_seen_total{traffic="synthetic"} 3.0
# TYPE other gauge
other 1.0
# TYPE target_info gauge
target_info{service_version="1.2"} 1
"""


class Reader(TraceSource, LogSource, Protocol):
    """Spans and log lines: what the tests of evidence need."""


@dataclass
class Subject:
    """A source, and a way to give it what it is to answer."""

    source: Reader
    tell: Callable[[tuple[Row, ...]], None]


def _collected(rig: Rig, source: Reader) -> Subject:
    """Return a source whose collector gets rows over OTLP/HTTP."""

    def tell(rows: tuple[Row, ...]) -> None:
        rig.send("traces", encode.traces(rows))
        rig.send("logs", encode.logs(rows))

    return Subject(source, tell)


def _faked() -> Subject:
    """Return the fake, which gets rows as the model has them."""
    fake = FakeSource(FakeClock())

    def tell(rows: tuple[Row, ...]) -> None:
        for row in rows:
            fake.span(0, _span(row)).log(0, _line(row))

    return Subject(fake, tell)


def _span(row: Row) -> Span:
    """Return a row as a span."""
    return Span(
        trace_id=row.trace,
        span_id=row.span,
        parent_id=row.parent,
        name="work",
        kind=SpanKind.SERVER,
        service=row.service,
        instance="i-1",
        start=row.start,
        end=row.end,
        status=SpanStatus.UNSET,
        status_message="",
        attributes=row.attributes,
        resource={"service.name": row.service, "service.instance.id": "i-1"},
        links=tuple(Link(trace_id, span_id) for trace_id, span_id in row.links),
        events=(),
        scope="",
        source="",
        seen=0.0,
    )


def _line(row: Row) -> LogLine:
    """Return a row as a log line."""
    resource = {"service.name": row.service, "service.instance.id": "i-1"}
    return LogLine(
        time=row.start,
        service=row.service,
        instance="i-1",
        severity="INFO",
        body="working",
        trace_id=row.trace,
        span_id=row.span,
        sampled=True,
        attributes=row.attributes,
        resource=resource,
        source="",
        seen=0.0,
    )


@pytest.fixture(params=["local", "remote", "fake"])
def subject(request: pytest.FixtureRequest, rig: Rig) -> Subject:
    """Return each source of spans and log lines."""
    if request.param == "fake":
        return _faked()
    return _collected(rig, rig.local() if request.param == "local" else rig.remote())


def ids(spans: tuple[Span, ...]) -> list[str]:
    """Return the last two digits of each span's id, sorted."""
    return sorted(span.span_id[-2:] for span in spans)


@pytest.mark.req("V-12")
def test_traces_asked_for_come_whole(subject: Subject) -> None:
    """A trace asked for comes whole, with those that link to it, and nothing else."""
    subject.tell(ROWS)
    answer = subject.source.traces(ask(OURS))
    assert ids(answer.spans) == ["a1", "a2", "c1"]
    assert answer.traces == (TraceRef(LINKING, "link"),)
    assert (answer.full, answer.findings) == (True, ())


@pytest.mark.req("V-12")
def test_traces_of_the_job_come_whole(subject: Subject) -> None:
    """A trace with one span that carries the job's id comes whole, and is told to be found so."""
    subject.tell(ROWS)
    answer = subject.source.traces(ask(job_id="job-1"))
    assert ids(answer.spans) == ["b1", "b2"]
    assert answer.traces == (TraceRef(OTHER, "job_id"),)


def test_a_span_says_what_was_sent(subject: Subject) -> None:
    """A span is what its sender sent, and says who answered it."""
    subject.tell(ROWS)
    (span,) = subject.source.traces(ask("d4" * 16)).spans
    sent = _span(ROWS[5])
    assert span.source == subject.source.name
    assert span.seen > 0
    assert {name: getattr(span, name) for name in ("service", "instance", "start", "end")} == {
        name: getattr(sent, name) for name in ("service", "instance", "start", "end")
    }
    assert (span.kind, span.status, span.attributes) == (sent.kind, sent.status, sent.attributes)
    assert (span.name, span.resource) == (sent.name, sent.resource)


def test_logs_of_traces_and_of_the_job(subject: Subject) -> None:
    """Log lines come by their trace and by the job's id, and say what was sent."""
    subject.tell(ROWS)
    lines = subject.source.logs(ask(OURS)).logs
    assert {line.trace_id for line in lines} == {OURS}
    assert len(lines) == 2
    (line,) = subject.source.logs(ask("d4" * 16)).logs
    assert (line.severity, line.body, line.sampled) == ("INFO", "working", True)
    assert line.source == subject.source.name
    of_job = subject.source.logs(ask(job_id="job-1")).logs
    assert "00000000000000b1" in {line.span_id for line in of_job}
    assert {line.trace_id for line in of_job} == {OTHER}


def test_what_is_not_there_is_an_empty_answer(subject: Subject) -> None:
    """Neither an unknown trace nor an unknown or empty job id is an error, or finds anything."""
    subject.tell((*ROWS, Row("e5" * 16, attributes={"job.id": ""})))
    for question in (ask("99" * 16), ask(job_id="none"), ask(), ask(job_id="job-1", keys=())):
        for answer in (subject.source.traces(question), subject.source.logs(question)):
            assert (answer.spans, answer.logs, answer.traces) == ((), (), ())
            assert answer.full


def test_an_answer_does_not_grow_with_asking(subject: Subject) -> None:
    """The same question has the same answer, and what comes later is added to it."""
    subject.tell(ROWS[:1])
    first = subject.source.traces(ask(OURS)).spans
    assert subject.source.traces(ask(OURS)).spans == first
    subject.tell(ROWS[1:2])
    assert ids(subject.source.traces(ask(OURS)).spans) == ["a1", "a2"]


def test_budget_and_names_are_declared(subject: Subject) -> None:
    """A source declares its name, its type, and its lag budget."""
    assert subject.source.name
    assert subject.source.kind
    assert subject.source.lag_budget > 0


def test_closing_twice_is_closing_once(subject: Subject) -> None:
    """`close` may be called again."""
    subject.source.close()
    subject.source.close()


@pytest.mark.req("V-13")
@pytest.mark.parametrize("kind", ["local", "remote"])
def test_a_control_record_shows_that_the_source_works(rig: Rig, kind: str) -> None:
    """A planted record becomes visible in spans and in logs, and only to its own control id."""
    source = rig.local() if kind == "local" else rig.remote()
    assert isinstance(source, Plantable)
    assert not source.traces(ask(control=OURS)).control_seen
    source.plant(OURS)
    for answer in (source.traces(ask(control=OURS)), source.logs(ask(control=OURS))):
        assert answer.control_seen
        assert (answer.spans, answer.logs) == ((), ())
    assert not source.traces(ask(control=OTHER)).control_seen


@pytest.mark.parametrize("kind", ["local", "remote"])
def test_changes_wake_until_that_is_ended(rig: Rig, kind: str) -> None:
    """Something new wakes the listener, also across processes; an ended listener is not woken."""
    source = rig.local() if kind == "local" else rig.remote()
    assert isinstance(source, Waking)
    woken, first, other = threading.Event(), threading.Event(), threading.Event()
    end = source.on_change(woken.set)
    source.on_change(first.set)
    if kind == "remote":
        assert first.wait(10)  # its thread has begun to wait
        woken.clear()
    rig.send("traces", encode.traces(ROWS[:1]))
    assert woken.wait(10)
    end()
    end()
    woken.clear()
    source.on_change(other.set)
    rig.send("traces", encode.traces(ROWS[1:2]))
    assert other.wait(10)
    assert not woken.is_set()


# -- metrics ----------------------------------------------------------------------------------


def _otlp_metrics(rig: Rig) -> None:
    """Send what `PAGE` shows over OTLP."""
    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    identity = {"service.name": "scraper", "service.instance.id": "i-1", "service.version": "1.2"}
    resource.resource.attributes.extend(encode.pairs(identity))
    scope = resource.scope_metrics.add()
    counter = scope.metrics.add(name="pages.seen")
    counter.sum.is_monotonic = True
    counter.sum.aggregation_temporality = CUMULATIVE
    counter.sum.data_points.add(as_int=3, attributes=encode.pairs({"traffic": "synthetic"}))
    scope.metrics.add(name="other").gauge.data_points.add(as_double=1.0)
    rig.send("metrics", request)


def _prometheus() -> Script:
    """Answer as a Prometheus that has scraped what `PAGE` shows."""
    target = {"job": "scraper", "instance": "i-1"}
    now = SystemClock().now() - 0.5
    lines = (
        series("pages_seen_total", [(now, 3)], traffic="synthetic", **target),
        series("other", [(now, 1)], **target),
        series("target_info", [(now, 1)], service_version="1.2", **target),
    )
    return answering(matrix(*scraped(target, now, *lines)), {"pages_seen": "counter"})


@pytest.fixture(params=["local", "remote", "scrape", "prometheus", "fake"])
def metered(request: pytest.FixtureRequest, rig: Rig) -> Iterator[MetricSource]:
    """Return each source of samples."""
    if request.param == "scrape":
        page = Canned(body=PAGE.encode(), media="text/plain; version=0.0.4")
        with serving(always(page)) as served:
            source = ScrapeSource("scrape", (Page("scraper", served.url),), http("scrape"), 1.0)
            yield source
            source.close()
    elif request.param == "prometheus":
        with serving(_prometheus()) as served:
            prometheus = PrometheusSource("prometheus", served.url, http("prometheus"), 1.0)
            yield prometheus
            prometheus.close()
    elif request.param == "fake":
        fake = FakeMetrics(FakeClock())
        for metric, name, kind, labels in (
            ("pages_seen", "pages_seen_total", "counter", {"traffic": "synthetic"}),
            ("target_info", "target_info", "gauge", {"service_version": "1.2"}),
        ):
            value = 3.0 if kind == "counter" else 1.0
            fake.sample(
                0,
                Sample(
                    metric=metric,
                    name=name,
                    type=kind,
                    labels=labels,
                    value=value,
                    time=None,
                    exemplar=None,
                    service="scraper",
                    instance="i-1",
                    phase=Phase.AFTER,
                    source=fake.name,
                    seen=1.0,
                ),
            )
        yield fake
    else:
        _otlp_metrics(rig)
        yield rig.local() if request.param == "local" else rig.remote()


@pytest.mark.req("V-12")
def test_samples_of_the_families_asked_for(metered: MetricSource) -> None:
    """A counter comes by its family's name with its labels, value, service and instance."""
    answer = metered.samples(frozenset({"pages_seen"}))
    (sample,) = (s for s in answer.samples if s.metric != "target_info")
    assert (sample.metric, sample.name, sample.type) == (
        "pages_seen",
        "pages_seen_total",
        "counter",
    )
    assert (sample.labels, sample.value) == ({"traffic": "synthetic"}, 3.0)
    assert (sample.service, sample.phase, sample.source) == ("scraper", Phase.AFTER, metered.name)
    assert sample.instance
    assert answer.full
    assert not metered.samples(frozenset({"nothing"})).samples or {
        s.metric for s in metered.samples(frozenset({"nothing"})).samples
    } == {"target_info"}


@pytest.mark.parametrize("suffix", ["_total", "_count"])
def test_a_name_with_a_suffix_leads_to_the_family(metered: MetricSource, suffix: str) -> None:
    """A family is found also by the name of one of its samples."""
    samples = metered.samples(frozenset({f"pages_seen{suffix}"})).samples
    assert {s.metric for s in samples} == {"pages_seen", "target_info"}


def test_target_info_always_comes(metered: MetricSource) -> None:
    """Who a target is comes with whatever is asked for."""
    metrics = frozenset({"pages_seen", "target_info"})
    (info,) = (s for s in metered.samples(metrics).samples if s.metric == "target_info")
    assert (info.labels, info.type) == ({"service_version": "1.2"}, "gauge")


# -- failures ---------------------------------------------------------------------------------

_HALF = b'{"version": 1, "full": tr'
_EVIDENCE = "application/vnd.obs-validator.evidence"
FAILURES = [
    (Canned(500), SourceFailure.SERVER_ERROR),
    (Canned(503), SourceFailure.SERVER_ERROR),
    (Canned(429), SourceFailure.THROTTLED),
    (Canned(401), SourceFailure.REFUSED),
    (Canned(403), SourceFailure.REFUSED),
    (Canned(404), SourceFailure.REFUSED),
    (Canned(body=b"<html>login</html>", media="text/html"), SourceFailure.NONSENSE),
    (Canned(body=_HALF), SourceFailure.NONSENSE),
    (Canned(body=_HALF, media=_EVIDENCE), SourceFailure.NONSENSE),
    (Canned(body=_HALF, length=1000), SourceFailure.PARTIAL),
    (Canned(body=bytes(9000), media="text/plain"), SourceFailure.TOO_LARGE),
    (Canned(302, headers={"Location": "/again"}), SourceFailure.NONSENSE),
    (Canned(headers={"Content-Encoding": "gzip"}, body=b"none"), SourceFailure.NONSENSE),
]


Asking = list[tuple[Source, Callable[[], object]]]


@contextmanager
def asking(url: str, bounds: Bounds) -> Iterator[Asking]:
    """Give each way to ask the sources that ask over HTTP."""
    remote = RemoteCollectorSource("r", url, http("r", bounds), 1.0)
    scrape = ScrapeSource("s", (Page("a", url), Page("b", url)), http("s", bounds), 1.0)
    tempo = TempoSource("t", url, http("t", bounds), Lags(1.0, 1.0))
    jaeger = JaegerSource("j", url, http("j", bounds), Lags(1.0, 1.0))
    prometheus = PrometheusSource("p", url, http("p", bounds), 1.0)
    manager = AlertmanagerSource("m", url, http("m", bounds), 1.0)
    grafana = GrafanaSource("g", url, http("g", bounds), 1.0)
    loki = LokiSource("l", http("l", bounds), 1.0, Streams(url))
    questions: Asking = [
        (remote, lambda: remote.traces(ask(OURS))),
        (remote, lambda: remote.logs(ask(OURS))),
        (remote, lambda: remote.samples(frozenset({"x"}))),
        (scrape, lambda: scrape.samples(frozenset({"x"}))),
        (tempo, lambda: tempo.traces(ask(OURS))),
        (tempo, lambda: tempo.search(ask(job_id="x"))),
        (jaeger, lambda: jaeger.traces(ask(OURS))),
        (jaeger, lambda: jaeger.search(ask(job_id="x"))),
        (prometheus, lambda: prometheus.samples(frozenset({"x"}))),
        (prometheus, prometheus.alerts),
        (prometheus, prometheus.probe),
        (manager, manager.alerts),
        (manager, manager.probe),
        (grafana, grafana.alerts),
        (grafana, grafana.probe),
        (loki, lambda: loki.logs(ask(OURS))),
        (loki, loki.probe),
    ]
    yield questions
    for source, question in questions:
        source.close()
        with pytest.raises(SourceError):
            question()


@pytest.mark.req("V-13")
@pytest.mark.parametrize(("canned", "failure"), FAILURES)
def test_each_failure_is_a_source_error_of_its_kind(canned: Canned, failure: SourceFailure) -> None:
    """Whatever a server answers instead of evidence is a SourceError that says in which way."""
    bounds = Bounds(timeout=5, size=8000, attempts=1)
    with serving(always(canned)) as served, asking(served.url, bounds) as questions:
        for source, question in questions:
            with pytest.raises(SourceError) as caught:
                question()
            assert caught.value.failure is failure, (source.name, caught.value)
            assert "127.0.0.1" in str(caught.value)
            assert canned.media != "text/html" or "text/html" in str(caught.value)


@pytest.mark.req("V-13")
def test_a_source_that_is_not_there_cannot_be_connected_to() -> None:
    """A refused connection is a SourceError that says so."""
    with serving(always(Canned())) as served:
        url = served.url
    with asking(url, Bounds(timeout=2, attempts=1)) as questions:
        for _, question in questions:
            with pytest.raises(SourceError, match="Connection refused") as caught:
                question()
            assert caught.value.failure is SourceFailure.CONNECT


@pytest.mark.req("V-13")
@pytest.mark.parametrize("begun", [False, True])
def test_a_source_that_hangs_is_too_slow(*, begun: bool) -> None:
    """A server that hangs, before or in the middle of its answer, is given up on in time."""
    let_go = threading.Event()

    def hang(handler: BaseHTTPRequestHandler) -> None:
        if begun:
            handler.wfile.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nab"
            )
        let_go.wait(30)

    bounds = Bounds(timeout=0.3, attempts=1)
    with serving(hang) as served, asking(served.url, bounds) as questions:
        for _, question in questions:
            with pytest.raises(SourceError) as caught:
                question()
            assert caught.value.failure is SourceFailure.TOO_SLOW
        let_go.set()


@pytest.mark.req("V-13")
def test_what_was_evicted_is_told(make_rig: RigMaker) -> None:
    """When a trace has lost a span to the bound, its answer is not full, and says why."""
    rig = make_rig(Limits(items=2))
    rig.send("traces", encode.traces(ROWS[:1]))
    rig.send("traces", encode.traces(ROWS[2:4]))
    for source in (rig.local(), rig.remote()):
        answer = source.traces(ask(OURS))
        assert (answer.spans, answer.full) == ((), False)
        assert answer.findings == (f"spans of trace {OURS} were evicted: 1",)
        assert source.traces(ask(OTHER)).full
