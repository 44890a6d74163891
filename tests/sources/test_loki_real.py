"""The Loki source against a Loki that runs, and the built-in collector beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from tests.backends.loki import loki
from tests.checks.judging import judge
from tests.sources import encode
from tests.sources.conftest import PROTOBUF, Rig, ask, http
from tests.sources.encode import NOW, SECOND
from tests.traces import evidence, job
from validator.clock import SystemClock
from validator.errors import SourceError, SourceFailure
from validator.model import LogLine, Signal, Status, TraceRef
from validator.ports import Answer, Question
from validator.sources.control import Control
from validator.sources.http import Bounds, Http, make_session
from validator.sources.loki import LokiSource, Streams

pytestmark = [pytest.mark.process, pytest.mark.slow]

TENANT = {"X-Scope-OrgID": "ours"}
SERVICES = '{service_name=~".+"}'


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a Loki that has tenants."""
    with loki(tmp_path_factory.mktemp("loki"), tenants=True) as url:
        yield url


def client(headers: Mapping[str, str] = TENANT) -> Http:
    """Return a client of one tenant."""
    return Http("loki", make_session(headers), http("").clock, Bounds(timeout=10))


@pytest.fixture
def source(running: str) -> Iterator[LokiSource]:
    """Return a source that can plant control records."""
    control = Control(f"{running}/otlp", client(), (Signal.LOGS,))
    made = LokiSource("loki", client(), 7.0, Streams(running, SERVICES, control))
    yield made
    made.close()


class Sender:
    """Sends log records of one trace to a Loki and to a collector alike."""

    def __init__(self, url: str, rig: Rig, trace: str) -> None:
        """Send to both."""
        self._url = url
        self._rig = rig
        self._trace = trace
        self._sent = 0

    def otlp(
        self,
        attributes: Mapping[str, Any],
        body: str = "working",
        resource: Mapping[str, Any] | None = None,
        *,
        trace: str | None = None,
    ) -> None:
        """Send a record over OTLP."""
        self._sent += 1
        own = {"service.name": "scraper", "service.instance.id": "i-1", **(resource or {})}
        request = ExportLogsServiceRequest()
        scope = request.resource_logs.add().scope_logs.add()
        request.resource_logs[0].resource.attributes.extend(encode.pairs(own))
        trace_id = bytes.fromhex(self._trace if trace is None else trace)
        scope.log_records.add(
            time_unix_nano=NOW + self._sent,
            observed_time_unix_nano=NOW,
            trace_id=trace_id,
            span_id=b"12345678" if trace_id else b"",
            severity_number=9,
            body=encode.any_value(body),
            attributes=encode.pairs(attributes),
            flags=1,
        )
        self._rig.send("logs", request)
        self._post("/otlp/v1/logs", request.SerializeToString(), PROTOBUF)

    def line(self, text: str, labels: Mapping[str, str], metadata: Mapping[str, str]) -> None:
        """Send a line over the push API, to the Loki alone."""
        self._sent += 1
        values = [[str(NOW + self._sent), text, dict(metadata)]]
        body = {"streams": [{"stream": dict(labels), "values": values}]}
        self._post(
            "/loki/api/v1/push", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )

    def many(self, count: int) -> None:
        """Send so many lines of JSON, seven to a nanosecond, to the Loki alone."""
        values = [
            [str(NOW + n // 7), json.dumps({"trace_id": self._trace, "message": f"line {n:05d}"})]
            for n in range(count)
        ]
        body = {"streams": [{"stream": {"service_name": "many"}, "values": values}]}
        self._post(
            "/loki/api/v1/push", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )

    def _post(self, path: str, body: bytes, headers: Mapping[str, str]) -> None:
        with make_session(TENANT) as session:
            reply = session.post(self._url + path, data=body, headers=headers, timeout=30)
        assert reply.status_code == 204, reply.text


@pytest.fixture
def trace(request: pytest.FixtureRequest) -> str:
    """Return the trace id of one test."""
    return hashlib.sha256(str(request.node.name).encode()).hexdigest()[:32]


@pytest.fixture
def sender(running: str, rig: Rig, trace: str) -> Sender:
    """Return what sends to both."""
    return Sender(running, rig, trace)


def question(*traces: str, **more: Any) -> Question:
    """Return a question about the time of the lines that are sent."""
    return replace(ask(*traces, since=NOW / SECOND - 60, **more), until=NOW / SECOND + 3600)


def only(answer: Answer) -> LogLine:
    """Return the one line."""
    (line,) = answer.logs
    return line


def test_a_record_comes_back_as_it_was_sent(
    source: LokiSource, sender: Sender, rig: Rig, trace: str
) -> None:
    """All but keys and types, which Loki does not keep, is as the collector has it."""
    resource = {"service.version": "1.2", "process.pid": 7, "k8s.pod.name": "p-1"}
    sender.otlp(
        {"job.id": "job-1", "retries": 3, "service_name": "scraper"}, "page fetched", resource
    )
    ours = only(source.logs(question(trace)))
    theirs = only(rig.local().logs(question(trace)))
    for name in (
        "time",
        "service",
        "instance",
        "severity",
        "body",
        "trace_id",
        "span_id",
        "sampled",
    ):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert dict(ours.attributes) == {"job_id": "job-1", "retries": "3", "service_name": "scraper"}
    assert {**ours.resource, "process.pid": 7} == dict(theirs.resource)
    assert {"job_id", "retries", "process.pid"} <= set(ours.flattened)


ASKED = [
    ({"require": ["job.id"]}, {"job.id": "x"}, Status.PASS),
    ({"require": ["job_id"]}, {"job_id": "x"}, Status.PASS),
    ({"require": ["job.id"]}, {"other": "x"}, Status.FAIL),
    ({"equals": {"retries": 3, "ok": True, "ratio": 0.5, "tags": ["a", "b"]}},
     {"retries": 3, "ok": True, "ratio": 0.5, "tags": ("a", "b")}, Status.PASS),
    ({"equals": {"retries": 3}}, {"retries": 4}, Status.FAIL),
    ({"matches": {"url.path": "/jobs/[0-9]+"}}, {"url.path": "/jobs/1"}, Status.PASS),
    ({"require": ["http.request.id"]}, {"http": {"request": {"id": "x"}}}, Status.PASS),
    ({"absent": ["user.*"]}, {"user.email": "x"}, Status.FAIL),
    ({"absent": ["user.*"]}, {"username": "x"}, Status.PASS),
    ({"require": ["a..b", "9x", "_y", "a-b"]}, {"a..b": "1", "9x": "1", "_y": "1", "a-b": "1"},
     Status.PASS),
    ({"require": ["resource.service.version", "resource.k8s.pod.name"]}, {}, Status.PASS),
    ({"equals": {"body": "working", "severity": "INFO", "instance": "i-1"}}, {}, Status.PASS),
    ({"require": ["x"], "logs": {"where": {"a.b": "j", "n": 1}}},
     {"a.b": "j", "n": 1, "x": "y"}, Status.PASS),
    ({"require": ["n"]}, {"n": ""}, Status.FAIL),
    ({"types": {"url.path": "string"}}, {"url.path": "/"}, Status.PASS),
    ({"types": {"n": "int"}}, {"n": "many"}, Status.FAIL),
]  # fmt: skip


@pytest.mark.req("V-06")
@pytest.mark.parametrize("case", ASKED, ids=str)
def test_a_field_is_judged_as_with_the_collector(
    source: LokiSource, sender: Sender, rig: Rig, trace: str, case: tuple[Any, Any, Status]
) -> None:
    """Whatever its key and type: the verdict is that of the built-in collector."""
    params, attributes, status = case
    sender.otlp(attributes, resource={"service.version": "1.2", "k8s.pod.name": "p-1"})
    of = job(traces=(TraceRef(trace, "sent"),))
    for one in (source, rig.local()):
        lines = one.logs(question(trace)).logs
        verdict = judge("log_fields", params, evidence([], logs=lines, of=of))
        assert verdict.status is status, (one.name, verdict)


WRITTEN = [
    ({"trace_id": "T", "job_id": "J", "message": "m", "level": "error"}, {}),
    ({"traceId": "T", "job.id": "J", "msg": "m", "severity": "ERROR"}, {}),
    ({"trace": {"id": "T"}, "job": {"id": "J"}, "event": "m", "log.level": "Error"}, {}),
    ({"otelTraceID": "T", "job.id": "J", "body": "m", "levelname": "ERROR"}, {}),
    ({"message": "m", "level": "error", "trace_id": "0"}, {"trace_id": "T", "job_id": "J"}),
]


@pytest.mark.parametrize(("fields", "metadata"), WRITTEN)
def test_lines_of_json_are_found_and_read(
    source: LokiSource, sender: Sender, trace: str, fields: Any, metadata: Mapping[str, str]
) -> None:
    """By their trace and by the job's id, however they spell them."""
    mine = f"job-{trace[-12:]}-ü/1"

    def filled(values: Any) -> Any:
        if isinstance(values, dict):
            return {key: filled(value) for key, value in values.items()}
        return {"T": trace, "J": mine}.get(values, values)

    sender.line(json.dumps(filled(fields)), {"service_name": "scraper"}, filled(metadata))
    by_trace = only(source.logs(question(trace)))
    answer = source.logs(question(job_id=mine))
    assert only(answer) == replace(by_trace, seen=only(answer).seen)
    assert (by_trace.body, by_trace.severity, by_trace.service) == ("m", "ERROR", "scraper")
    assert by_trace.trace_id == trace
    assert answer.traces == (TraceRef(trace, "job_id"),)


@pytest.mark.parametrize("text", ["plain", "", '{"broken": ', "[1, 2]", '"text"', "null", "{}"])
def test_a_line_that_is_no_json_is_found_by_what_stands_beside_it(
    source: LokiSource, sender: Sender, trace: str, text: str
) -> None:
    """Loki cannot read it, and says so with a label that is none of ours."""
    sender.line(text, {"app": "scraper"}, {"trace_id": trace})
    line = only(source.logs(question(trace)))
    assert (line.body, line.service, line.trace_id) == (text, "scraper", trace)
    assert dict(line.attributes) == {}


def test_a_lost_context_is_found_by_the_jobs_id(
    source: LokiSource, sender: Sender, trace: str
) -> None:
    """A line of the job in another trace tells of it; one without a trace is a line of the job."""
    other = "9" * 32
    sender.otlp({"job.id": trace}, trace=other)
    sender.otlp({"job.id": trace}, trace="")
    answer = source.logs(question("e" * 32, job_id=trace))
    assert {line.trace_id for line in answer.logs} == {other, ""}
    assert answer.traces == (TraceRef(other, "job_id"),)
    assert source.logs(question("e" * 32, job_id=trace, keys=("task.id",))).logs == ()


@pytest.mark.req("V-13")
def test_a_control_record_shows_that_the_source_works(source: LokiSource, trace: str) -> None:
    """It is asked for in the same query, and is no line of the job."""
    source.plant(trace)
    at = SystemClock().now()
    asked = replace(ask("e" * 32, control=trace, since=at - 60), until=at + 60)
    answer = source.logs(asked)
    assert (answer.control_seen, answer.logs) == (True, ())
    assert not source.logs(replace(asked, control="d" * 32)).control_seen


@pytest.mark.req("V-13")
def test_another_tenant_proves_nothing(sender: Sender, running: str) -> None:
    """It answers, has nothing, and shows no control record; the probe remarks on it."""
    sender.otlp({})
    wrong = LokiSource("loki", client({"X-Scope-OrgID": "theirs"}), 7.0, Streams(running))
    answer = wrong.logs(question("e" * 32, control="d" * 32))
    assert (answer.logs, answer.control_seen, answer.heard) == ((), False, ())
    (note,) = wrong.probe().notes
    assert "is it the right tenant?" in note
    none = LokiSource("loki", client({}), 7.0, Streams(running))
    with pytest.raises(SourceError, match="401") as caught:
        none.logs(question("e" * 32))
    assert caught.value.failure is SourceFailure.REFUSED


def test_pages_are_read_to_the_end(source: LokiSource, sender: Sender, trace: str) -> None:
    """More than Loki gives at once, several lines to a nanosecond: each comes once."""
    sender.many(11_000)
    answer = source.logs(question(trace))
    assert sorted(line.body for line in answer.logs) == [f"line {n:05d}" for n in range(11_000)]
    assert answer.full


def test_many_traces_fit_into_a_question(source: LokiSource, sender: Sender, trace: str) -> None:
    """They go in a form, which Loki takes."""
    sender.otlp({})
    others = [f"{n:032x}" for n in range(1, 300)]
    assert only(source.logs(question(trace, *others))).trace_id == trace


@pytest.mark.parametrize("selector", ["{", "{}", '{app=~".*"}', "service"])
def test_a_wrong_selector_is_told(running: str, selector: str) -> None:
    """With Loki's own words."""
    wrong = LokiSource("loki", client(), 7.0, Streams(running, selector))
    for asking in (lambda: wrong.logs(question("e" * 32)), wrong.probe):
        with pytest.raises(SourceError, match=r"parse error.*`selector`") as caught:
            asking()
        assert caught.value.failure is SourceFailure.REFUSED


def test_the_probe_of_a_real_one(source: LokiSource, running: str) -> None:
    """A clock, a latency; a selector that matches nothing is remarked on."""
    source.plant("c" * 32)
    probed = source.probe()
    assert probed.notes == ()
    assert probed.clock_offset is not None
    assert abs(probed.clock_offset) < 2
    narrow = LokiSource("loki", client(), 7.0, Streams(running, '{service_name="nobody"}'))
    (note,) = narrow.probe().notes
    assert "matches the selector" in note
    assert "service_name" in note


def test_a_job_whose_beginning_is_not_known(source: LokiSource, trace: str) -> None:
    """It is looked for as far back as one query may."""
    now = SystemClock().now()
    asked = replace(ask(trace, since=float("-inf")), until=now)
    (finding,) = source.logs(asked).findings
    assert finding.startswith("looked at the last")
