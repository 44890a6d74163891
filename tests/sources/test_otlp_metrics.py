"""OTLP metrics are shown as Prometheus shows them, by the compatibility specification."""

from __future__ import annotations

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb

from tests.sources import encode
from tests.sources.conftest import Rig, RigMaker
from validator.model import Sample
from validator.sources.collector.limits import Limits
from validator.sources.collector.metrics import MetricStore
from validator.testing import FakeClock

CUMULATIVE = pb.AGGREGATION_TEMPORALITY_CUMULATIVE


def number(name: str, unit: str, *, monotonic: bool | None) -> pb.Metric:
    """Return a sum, or a gauge where `monotonic` is None, of one point."""
    metric = pb.Metric(name=name, unit=unit)
    if monotonic is None:
        metric.gauge.data_points.add(as_double=1.5)
    else:
        metric.sum.is_monotonic = monotonic
        metric.sum.aggregation_temporality = CUMULATIVE
        metric.sum.data_points.add(as_int=2)
    return metric


def delta(name: str) -> pb.Metric:
    """Return a counter that is not cumulative."""
    metric = number(name, "", monotonic=True)
    metric.sum.aggregation_temporality = pb.AGGREGATION_TEMPORALITY_DELTA
    return metric


def request(*metrics: pb.Metric) -> ExportMetricsServiceRequest:
    """Return metrics as a request."""
    message = ExportMetricsServiceRequest()
    resource = message.resource_metrics.add()
    resource.resource.attributes.extend(encode.pairs({"service.name": "scraper"}))
    scope = resource.scope_metrics.add()
    scope.scope.name = "work"
    scope.metrics.extend(metrics)
    return message


def sent(rig: Rig, *metrics: pb.Metric) -> list[Sample]:
    """Return what the collector shows of metrics, without `target_info`."""
    rig.send("metrics", request(*metrics))
    held = rig.collector.metrics._series.values()
    return [s for samples in held for s in samples if s.metric != "target_info"]


@pytest.mark.parametrize(
    ("metric", "unit", "monotonic", "family", "name", "kind"),
    [
        ("jobs", "1", True, "jobs", "jobs_total", "counter"),
        ("jobs_total", "", True, "jobs", "jobs_total", "counter"),
        ("http.server.io", "By", True, "http_server_io_bytes", None, "counter"),
        ("queue.length", "{item}", False, "queue_length", "queue_length", "gauge"),
        ("cpu", "1", None, "cpu_ratio", "cpu_ratio", "gauge"),
        ("wait_seconds", "s", None, "wait_seconds", "wait_seconds", "gauge"),
        ("speed", "m/s", None, "speed_meters_per_second", None, "gauge"),
        ("2xx..rate", "{request}/s", None, "_2xx_rate_per_second", None, "gauge"),
        ("odd", "widget", None, "odd_widget", "odd_widget", "gauge"),
    ],
)
def test_names(  # noqa: PLR0917 - a row of a table
    rig: Rig,
    metric: str,
    unit: str,
    monotonic: bool | None,
    family: str,
    name: str | None,
    kind: str,
) -> None:
    """Dots become underscores, units become words, counters end in `_total`."""
    (sample,) = sent(rig, number(metric, unit, monotonic=monotonic))
    suffix = "_total" if kind == "counter" else ""
    assert (sample.metric, sample.name, sample.type) == (family, name or family + suffix, kind)


def test_histograms(rig: Rig) -> None:
    """Buckets are cumulative, each with the exemplar that falls into it."""
    metric = pb.Metric(name="duration", unit="s")
    metric.histogram.aggregation_temporality = CUMULATIVE
    point = metric.histogram.data_points.add(
        count=6, sum=9.5, explicit_bounds=[0.5, 1], bucket_counts=[1, 2, 3]
    )
    point.attributes.extend(encode.pairs({"http.method": "GET", "http_method": "x"}))
    point.exemplars.add(
        as_double=0.7,
        time_unix_nano=2 * encode.SECOND,
        trace_id=b"\xab" * 16,
        span_id=b"\xcd" * 8,
        filtered_attributes=encode.pairs({"a.b": 1}),
    )
    samples = sent(rig, metric)
    buckets = [(s.labels["le"], s.value, s.exemplar) for s in samples if s.name.endswith("bucket")]
    assert [(le, value) for le, value, _ in buckets] == [("0.5", 1), ("1.0", 3), ("+Inf", 6)]
    assert [exemplar is not None for *_, exemplar in buckets] == [False, True, False]
    exemplar = buckets[1][2]
    assert exemplar is not None
    assert exemplar.labels == {"a_b": "1", "trace_id": "ab" * 16, "span_id": "cd" * 8}
    assert exemplar.time == 2
    plain = {s.name: s for s in samples if not s.name.endswith("bucket")}
    assert (plain["duration_seconds_count"].value, plain["duration_seconds_sum"].value) == (6, 9.5)
    assert plain["duration_seconds_sum"].labels == {
        "http_method": "GET;x",
        "otel_scope_name": "work",
    }


def test_summaries_and_exponential_histograms(rig: Rig) -> None:
    """A summary has its quantiles; an exponential histogram its count, sum and last bucket."""
    summary = pb.Metric(name="s")
    point = summary.summary.data_points.add(count=2, sum=3)
    point.quantile_values.add(quantile=0.5, value=1)
    exponential = pb.Metric(name="e")
    exponential.exponential_histogram.aggregation_temporality = CUMULATIVE
    exponential.exponential_histogram.data_points.add(count=4, sum=8)
    shown = {
        (s.name, s.labels.get("quantile") or s.labels.get("le")): s.value
        for s in sent(rig, summary, exponential)
    }
    assert shown == {
        ("s_count", None): 2,
        ("s_sum", None): 3,
        ("s", "0.5"): 1,
        ("e_count", None): 4,
        ("e_sum", None): 8,
        ("e_bucket", "+Inf"): 4,
    }


def test_the_latest_point_stands(rig: Rig) -> None:
    """Of one series only the latest point is shown."""
    sent(rig, number("jobs", "", monotonic=True))
    later = number("jobs", "", monotonic=True)
    later.sum.data_points[0].as_int = 5
    (sample,) = sent(rig, later)
    assert sample.value == 5


@pytest.mark.req("V-13")
def test_what_cannot_be_shown_is_rejected_by_point(rig: Rig) -> None:
    """Delta points, a metric without data or name are rejected, counted, and explained."""
    jobs = delta("jobs")
    jobs.sum.data_points.add(as_int=1)
    good = number("good", "", monotonic=None)
    response = rig.send("metrics", request(jobs, pb.Metric(name="none"), good))
    partial = ExportMetricsServiceResponse.FromString(response.content).partial_success
    assert partial.rejected_data_points == 3
    assert "TEMPORALITY_PREFERENCE=cumulative" in partial.error_message
    shown = rig.local().samples(frozenset({"good", "jobs"})).samples
    assert {s.metric for s in shown} == {"good", "target_info"}


@pytest.mark.req("V-13")
def test_refused_requests_make_answers_partial(rig: Rig) -> None:
    """After a request of metrics that could not be read, nobody knows what is missing."""
    rig.post("metrics", b"\xff")
    for source in (rig.local(), rig.remote()):
        answer = source.samples(frozenset({"x"}))
        assert not answer.full
        assert "requests of metrics were refused" in answer.findings[0]


@pytest.mark.req("V-13")
def test_an_answer_about_a_rejected_metric_is_not_full(rig: Rig) -> None:
    """Points that were rejected are not taken for points that were never sent."""
    response = rig.send("metrics", request(delta("failures"), number("good", "", monotonic=None)))
    told = ExportMetricsServiceResponse.FromString(response.content).partial_success.error_message
    for source in (rig.local(), rig.remote()):
        for name in ("failures", "failures_total"):
            answer = source.samples(frozenset({name, "good"}))
            assert [s.metric for s in answer.samples] == ["target_info", "good"]
            assert (answer.full, answer.findings) == (
                False,
                (f"data points were rejected: 1 ({told})",),
            )
        assert source.samples(frozenset({"good"})).full


@pytest.mark.req("V-13")
@pytest.mark.parametrize(
    ("metric", "asked", "told"),
    [
        (pb.Metric(name="http.requests", unit="1"), "http_requests_total", True),
        (pb.Metric(name="http.requests", unit="1"), "http_requests_ratio", True),
        (pb.Metric(name="http.requests", unit="s"), "http_requests_total", False),
        (pb.Metric(name="wait", unit="s"), "wait_seconds_count", True),
        (number("", "", monotonic=None), "anything", True),
        (number("...", "", monotonic=None), "anything", False),
    ],
)
def test_whose_points_were_rejected_is_known_by_the_names_of_prometheus(
    metric: pb.Metric, asked: str, told: bool
) -> None:
    """A metric without data may have been any type; one without a name may have been any."""
    clock = FakeClock()
    store = MetricStore(Limits(), clock)
    store.add(request(metric).resource_metrics, clock.now())
    assert bool(store.ask(frozenset({asked}), "s")[1]) is told


def test_rejections_are_bounded() -> None:
    """Beyond the bound it is no longer known which metrics, and said of every one."""
    clock = FakeClock()
    store = MetricStore(Limits(losses=2, age=60), clock)
    store.add(request(*map(delta, "abb")).resource_metrics, clock.now())
    assert "data points were rejected: 2 " in store.ask(frozenset({"b"}), "s")[1][0]
    assert store.ask(frozenset({"x"}), "s")[1] == []
    store.add(request(delta("c")).resource_metrics, clock.now())
    assert "no longer known which" in store.ask(frozenset({"x"}), "s")[1][0]
    assert len(store._rejections._known) == 2


def test_what_was_lost_is_forgotten_with_its_time() -> None:
    """What was rejected or refused says nothing of what came long after it."""
    clock = FakeClock()
    store = MetricStore(Limits(losses=1, age=60), clock)
    store.refuse("415: x")
    store.add(request(delta("a"), delta("b")).resource_metrics, clock.now())
    clock.sleep(60)
    asked = frozenset({"b"})
    assert len(store.ask(asked, "s")[1]) == 3
    clock.sleep(1)
    assert store.ask(asked, "s")[1] == []
    assert not store._rejections._known
    store.refuse("415: y")
    assert store.ask(asked, "s")[1] == ["2 requests of metrics were refused (the last: 415: y)"]


def test_series_are_bounded(make_rig: RigMaker) -> None:
    """Beyond the bound the series go that were longest without a point, and that is said."""
    rig = make_rig(Limits(series=3))
    names = [number(f"m{index}", "", monotonic=None) for index in range(5)]
    assert [s.name for s in sent(rig, *names)] == ["m2", "m3", "m4"]
    assert "series were evicted" in rig.local().samples(frozenset({"m1"})).findings[0]


def test_series_of_the_past_go() -> None:
    """A series without a point for longer than the age is gone, and that is no loss."""
    clock = FakeClock()
    store = MetricStore(Limits(age=60), clock)
    store.add(request(number("m", "", monotonic=None)).resource_metrics, clock.now())
    assert len(store.ask(frozenset({"m"}), "s")[0]) == 2
    clock.sleep(61)
    assert store.ask(frozenset({"m"}), "s") == ([], [])
