"""Jaeger, as its recordings, its source and a running one have it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import orjson
import pytest
import requests

from tests.sources import encode, jaeger_process
from tests.sources.conftest import PROTOBUF, ask, http
from tests.sources.encode import SECOND, Row
from tests.sources.recorded import RECORDINGS, recording
from tests.sources.servers import Canned, Served, serving
from tests.sources.trace_servers import LAGS, NO_ROUTE
from validator.clock import SystemClock
from validator.config_sources import JaegerSettings
from validator.errors import SourceError, SourceFailure
from validator.model import Signal, Span, SpanKind, SpanStatus, TraceRef
from validator.sources.build import Builder
from validator.sources.control import Control
from validator.sources.http import Bounds
from validator.sources.jaeger import JaegerSource
from validator.sources.jaeger_v2 import spans_in

RECORDED = "jaeger-1.62.0"
JOB_A = "00a1b2c3d4e5f60718293a4b5c6d7e8f"
NOBODY = "0123456789abcdef0123456789abcdef"
PAGE = Canned(body=b"<!DOCTYPE html><title>Jaeger UI</title>", media="text/html")
MISSING_V2 = Canned(404, b'{"data":null,"errors":[{"code":404,"msg":"trace not found"}]}\n')


@contextmanager
def answering(answers: dict[str, Canned]) -> Iterator[tuple[JaegerSource, Served]]:
    """Give a source, and its server that answers by the first of these that a path begins with."""

    def script(handler: BaseHTTPRequestHandler) -> Canned:
        found = (one for path, one in answers.items() if handler.path.startswith(path))
        return next(found, NO_ROUTE)

    with serving(script) as served:
        source = JaegerSource("jaeger", served.url, http("j", Bounds(timeout=60, attempts=1)), LAGS)
        yield source, served
        source.close()


def canned(name: str) -> Canned:
    """Return what a recording answered."""
    return recording(RECORDED, name).canned()


def recorded(version: str) -> dict[str, Span]:
    """Return the recorded trace by its spans' ids, as one version of the API has it."""
    answers = {
        "v3": {"/api/v3/traces": canned("21-whole-v3")},
        "v2": {"/api/v3": PAGE, "/api/traces": canned("22-whole-v2")},
    }
    with answering(answers[version]) as (source, _):
        answer = source.traces(ask(JOB_A))
    assert (answer.full, answer.findings) == (True, ())
    return {span.span_id: span for span in answer.spans}


# -- the recordings ---------------------------------------------------------------------------


@pytest.mark.req("V-12")
def test_a_recorded_span_is_what_was_sent() -> None:
    """Kind, scope, resource, events and typed attributes come; what Jaeger adds does not."""
    spans = {span.name: span for span in recorded("v3").values()}
    work = spans["scrape_task"]
    assert (work.service, work.kind, work.scope) == ("scraper", SpanKind.INTERNAL, "pipeline")
    assert work.attributes["job.id"] == "job-a"
    assert not any("jaeger" in key or "internal" in key for key in work.attributes)
    assert spans["POST /jobs"].attributes["http.response.status_code"] == 202
    assert spans["POST /jobs"].parent_id == ""
    assert spans["run/scraper.scrape_task"].kind is SpanKind.CONSUMER
    assert work.resource["service.version"] == "1.4.0"
    assert work.instance
    assert spans["GET"].events[0].name == "first byte"


@pytest.mark.req("V-12")
def test_v2_has_the_same_trace_in_microseconds() -> None:
    """What v2 says of a trace is what v3 says, but for what is less than a microsecond."""
    v3, v2 = recorded("v3"), recorded("v2")
    assert v2.keys() == v3.keys()
    for span_id, span in v2.items():
        whole = v3[span_id]
        assert 0 <= whole.start - span.start < 1000
        assert abs((whole.end - whole.start) - (span.end - span.start)) < 1000
        events = tuple(replace(event, time=event.time // 1000 * 1000) for event in whole.events)
        assert span == replace(whole, start=span.start, end=span.end, seen=span.seen, events=events)


@pytest.mark.req("V-12")
@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        ({"/api/v3": canned("10-missing")}, ["/api/v3/traces", "/api/v3/traces"]),
        (
            {"/api/v3": PAGE, "/api/traces": MISSING_V2},
            ["/api/v3/traces", "/api/traces", "/api/traces"],
        ),
        ({"/api/traces": MISSING_V2}, ["/api/v3/traces", "/api/traces", "/api/traces"]),
    ],
)
def test_a_missing_trace_is_not_yet_there(answers: dict[str, Canned], asked: list[str]) -> None:
    """Jaeger's own 404 is an empty answer; a missing v3 (404, or its page) is remembered."""
    with answering(answers) as (source, served):
        for _ in range(2):
            answer = source.traces(ask(NOBODY))
            assert (answer.spans, answer.full) == ((), True)
    assert [path.partition(f"/{NOBODY}")[0] for path in served.requests] == asked


def test_spans_are_asked_for_as_they_were_stored() -> None:
    """Neither version is let adjust times to what it takes for clock skew."""
    with answering({"/api/v3": PAGE, "/api/traces": MISSING_V2}) as (source, served):
        source.traces(ask(NOBODY))
    v3, v2 = served.requests
    assert "rawTraces=true" in v3
    assert "raw=true" in v2


@pytest.mark.req("V-13")
@pytest.mark.parametrize("name", ["25-bad", "24-services"])
def test_what_is_no_trace_is_an_error(name: str) -> None:
    """Another answer of Jaeger's than to the question is never an empty trace."""
    with answering({"/api": canned(name)}) as (source, _), pytest.raises(SourceError):
        source.traces(ask(JOB_A))


def test_what_v3_finds_is_several_traces() -> None:
    """The recorded search by v3 has no tags: it is not used, and its form is that of a trace."""
    answers = {"/api/v3/traces": canned("23-find")}
    with answering(answers) as (source, _), pytest.raises(SourceError, match="and gave"):
        source.traces(ask(JOB_A))


def test_every_recording_is_replayed() -> None:
    """No recording of Jaeger's is left out here."""
    tests = Path(__file__).read_text()
    names = {path.stem for path in (RECORDINGS / RECORDED).glob("*.json")}
    assert [name for name in names if f'"{name[:2]}-' not in tests] == []


# -- what recordings do not show -----------------------------------------------------------------


def _stored(**fields: Any) -> dict[str, Any]:
    """Return a span as v2 has it."""
    tags = fields.pop("tags", {})
    typed = {str: "string", bool: "bool", int: "int64", float: "float64"}
    return {
        "traceID": "a1b2",
        "spanID": "c3",
        "operationName": "work",
        "references": [],
        "startTime": 1_800_000_000_000_000,
        "duration": 5,
        "tags": [{"key": k, "type": typed[type(v)], "value": v} for k, v in tags.items()],
        "logs": [],
        "processID": "p1",
        "warnings": None,
        **fields,
    }


def _v2(*spans: dict[str, Any], warnings: list[str] | None = None) -> list[dict[str, Any]]:
    """Return a trace as v2 has it."""
    processes = {"p1": {"serviceName": "scraper", "tags": []}}
    return [{"traceID": "a1b2", "spans": spans, "processes": processes, "warnings": warnings}]


@pytest.mark.parametrize(
    ("tags", "status", "message"),
    [
        ({}, SpanStatus.UNSET, ""),
        ({"otel.status_code": "OK"}, SpanStatus.OK, ""),
        ({"error": True}, SpanStatus.ERROR, ""),
        (
            {"otel.status_code": "ERROR", "otel.status_description": "no", "error": True},
            SpanStatus.ERROR,
            "no",
        ),
    ],
)
def test_tags_of_v2_that_stand_for_fields(
    tags: dict[str, Any], status: SpanStatus, message: str
) -> None:
    """Status, kind and scope are tags there, and no attributes here."""
    tags = {**tags, "span.kind": "producer", "otel.scope.name": "lib", "n": 7}
    (span,) = spans_in(_v2(_stored(tags=tags)), "j", 1.0).spans
    assert (span.status, span.status_message) == (status, message)
    assert (span.kind, span.scope, span.attributes) == (SpanKind.PRODUCER, "lib", {"n": 7})


def test_references_of_v2_are_a_parent_and_links() -> None:
    """The first CHILD_OF of the trace is the parent; others, and other traces', are links."""
    references = [
        {"refType": "FOLLOWS_FROM", "traceID": "ff", "spanID": "1"},
        {"refType": "CHILD_OF", "traceID": "a1b2", "spanID": "2"},
        {"refType": "CHILD_OF", "traceID": "a1b2", "spanID": "3"},
    ]
    (span,) = spans_in(_v2(_stored(references=references)), "j", 1.0).spans
    assert span.parent_id == "2".rjust(16, "0")
    assert [(link.trace_id[-2:], link.span_id[-1:]) for link in span.links] == [
        ("ff", "1"),
        ("b2", "3"),
    ]
    assert (span.trace_id, span.span_id) == ("a1b2".rjust(32, "0"), "c3".rjust(16, "0"))


@pytest.mark.req("V-13")
def test_warnings_are_told() -> None:
    """Jaeger's warnings, which v2 has apart and Jaeger 2 among the attributes, are findings."""
    trace = _v2(_stored(warnings=["clock skew"]), warnings=["incomplete"])
    findings = spans_in(trace, "j", 1.0).findings
    assert [one for one in findings if "clock skew" in one] != []
    assert [one for one in findings if "incomplete" in one] != []
    document = orjson.loads(recording(RECORDED, "21").body)
    span = document["result"]["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    values = {"arrayValue": {"values": [{"stringValue": "duplicate span"}]}}
    span["attributes"].append({"key": "@jaeger@warnings", "value": values})
    with answering({"/api/v3": Canned(body=orjson.dumps(document))}) as (source, _):
        answer = source.traces(ask(JOB_A))
    assert ["duplicate span" in one for one in answer.findings] == [True]
    assert not any("@jaeger@warnings" in one.attributes for one in answer.spans)


@pytest.mark.req("V-13")
def test_an_answer_in_pieces_is_one() -> None:
    """v3 may stream a large trace as one JSON object a line; an error among them breaks it off."""
    document = orjson.loads(recording(RECORDED, "21").body)
    blocks = document["result"]["resourceSpans"]
    pieces = [orjson.dumps({"result": {"resourceSpans": [block]}}) for block in blocks]
    assert len(pieces) > 1
    with answering({"/api/v3": Canned(body=b"\n".join(pieces))}) as (source, _):
        assert len(source.traces(ask(JOB_A)).spans) == 12
    broken = b"\n".join([*pieces, b'{"error":{"httpCode":500,"message":"storage went away"}}'])
    with answering({"/api/v3": Canned(body=broken)}) as (source, _):
        with pytest.raises(SourceError, match="storage went away") as caught:
            source.traces(ask(JOB_A))
        assert caught.value.failure is SourceFailure.PARTIAL


@pytest.mark.req("V-13")
@pytest.mark.parametrize(
    ("answer", "failure", "said"),
    [
        (Canned(404, b'{"message":"Not found"}'), SourceFailure.REFUSED, "base path"),
        (Canned(404, b"[]"), SourceFailure.REFUSED, "is it a Jaeger"),
        (Canned(404, b'{"error":"none"}'), SourceFailure.REFUSED, "is it a Jaeger"),
        (Canned(401, b"missing tenant header", "text/plain"), SourceFailure.REFUSED, "`tenant`"),
        (PAGE, SourceFailure.NONSENSE, "is a login before it"),
        (Canned(body=b"{}"), SourceFailure.NONSENSE, "no trace"),
        (Canned(body=b"[1]"), SourceFailure.NONSENSE, "cannot be read"),
        (Canned(body=b""), SourceFailure.NONSENSE, "cannot be read"),
        (Canned(body=b'{"result":{"resourceSpans":"x"}}'), SourceFailure.NONSENSE, "no trace"),
    ],
)
def test_what_is_no_jaeger_is_told_with_what_to_do(
    answer: Canned, failure: SourceFailure, said: str
) -> None:
    """A login page, a proxy, another product: an error that says so, never an empty trace."""
    with answering({"/api": answer}) as (source, _):
        with pytest.raises(SourceError) as caught:
            source.traces(ask(JOB_A))
        assert caught.value.failure is failure
        assert said in str(caught.value)


@pytest.mark.req("V-13")
@pytest.mark.parametrize(
    "body", [b"{}", b'{"data":"x"}', b'{"data":[{}]}', b'{"data":[7]}', b'{"data":{"a":1}}']
)
def test_what_is_no_result_of_a_search_is_told(body: bytes) -> None:
    """Neither of the services nor of the traces is it ever "nothing was found"."""
    services = Canned(body=b'{"data":["scraper"]}')
    with answering({"/api/services": services, "/api/traces": Canned(body=body)}) as (source, _):
        with pytest.raises(SourceError) as caught:
            source.search(ask(job_id="job"))
        assert caught.value.failure is SourceFailure.NONSENSE


def test_a_search_is_bounded() -> None:
    """A request for each service and key, and no more than 24; what is left out is told."""
    services = Canned(body=orjson.dumps({"data": [f"s{n}" for n in range(20)] + ["jaeger"]}))
    found = Canned(body=b'{"data":[{"traceID":"ab"}]}')
    with answering({"/api/services": services, "/api/traces": found}) as (source, served):
        answer = source.search(ask(job_id="job", keys=("job.id", "job_id")))
    assert len(served.requests) == 25
    assert (answer.full, answer.traces) == (False, (TraceRef("ab".rjust(32, "0"), "search"),))
    assert "40 requests" in answer.findings[0]
    many = Canned(body=orjson.dumps({"data": [{"traceID": f"{n + 1:x}"} for n in range(20)]}))
    one = Canned(body=b'{"data":["s"]}')
    with answering({"/api/services": one, "/api/traces": many}) as (source, _):
        assert not source.search(ask(job_id="job")).full


def test_a_probe_tells_of_v2_and_of_no_services() -> None:
    """What a Jaeger lacks is told."""
    nothing = Canned(body=b'{"data":null}')
    answers = {"/api/v3": PAGE, "/api/traces": MISSING_V2, "/api/services": nothing}
    with answering(answers) as (source, _):
        notes = source.probe().notes
    assert [note.partition(":")[0] for note in notes] == [
        "v3 of the API is not there",
        "no service is known",
    ]


def test_a_source_is_built_as_it_is_declared() -> None:
    """Its budgets are those of the configuration."""
    settings = JaegerSettings(type="jaeger", url="http://127.0.0.1:1", lag_budget="3s")
    source = Builder(SystemClock(), Path()).build("j", settings)
    assert isinstance(source, JaegerSource)
    assert (source.lag_budget, source.search_lag_budget, source.name) == (3.0, 7.0, "j")
    source.close()


@pytest.mark.slow
@pytest.mark.req("V-13")
def test_a_trace_of_200000_spans_is_read() -> None:
    """As OTLP's JSON it takes some seconds, and no span is lost."""
    document = orjson.loads(recording(RECORDED, "21").body)
    block = document["result"]["resourceSpans"][0]
    first = block["scopeSpans"][0]["spans"][0]
    few = {"spanId": "HERE", "attributes": first["attributes"][:2], "events": []}
    span = orjson.dumps({**first, **few}).decode()
    before, _, after = span.partition("HERE")
    spans = ",".join(f"{before}{n + 1:016x}{after}" for n in range(200_000))
    body = f'{{"result":{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}]}}]}}]}}}}'.encode()
    with answering({"/api/v3": Canned(body=body, media="text/plain")}) as (source, _):
        answer = source.traces(ask(JOB_A))
    assert len({one.span_id for one in answer.spans}) == 200_000
    assert answer.full


# -- a running one --------------------------------------------------------------------------------

BINARY = jaeger_process.binary()


@pytest.fixture(scope="module")
def jaeger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[jaeger_process.Jaeger]:
    """Run a Jaeger."""
    if BINARY is None:
        pytest.skip(f"no Jaeger: neither on the PATH nor in {jaeger_process.CACHE}")
    with jaeger_process.running(BINARY, tmp_path_factory.mktemp("jaeger") / "log") as found:
        yield found


@pytest.mark.process
@pytest.mark.req("V-12")
def test_a_running_jaeger_has_what_was_sent(jaeger: jaeger_process.Jaeger) -> None:
    """By either version: spans as sent, their times not adjusted, links, a search, a control."""
    now = int(time.time()) * SECOND
    job = {"job.id": "j"}
    ours, far = "a1" * 16, "00" + "b2" * 15
    rows = (
        Row(ours, span="00000000000000a1", attributes=job, start=now, end=now + SECOND),
        Row(ours, span="00000000000000a2", parent="00000000000000a1", start=now - SECOND, end=now),
        Row(far, links=((ours, "00000000000000a1"),), attributes=job, start=now, end=now + 1),
    )
    body = encode.traces(rows).SerializeToString()
    requests.post(f"{jaeger.otlp}/v1/traces", data=body, headers=PROTOBUF, timeout=10)
    way_in = Control(jaeger.otlp, http("control"), (Signal.TRACES,))
    for version in ("v3", "v2"):
        source = JaegerSource("j", jaeger.url, http("j", Bounds(timeout=30)), LAGS, way_in)
        source._v3 = version == "v3"  # as an old Jaeger has it
        answer = _until_seen(source, ours, 2)
        times = {span.span_id[-2:]: (span.start, span.end) for span in answer}
        assert times == {"a1": (now, now + SECOND), "a2": (now - SECOND, now)}
        linked = source.traces(ask(far, job_id="j"))
        assert linked.traces == (TraceRef(ours, "job_id"),)
        assert len(linked.spans) == 3
        assert source.traces(ask(NOBODY)).full
        found = source.search(replace(ask(job_id="j"), since=now / SECOND - 60))
        assert {ref.trace_id for ref in found.traces} == {ours, far}
        assert source.search(ask(job_id="nobody")).traces == ()
        control = version[1] * 32
        source.plant(control)
        assert _until_seen(source, control, 1)
        assert source.traces(ask(control=control)).control_seen
        assert source.search(ask(job_id="nobody", control=control)).control_seen
        assert source.probe().notes == (
            ()
            if version == "v3"
            else ("v3 of the API is not there: v2 is used, whose times are microseconds",)
        )
        source.close()


def _until_seen(source: JaegerSource, trace_id: str, count: int) -> tuple[Span, ...]:
    """Return a trace once it has so many spans."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        answer = source.traces(ask(trace_id))
        assert answer.full
        if len(answer.spans) == count:
            return answer.spans
    raise AssertionError(f"trace {trace_id} did not come")
