"""The collector starts and stops cleanly, and takes OTLP/gRPC and what real SDKs send."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress

import grpc
import psutil
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (
    OTLPSpanExporter as GrpcSpanExporter,
)
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter

from tests.sources import encode
from tests.sources.conftest import Rig, RigMaker, ask
from tests.sources.encode import Row
from validator.clock import SystemClock
from validator.errors import ConfigError
from validator.sources.collector.limits import Limits
from validator.sources.collector.server import Collector, Listen
from validator.sources.http import make_session

TRACE = "ab" * 16
RESOURCE = Resource({"service.name": "scraper", "service.instance.id": "s-1"})
Exporter = Callable[[Rig], SpanExporter]


def _http(rig: Rig) -> SpanExporter:
    """Return the SDK's exporter over HTTP."""
    return OTLPSpanExporter(f"{rig.collector.endpoint}/v1/traces")


def _http_gzip(rig: Rig) -> SpanExporter:
    """Return the SDK's exporter over HTTP with gzip."""
    return OTLPSpanExporter(f"{rig.collector.endpoint}/v1/traces", compression=Compression.Gzip)


def _grpc(rig: Rig) -> SpanExporter:
    """Return the SDK's exporter over gRPC."""
    return GrpcSpanExporter(rig.collector.grpc_endpoint, insecure=True)


def _grpc_gzip(rig: Rig) -> SpanExporter:
    """Return the SDK's exporter over gRPC with gzip."""
    return GrpcSpanExporter(
        rig.collector.grpc_endpoint, insecure=True, compression=grpc.Compression.Gzip
    )


@pytest.mark.req("V-12")
@pytest.mark.parametrize("exporter", [_http, _http_gzip, _grpc, _grpc_gzip])
def test_the_sdk_sends_spans(rig: Rig, exporter: Exporter) -> None:
    """What the OpenTelemetry SDK exports, over HTTP and gRPC, with gzip or not, is one trace."""
    provider = TracerProvider(resource=RESOURCE)
    provider.add_span_processor(SimpleSpanProcessor(exporter(rig)))
    tracer = provider.get_tracer("work")
    attributes = {"job.id": "j", "n": (1, 2)}
    outermost = tracer.start_as_current_span("outer", attributes=attributes)
    with outermost, tracer.start_as_current_span("inner"):
        pass
    provider.shutdown()
    inner, outer = rig.local().traces(ask(job_id="j")).spans
    assert (outer.name, outer.service, outer.instance, outer.scope) == (
        "outer",
        "scraper",
        "s-1",
        "work",
    )
    assert outer.attributes == {"job.id": "j", "n": (1, 2)}
    assert inner.parent_id == outer.span_id


@pytest.mark.req("V-12")
def test_the_sdk_sends_logs_and_metrics(rig: Rig) -> None:
    """What the SDK exports of logs and metrics is read, with the exemplar's trace."""
    tracing = TracerProvider(resource=RESOURCE)
    logs = LoggerProvider(resource=RESOURCE)
    exporter = OTLPLogExporter(f"{rig.collector.endpoint}/v1/logs")
    logs.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    reader = PeriodicExportingMetricReader(
        OTLPMetricExporter(f"{rig.collector.endpoint}/v1/metrics")
    )
    metrics = MeterProvider([reader], resource=RESOURCE)
    seconds = metrics.get_meter("work").create_histogram("job.duration", unit="s")
    logger = logging.getLogger("tests.sources.test_server")
    handler = LoggingHandler(logger_provider=logs)
    logger.addHandler(handler)
    with tracing.get_tracer("work").start_as_current_span("outer") as span:
        logger.error("it %s", "failed", extra={"job.id": "j"})
        seconds.record(0.3, {"traffic": "synthetic"})
    logger.removeHandler(handler)
    metrics.shutdown()
    logs.shutdown()
    trace_id = f"{span.get_span_context().trace_id:032x}"
    (line,) = rig.local().logs(ask(trace_id)).logs
    assert (line.body, line.severity, line.sampled) == ("it failed", "ERROR", True)
    assert line.attributes["job.id"] == "j"
    samples = rig.remote().samples(frozenset({"job_duration_seconds"})).samples
    shown = {s.name: s for s in samples}
    assert shown["job_duration_seconds_count"].value == 1
    assert shown["job_duration_seconds_sum"].labels["traffic"] == "synthetic"
    exemplars = [s.exemplar for s in samples if s.exemplar]
    assert [e.labels["trace_id"] for e in exemplars] == [trace_id]


def _export(rig: Rig) -> Callable[..., bytes]:
    """Return a plain gRPC call that sends bytes as they are."""
    options = [("grpc.max_send_message_length", -1)]
    channel = grpc.insecure_channel(rig.collector.grpc_endpoint, options)
    rig.closing.append(channel.close)
    call: Callable[..., bytes] = channel.unary_unary(
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
    )
    return call


def test_grpc_garbage_is_an_invalid_argument(rig: Rig) -> None:
    """Bytes that are no OTLP are INVALID_ARGUMENT, and remembered as refused."""
    with pytest.raises(grpc.RpcError) as caught:
        _export(rig)(b"\xff\xff")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert not rig.local().traces(ask(TRACE)).full


def test_grpc_messages_may_be_large_but_not_too_large(make_rig: RigMaker) -> None:
    """More than the 4 MiB of gRPC are taken; beyond our limit it is RESOURCE_EXHAUSTED."""
    rig = make_rig(Limits(body=16 << 20))
    large = encode.traces([Row(TRACE, attributes={"text": "x" * (8 << 20)})]).SerializeToString()
    _export(rig)(large, timeout=20)
    assert len(rig.local().traces(ask(TRACE)).spans) == 1
    before = psutil.Process().memory_info().rss
    bomb = bytes(256 << 20)
    sending = psutil.Process().memory_info().rss - before
    with pytest.raises(grpc.RpcError) as caught:
        _export(rig)(bomb, timeout=20, compression=grpc.Compression.Gzip)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    grown = psutil.Process().memory_info().rss - before - sending
    assert grown < 300 << 20


@pytest.mark.req("V-13")
def test_a_grpc_request_over_the_limit_is_refused_and_remembered(make_rig: RigMaker) -> None:
    """As over HTTP: who has the refusal and asks is told that something is missing, and what."""
    rig = make_rig(Limits(body=1 << 20))
    large = encode.traces([Row(TRACE, attributes={"text": "x" * (2 << 20)})]).SerializeToString()
    with pytest.raises(grpc.RpcError, match=r"bytes is more than 1048576") as caught:
        _export(rig)(large, timeout=20)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    for source in (rig.local(), rig.remote()):
        answer = source.traces(ask(TRACE))
        assert (answer.spans, answer.full) == ((), False)
        assert f"the body of {len(large)} bytes is more than 1048576" in answer.findings[0]


@pytest.mark.req("V-13")
@pytest.mark.parametrize("compression", [None, grpc.Compression.Gzip])
def test_what_grpc_itself_refuses_is_remembered(
    make_rig: RigMaker, compression: grpc.Compression | None
) -> None:
    """A request so large that gRPC hands none of it over is known to be missing all the same."""
    rig = make_rig(Limits(body=1 << 20))
    heard = threading.Event()
    rig.collector.store.subscribe(heard.set)
    with pytest.raises(grpc.RpcError) as caught:
        _export(rig)(bytes(8 << 20), timeout=20, compression=compression)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert heard.wait(20)
    answer = rig.local().traces(ask(TRACE))
    assert not answer.full
    assert "none came whole: more than 1048576 bytes" in answer.findings[0]


@pytest.mark.req("V-13")
def test_a_grpc_call_without_a_message_is_answered(rig: Rig) -> None:
    """Who sends nothing is told so, and waits for nothing."""
    channel = grpc.insecure_channel(rig.collector.grpc_endpoint)
    rig.closing.append(channel.close)
    call: Callable[..., bytes] = channel.stream_unary(
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
    )
    with pytest.raises(grpc.RpcError, match="none came whole") as caught:
        call(iter(()), timeout=20)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert not rig.local().logs(ask(TRACE)).full


def test_grpc_may_be_left_out() -> None:
    """Without a gRPC port only HTTP is served."""
    collector = Collector(SystemClock(), Listen(http_port=0, grpc_port=None), Limits())
    collector.start()
    assert collector.endpoint
    assert collector.grpc_endpoint == ""
    collector.stop()


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_port_in_use_is_an_error_of_the_configuration(rig: Rig, protocol: str) -> None:
    """A port that another process has is named, with the way out; nothing is left listening."""
    endpoint = rig.collector.endpoint if protocol == "http" else rig.collector.grpc_endpoint
    taken = int(endpoint.rpartition(":")[2])
    http_port, grpc_port = (taken, 0) if protocol == "http" else (0, taken)
    second = Collector(SystemClock(), Listen("127.0.0.1", http_port, grpc_port), Limits())
    with pytest.raises(ConfigError, match=f"127.0.0.1:{taken}.*take another port"):
        second.start()
    second.stop()


def test_it_can_stop_start_and_stop_again(rig: Rig) -> None:
    """Stopping twice is stopping once; it can be started again and has kept what it held."""
    rig.send("traces", encode.traces([Row(TRACE)]))
    rig.collector.stop()
    rig.collector.stop()
    assert len(rig.local().traces(ask(TRACE)).spans) == 1
    rig.collector.start()
    rig.collector.start()
    assert rig.get("/healthz").status_code == 200


@contextmanager
def wait_for_change(rig: Rig, version: int) -> Iterator[Future[bytes]]:
    """Begin a long poll of 50 s, and go on once the collector has begun to answer it."""
    url = f"{rig.collector.endpoint}/api/v1/status?wait=50&version={version}"
    other = make_session()
    with ThreadPoolExecutor(1) as pool, other.get(url, stream=True, timeout=60) as response:
        chunks = response.iter_content(None)
        next(chunks)
        yield pool.submit(lambda: b"".join(chunks))
        with suppress(RuntimeError, ValueError):  # it has ended
            response.raw.shutdown()
    other.close()


def test_it_stops_while_somebody_waits(rig: Rig) -> None:
    """A long poll does not hold up the stop, and `wait` returns with it."""
    version = rig.get("/api/v1/status").json()["version"]
    with wait_for_change(rig, version) as poll:
        rig.collector.stop()
        rig.collector.wait()
        assert json.loads(poll.result(10))["version"] == version


def test_it_stops_while_somebody_stalls(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """A sender that is stopped in mid-request is no error of ours, and no stack trace."""
    host, _, port = rig.collector.endpoint.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port))) as sender:
        head = "POST /v1/logs HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
        sender.sendall(f"{head}Expect: 100-continue\r\nContent-Length: 99\r\n\r\n".encode())
        assert sender.recv(100).startswith(b"HTTP/1.1 100")  # now its body is being read
        sender.sendall(b"x")
        rig.collector.stop()
    assert not [record for record in caplog.records if record.exc_info]


def test_a_change_ends_a_wait(rig: Rig) -> None:
    """Who waits for a change hears of it when it comes, long before the wait is over."""
    version = rig.get("/api/v1/status").json()["version"]
    with wait_for_change(rig, version) as poll:
        rig.send("traces", encode.traces([Row(TRACE)]))
        assert json.loads(poll.result(10))["version"] != version


def test_before_the_start_there_is_no_endpoint() -> None:
    """An endpoint is known only once it listens."""
    with pytest.raises(RuntimeError, match="not been started"):
        _ = Collector(SystemClock(), Listen(), Limits()).endpoint


def test_its_own_figures(rig: Rig) -> None:
    """The collector counts what it received, rejected, evicted and holds."""
    rig.send("traces", encode.traces([Row(TRACE), Row("00" * 16)]))
    page = rig.get("/metrics").text
    assert 'obs_validator_collector_received_total{signal="traces"} 1' in page
    assert 'obs_validator_collector_rejected_total{signal="traces"} 1' in page
    assert 'obs_validator_collector_resident_items{signal="traces"} 1' in page
