"""Tempo, as its recordings and its source have it."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest
import requests
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from tests.sources import encode
from tests.sources.conftest import PROTOBUF as MESSAGE
from tests.sources.conftest import ask, http
from tests.sources.encode import SECOND, Row
from tests.sources.recorded import RECORDINGS, recording
from tests.sources.servers import Canned, Served, always, serving
from tests.sources.trace_servers import LAGS, NO_ROUTE, message
from validator.clock import SystemClock
from validator.config_sources import ControlSettings, TempoSettings
from validator.errors import SourceError, SourceFailure
from validator.model import Signal, SpanKind, SpanStatus, TraceRef
from validator.sources.build import Builder
from validator.sources.control import Control
from validator.sources.http import Bounds
from validator.sources.tempo import TempoSource
from validator.sources.tempo_answer import read

RECORDED = "tempo-3.0.3"
JOB_A, JOB_B, FAR_B = (
    "00a1b2c3d4e5f60718293a4b5c6d7e8f",
    "1f2e3d4c5b6a79880123456789abcdef",
    "953f48f1a09f76b5a170b33839263059",
)
JOB_C, FAR_C = "2b7e151628aed2a6abf7158809cf4f3c", "301850c5a38fd547923a736994e3bf91"
NOBODY = "0123456789abcdef0123456789abcdef"
PROTOBUF = "application/protobuf"


def tempo(url: str, bounds: Bounds | None = None) -> TempoSource:
    """Return a source that reads a server."""
    return TempoSource("tempo", url, http("tempo", bounds), LAGS)


@contextmanager
def answering(answers: dict[str, Canned]) -> Iterator[tuple[TempoSource, Served]]:
    """Give a source, and its server that answers by the first of these that a path begins with."""

    def script(handler: BaseHTTPRequestHandler) -> Canned:
        found = (one for path, one in answers.items() if handler.path.startswith(path))
        return next(found, NO_ROUTE)

    with serving(script) as served:
        source = tempo(served.url, Bounds(timeout=30, attempts=1))
        yield source, served
        source.close()


def canned(name: str) -> Canned:
    """Return what a recording answered."""
    return recording(RECORDED, name).canned()


def by_id(name: str) -> dict[str, Canned]:
    """Answer as the recording of one trace does, wherever it was asked for."""
    one = recording(RECORDED, name)
    return {one.path.partition("?")[0]: one.canned()}


# -- the recordings ---------------------------------------------------------------------------


@pytest.mark.req("V-12")
@pytest.mark.parametrize(
    ("name", "trace_id", "count"),
    [
        ("10-missing-v2", NOBODY, 0),
        ("20-partial-v2", JOB_A, 1),
        ("21-whole-v2", JOB_A, 13),
        ("23-whole-v2-protobuf", JOB_A, 13),
        ("30-linked-producer-v2", JOB_B, 2),
        ("31-linked-consumer-v2", FAR_B, 10),
        ("32-broken-producer-v2", JOB_C, 2),
        ("33-broken-consumer-v2", FAR_C, 10),
    ],
)
def test_each_recorded_trace_is_read(name: str, trace_id: str, count: int) -> None:
    """Whole, half or not there: an answer of v2 is full, and holds what it holds."""
    with answering(by_id(name)) as (source, _):
        answer = source.traces(ask(trace_id))
    assert (len(answer.spans), answer.full, answer.findings) == (count, True, ())
    assert {span.trace_id for span in answer.spans} <= {trace_id}


@pytest.mark.req("V-12")
@pytest.mark.parametrize("name", ["22-whole-v1-protobuf", "11-missing-v1"])
def test_v1_is_read_where_v2_is_missing(name: str) -> None:
    """The router's 404 to v2 leads to v1, and is remembered; v1's own 404 is "not yet"."""
    with answering(by_id(name)) as (source, served):
        trace_id = NOBODY if "missing" in name else JOB_A
        answer = source.traces(ask(trace_id))
        source.traces(ask(trace_id))
    assert (len(answer.spans), answer.full) == (0 if "missing" in name else 13, True)
    assert [path.split("/")[2] for path in served.requests] == ["v2", "traces", "traces"]


def test_a_trace_is_the_same_in_each_form() -> None:
    """Protobuf and JSON, v1 and v2, and an id without its leading zero: one trace."""
    forms = []
    for name in ("21-whole", "22-whole", "23-whole", "24-short", "25-window"):
        one = recording(RECORDED, name)
        media = one.headers["content-type"]
        forms.append(read(one.body, media, "t", 1.0, v2="v2" in one.path))
    assert all(form == forms[0] for form in forms)
    assert forms[0].whole
    v1 = orjson.dumps(
        {"batches": orjson.loads(recording(RECORDED, "21").body)["trace"]["resourceSpans"]}
    )
    assert read(v1, "application/json", "t", 1.0, v2=False) == forms[0]


def test_a_recorded_span_is_what_was_sent() -> None:
    """Ids, times, attributes of each type, events, status and links come without loss."""
    with answering({**by_id("23-whole"), **by_id("31-linked")}) as (source, _):
        answer = source.traces(ask(JOB_A, FAR_B))
    spans = {(span.trace_id, span.name): span for span in answer.spans}
    chunks = spans[JOB_A, "POST /chunk"]
    assert chunks.attributes["chunk.sizes"] == (512, 512, 301)
    assert chunks.attributes["chunk.overlap"] == 0.1
    (event,) = spans[JOB_A, "GET"].events
    assert (event.name, event.attributes) == ("first byte", {"bytes": 512})
    consumer = spans[FAR_B, "run/scraper.scrape_task"]
    assert (consumer.kind, consumer.service, consumer.scope) == (
        SpanKind.CONSUMER,
        "scraper",
        "pipeline",
    )
    assert [link.trace_id for link in consumer.links] == [JOB_B]
    assert {span.status for span in answer.spans} <= set(SpanStatus)
    assert all(span.start < span.end for span in answer.spans)


@pytest.mark.req("V-12")
@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("40-search-too-early", ()),
        ("41-search-found", (JOB_A,)),
        ("42-search-two-traces", (FAR_C, JOB_C)),
        ("43-search-links", None),
        ("44-search-nothing", ()),
    ],
)
def test_each_recorded_search_is_read(name: str, found: tuple[str, ...] | None) -> None:
    """A search finds what it finds, with the ids' leading zeros put back."""
    with answering({"/api/search": canned(name)}) as (source, _):
        answer = source.search(ask(job_id="job"))
    refs = {TraceRef(one, "search") for one in found or (JOB_A, FAR_B, FAR_C)}
    assert set(answer.traces) == (refs if found != () else set())
    assert (answer.full, answer.findings, answer.spans) == (True, (), ())


@pytest.mark.parametrize(
    ("job_id", "values"),
    [
        ("42", ('"42"', "42")),
        ("042", ('"042"',)),
        ("9223372036854775807", ('"9223372036854775807"', "9223372036854775807")),
        ("9223372036854775808", ('"9223372036854775808"',)),
        ("9" * 5000, (f'"{"9" * 5000}"',)),
    ],
)
def test_a_number_is_searched_for_as_that_too(job_id: str, values: tuple[str, ...]) -> None:
    """TraceQL finds no number by its text; what is no number of 64 bits is text alone."""
    with answering({"/api/search": canned("44-search-nothing")}) as (source, served):
        source.search(ask(job_id=job_id))
    (asked,) = served.requests
    scopes = ("span", "resource")
    terms = [f"{scope}.job.id = {value}" for scope in scopes for value in values]
    assert parse_qs(urlsplit(asked).query)["q"] == [f"{{ {' || '.join(terms)} }}"]


@pytest.mark.req("V-13")
@pytest.mark.parametrize("name", ["45-search-bad-query", "46-search-half-window"])
def test_a_refused_search_says_why(name: str) -> None:
    """What Tempo says of a question that it does not take is told."""
    with (
        answering({"/api/search": canned(name)}) as (source, _),
        pytest.raises(SourceError, match=r"400 \((invalid TraceQL|http parameter start)") as caught,
    ):
        source.search(ask(job_id="job"))
    assert caught.value.failure is SourceFailure.REFUSED


@pytest.mark.req("V-13")
@pytest.mark.parametrize(
    "name", ["01-ready", "02-echo", "03-buildinfo", "12-bad-id", "47-tags", "48-tag", "49-metrics"]
)
def test_what_is_no_trace_is_an_error(name: str) -> None:
    """Another answer of Tempo's than to the question is never an empty trace."""
    for path in ("/api/v2", "/api/traces"):
        with answering({path: canned(name)}) as (source, _), pytest.raises(SourceError):
            source.traces(ask(JOB_A))


def test_every_recording_is_replayed() -> None:
    """No recording of Tempo's is left out here."""
    tests = Path(__file__).read_text()
    names = {path.stem for path in (RECORDINGS / RECORDED).glob("*.json")}
    assert [name for name in names if f'"{name[:2]}-' not in tests] == []


def test_a_probe_reads_what_is_recorded() -> None:
    """Its own build says nothing of a version; one that does is told."""
    answers = {
        "/api/v2/traces": canned("10-missing-v2"),
        "/api/search": canned("41-search-found"),
        "/api/status/buildinfo": canned("03-buildinfo"),
    }
    with answering(answers) as (source, _):
        seen = source.probe()
    assert (seen.version, seen.notes) == ("", ())
    answers["/api/status/buildinfo"] = Canned(body=b'{"version":"v3.0.3"}')
    with answering(answers) as (source, _):
        assert source.probe().version == "v3.0.3"
    old = {"/api/traces": canned("11-missing-v1"), "/api/search": canned("44-search-nothing")}
    with answering(old) as (source, _):
        seen = source.probe()
    assert [note.partition(":")[0] for note in seen.notes] == [
        "v2 of the API is not there",
        "the search finds no trace of the last hour",
    ]


# -- what recordings do not show -----------------------------------------------------------------


@pytest.mark.req("V-13")
@pytest.mark.parametrize("media", [PROTOBUF, "application/json"])
def test_a_partial_trace_is_told(media: str) -> None:
    """`PARTIAL`, which says that a trace is too large, is a finding, and the answer not full."""
    rows = encode.traces([Row(JOB_A, attributes={"job.id": "a"})]).resource_spans
    trace = TracesData(resource_spans=rows).SerializeToString()
    said = b"Trace exceeds maximum size of 10 bytes, a partial trace is returned"
    body = message(1, trace) + b"\x18\x01" + message(4, said)
    if media != PROTOBUF:
        body = orjson.dumps(
            {
                **orjson.loads(recording(RECORDED, "21").body),
                "status": "PARTIAL",
                "message": said.decode(),
            }
        )
    with answering({"/api/v2": Canned(body=body, media=media)}) as (source, _):
        answer = source.traces(ask(JOB_A))
    assert answer.spans
    assert not answer.full
    assert answer.findings == (f"the trace is PARTIAL: {said.decode()}",)


@pytest.mark.req("V-13")
@pytest.mark.parametrize(
    ("answer", "failure", "said"),
    [
        (Canned(401, b"no org id\n", "text/plain"), SourceFailure.REFUSED, "declare which is"),
        (Canned(401, b"{}"), SourceFailure.REFUSED, "credentials"),
        (Canned(422, b"trace exceeds max size", "text/plain"), SourceFailure.TOO_LARGE, "max size"),
        (
            Canned(500, b"response larger than the max (39567111 vs 16777216)", "text/plain"),
            SourceFailure.TOO_LARGE,
            "grpc_server_max_send_msg_size",
        ),
        (Canned(404, b"<html>", "text/html"), SourceFailure.REFUSED, "base path"),
        (Canned(404, b'{"message":"Not found"}'), SourceFailure.REFUSED, "base path"),
        (Canned(404, b"default backend - 404", "text/plain"), SourceFailure.REFUSED, "is it a Tem"),
        (Canned(404), SourceFailure.REFUSED, "is it a Tempo"),
        (NO_ROUTE, SourceFailure.REFUSED, "is it a Tempo"),
        (Canned(204), SourceFailure.NONSENSE, "answered 204"),
        (Canned(body=b"{}", media=""), SourceFailure.NONSENSE, "something without a type"),
        (Canned(body=b"<html>Sign in", media="text/html"), SourceFailure.NONSENSE, "is a login"),
        (Canned(body=b"{}"), SourceFailure.NONSENSE, "JSON without 'trace'"),
        (Canned(body=b'{"trace":[]}'), SourceFailure.NONSENSE, "is no trace"),
        (Canned(body=b'{"trace":{"resourceSpans":[7]}}'), SourceFailure.NONSENSE, "AttributeError"),
        (Canned(body=b"[]"), SourceFailure.NONSENSE, "JSON without"),
        (Canned(body=b"{", media="application/json"), SourceFailure.NONSENSE, "cannot be read"),
        (Canned(body=b"", media=PROTOBUF), SourceFailure.NONSENSE, "without a trace"),
        (Canned(body=b"\n\x09abc", media=PROTOBUF), SourceFailure.NONSENSE, "cannot be read"),
    ],
)
def test_what_is_no_tempo_is_told_with_what_to_do(
    answer: Canned, failure: SourceFailure, said: str
) -> None:
    """A login page, a proxy, another product: an error that says so, never an empty trace."""
    media = "" if answer.status == 204 else answer.media
    told = Canned(answer.status, answer.body, media)
    with serving(always(told)) as served:
        source = tempo(served.url, Bounds(timeout=5, attempts=1))
        with pytest.raises(SourceError) as caught:
            source.traces(ask(JOB_A))
        source.close()
    assert caught.value.failure is failure
    assert said in str(caught.value)


@pytest.mark.req("V-13")
@pytest.mark.parametrize(
    "body", [b"{}", b"[]", b"null", b'{"traces":[{}]}', b'{"traces":[{"traceID":"xyz"}]}', b"{"]
)
def test_what_is_no_result_of_a_search_is_told(body: bytes) -> None:
    """It is never "nothing was found"."""
    with answering({"/api/search": Canned(body=body)}) as (source, _):
        with pytest.raises(SourceError, match="no result of a search") as caught:
            source.search(ask(job_id="job"))
        assert caught.value.failure is SourceFailure.NONSENSE


def test_a_search_that_is_not_whole_is_told() -> None:
    """Parts that were not done, and more traces than are taken, make the answer not full."""
    some = {"traces": [{"traceID": "ab"}], "metrics": {"completedJobs": 1, "totalJobs": 3}}
    many = {"traces": [{"traceID": f"{n + 1:x}"} for n in range(100)]}
    with answering({"/api/search": Canned(body=orjson.dumps(some))}) as (source, _):
        answer = source.search(ask(job_id="job"))
    assert answer.findings == ("the search is PARTIAL: 1 of 3 parts of it were done",)
    assert (answer.full, answer.traces) == (False, (TraceRef("ab".rjust(32, "0"), "search"),))
    with answering({"/api/search": Canned(body=orjson.dumps(many))}) as (source, _):
        answer = source.search(ask(job_id="job"))
    assert (len(answer.traces), answer.full) == (100, False)


def test_a_base_path_is_kept() -> None:
    """Tempo behind a prefix is asked below it."""
    with serving(always(canned("10-missing-v2"))) as served:
        source = tempo(f"{served.url}/tempo/")
        source.traces(ask(NOBODY))
        source.close()
    assert served.requests == [f"/tempo/api/v2/traces/{NOBODY}"]


def test_spans_that_are_invalid_are_left_out_and_told() -> None:
    """An answer that lacks what could not be read is not full."""
    document = orjson.loads(recording(RECORDED, "21").body)
    span = document["trace"]["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    for key, value in (("spanId", "AA=="), ("traceId", ""), ("parentSpanId", "AAAA")):
        body = orjson.dumps(document).replace(orjson.dumps(span), orjson.dumps(span | {key: value}))
        with answering({"/api/v2": Canned(body=body)}) as (source, _):
            answer = source.traces(ask(JOB_A))
        assert (len(answer.spans), answer.full) == (12, False)
        assert key in answer.findings[0]


def test_a_source_is_built_as_it_is_declared() -> None:
    """Tenant, budgets and the way in for control records are those of the configuration."""
    asked: list[str | None] = []

    def script(handler: BaseHTTPRequestHandler) -> Canned:
        asked.append(handler.headers.get("X-Scope-OrgID"))
        return canned("10-missing-v2")

    with serving(script) as served:
        control = ControlSettings(url=served.url, tenant="in")
        settings = TempoSettings(
            type="tempo", url=served.url, tenant="out", lag_budget="3s", control=control
        )
        source = Builder(SystemClock(), Path()).build("t", settings)
        assert isinstance(source, TempoSource)
        source.plant("cc" * 16)
        source.traces(ask(NOBODY))
        source.close()
    assert asked == ["in", "out"]
    assert served.requests[0] == "/v1/traces"
    assert (source.lag_budget, source.search_lag_budget) == (3.0, 60.0)


@pytest.mark.slow
@pytest.mark.req("V-13")
def test_a_trace_of_200000_spans_is_read() -> None:
    """As protobuf it takes a few seconds, and no span is lost."""
    whole = encode.traces([Row(JOB_A, attributes={"job.id": "a"})]).resource_spans[0]
    (span,) = whole.scope_spans[0].spans
    old, raw = span.span_id, span.SerializeToString()
    before, _, after = raw.partition(old)
    spans = (before + (n + 1).to_bytes(8, "big") + after for n in range(200_000))
    scope = b"".join(message(2, one) for one in spans)
    body = message(1, message(1, message(2, scope)))
    with answering({"/api/v2": Canned(body=body, media=PROTOBUF)}) as (source, _):
        began = time.process_time()
        answer = source.traces(ask(JOB_A))
        took = time.process_time() - began
    assert len({span.span_id for span in answer.spans}) == 200_000
    assert answer.full
    assert took < 30


# -- a running one --------------------------------------------------------------------------------

URL, OTLP = os.environ.get("TEMPO_URL", ""), os.environ.get("TEMPO_OTLP_URL", "")


@pytest.mark.req("V-12")
@pytest.mark.skipif(not (URL and OTLP), reason="no Tempo: TEMPO_URL and TEMPO_OTLP_URL name none")
def test_a_running_tempo_has_what_was_sent() -> None:
    """Whole, by its id, at once; a link leads on, and a control record shows that it works."""
    control, ours, far = (uuid.uuid4().hex for _ in range(3))
    now, job = int(time.time() * SECOND), {"job.id": ours}
    rows = (
        Row(ours, span="00000000000000a1", attributes=job, start=now, end=now + 1),
        Row(ours, span="00000000000000a2", parent="00000000000000a1", start=now, end=now + 1),
        Row(far, links=((ours, "00000000000000a1"),), attributes=job, start=now, end=now + 1),
    )
    body = encode.traces(rows).SerializeToString()
    requests.post(f"{OTLP}/v1/traces", data=body, headers=MESSAGE, timeout=10).raise_for_status()
    way_in = Control(OTLP, http("control"), (Signal.TRACES,))
    source = TempoSource("tempo", URL, http("tempo"), LAGS, way_in)
    source.plant(control)
    deadline = time.monotonic() + 30
    while len(source.traces(ask(far, job_id=ours)).spans) < 3:
        assert time.monotonic() < deadline
    assert source.traces(ask(far, job_id=ours)).traces == (TraceRef(ours, "job_id"),)
    nothing = source.traces(ask(uuid.uuid4().hex, control=control))
    assert (nothing.spans, nothing.full, nothing.control_seen) == ((), True, True)
    question = replace(ask(job_id=ours), since=now / SECOND - 60, until=time.time() + 1)
    assert source.search(question).full
    number = str(now)  # sent as one
    row = Row(uuid.uuid4().hex, attributes={"job.id": now}, start=now, end=now + 1)
    body = encode.traces((row,)).SerializeToString()
    requests.post(f"{OTLP}/v1/traces", data=body, headers=MESSAGE, timeout=10).raise_for_status()
    question, deadline = replace(question, job_id=number), time.monotonic() + 30
    while not (answer := source.search(question)).traces:
        assert time.monotonic() < deadline, answer
    assert answer.traces == (TraceRef(row.trace, "search"),)
    source.close()
