"""OTLP/HTTP: what the specification says to good and to wrong payloads."""

from __future__ import annotations

import gzip
import json
import socket
import zlib

import psutil
import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from tests.sources import encode
from tests.sources.conftest import Rig, RigMaker, ask
from tests.sources.encode import Row
from validator.sources.collector.limits import Limits

TRACE = "ab" * 16
JSON = "application/json"


def otlp_json(trace_id: str = TRACE, **span: object) -> bytes:
    """Return one span as OTLP/JSON."""
    fields = {
        "traceId": trace_id,
        "spanId": "EEE19B7EC3C1B174",
        "name": "work",
        "kind": 2,
        "startTimeUnixNano": "1800000000000000000",
        "endTimeUnixNano": 1800000001000000000,
        "someFieldOfTomorrow": {"a": 1},
        **span,
    }
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [fields]}]}]}).encode()


def test_empty_body_is_an_empty_request(rig: Rig) -> None:
    """An empty body is a valid empty request, in both encodings."""
    assert rig.post("traces", b"").status_code == 200
    assert rig.post("logs", b"", Content_Type=JSON).json() == {}


@pytest.mark.req("V-12")
def test_json_has_ids_in_hex(rig: Rig) -> None:
    """OTLP/JSON is taken: ids in hex of either case, numbers as strings, unknown fields ignored."""
    attributes = [{"key": "job.id", "value": {"intValue": "7"}}]
    response = rig.post("traces", otlp_json(attributes=attributes), Content_Type=JSON)
    assert (response.status_code, response.json()) == (200, {})
    (span,) = rig.local().traces(ask(TRACE)).spans
    assert (span.trace_id, span.span_id) == (TRACE, "eee19b7ec3c1b174")
    assert span.attributes == {"job.id": 7}
    assert span.end - span.start == encode.SECOND


def test_json_id_that_is_not_hex_is_rejected_alone(rig: Rig) -> None:
    """An id that is not hex is one rejected span, in the answer's JSON."""
    response = rig.post("traces", otlp_json("zz" * 16), Content_Type=JSON)
    partial = response.json()["partialSuccess"]
    assert (response.status_code, partial["rejectedSpans"]) == (200, "1")
    assert "trace_id" in partial["errorMessage"]


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"resourceSpans": 5}', b"[" * 5000, b"<html>"])
def test_wrong_json_gets_a_status_in_json(rig: Rig, body: bytes) -> None:
    """What is not OTLP/JSON is answered 400 with a google.rpc.Status in JSON."""
    response = rig.post("traces", body, Content_Type=JSON)
    assert response.status_code == 400
    assert response.headers["Content-Type"] == JSON
    assert response.json()["code"] == 3


@pytest.mark.parametrize("body", [b"\xff\xff\xff", b"<html>", b"\x0a\x7f"])
def test_wrong_protobuf_gets_a_status_in_protobuf(rig: Rig, body: bytes) -> None:
    """What is not OTLP is answered 400 with a google.rpc.Status in protobuf."""
    response = rig.post("traces", body)
    assert response.status_code == 400
    assert response.headers["Content-Type"] == "application/x-protobuf"
    assert Status.FromString(response.content).code == 3


@pytest.mark.req("V-13")
def test_truncated_request_is_refused_and_remembered(rig: Rig) -> None:
    """A truncated body takes nothing in, and later answers say that something was refused."""
    body = encode.traces([Row(TRACE), Row("cd" * 16)]).SerializeToString()
    assert rig.post("traces", body[:-7]).status_code == 400
    answer = rig.local().traces(ask(TRACE))
    assert (answer.spans, answer.full) == ((), False)
    assert "refused a whole request" in answer.findings[0]
    assert rig.local().logs(ask(TRACE)).full


def test_gzip_is_taken(rig: Rig) -> None:
    """A gzip body is taken, also one of several members."""
    first, second = (encode.traces([Row(t)]).SerializeToString() for t in (TRACE, "cd" * 16))
    body = gzip.compress(first) + gzip.compress(second)
    assert rig.post("traces", body, Content_Encoding="gzip").status_code == 200
    assert len(rig.local().traces(ask(TRACE, "cd" * 16)).spans) == 2


@pytest.mark.parametrize("cut", [3, 20])
def test_broken_gzip_is_refused(rig: Rig, cut: int) -> None:
    """A gzip body that ends too early, or is none, is answered 400."""
    body = gzip.compress(encode.traces([Row(TRACE)]).SerializeToString())
    assert rig.post("traces", body[:-cut], Content_Encoding="gzip").status_code == 400
    assert rig.post("traces", b"plain", Content_Encoding="gzip").status_code == 400


@pytest.mark.untraced
def test_gzip_bomb_takes_no_memory(make_rig: RigMaker) -> None:
    """One gigabyte of zeros in a megabyte of gzip is answered 413, and memory does not grow."""
    rig = make_rig(Limits(inflated=4 << 20))
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    megabyte = bytes(1 << 20)
    bomb = b"".join(packer.compress(megabyte) for _ in range(1024)) + packer.flush()
    before = psutil.Process().memory_info().rss
    response = rig.post("traces", bomb, Content_Encoding="gzip")
    grown = psutil.Process().memory_info().rss - before
    assert response.status_code == 413
    assert "decompressed" in Status.FromString(response.content).message
    assert grown < 64 << 20


def test_body_of_100_megabytes_is_too_large(rig: Rig) -> None:
    """100 MB are answered 413, although the sender sends them all before it reads."""
    host, port = rig.collector.endpoint.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as sender:
        sender.sendall(
            b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
            b"Content-Length: 100000000\r\nConnection: close\r\n\r\n"
        )
        for _ in range(100):
            sender.sendall(bytes(1_000_000))
        head, _, body = b"".join(iter(lambda: sender.recv(65536), b"")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413 ")
    assert Status.FromString(body).code == 8
    assert "100000000 bytes is more than" in Status.FromString(body).message


def test_body_without_length_is_cut_off_at_the_limit(make_rig: RigMaker) -> None:
    """A chunked body has no length to refuse it by, and is refused when it gets too large."""
    rig = make_rig(Limits(body=1 << 20))
    url = f"{rig.collector.endpoint}/v1/logs"
    chunks = (bytes(1 << 16) for _ in range(32))
    headers = {"Content-Type": "application/x-protobuf"}
    assert rig.session.post(url, data=chunks, headers=headers, timeout=30).status_code == 413


def test_sender_that_goes_away_leaves_nothing(rig: Rig) -> None:
    """A sender that dies in the middle of a body does no harm."""
    host, port = rig.collector.endpoint.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as sender:
        sender.sendall(
            b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
            b"Content-Length: 1000\r\n\r\nhalf"
        )
    assert rig.get("/healthz").text == "ok\n"


@pytest.mark.parametrize("media", ["text/plain", "", "application/grpc"])
def test_other_content_types_are_unsupported(rig: Rig, media: str) -> None:
    """Another content type is answered 415, saying which are taken."""
    response = rig.post("traces", b"", Content_Type=media)
    assert response.status_code == 415
    assert "application/json" in Status.FromString(response.content).message


def test_other_encodings_are_unsupported(rig: Rig) -> None:
    """A content encoding other than gzip is answered 415."""
    assert rig.post("traces", b"", Content_Encoding="br").status_code == 415


def test_other_methods_and_paths(rig: Rig) -> None:
    """GET is answered 405 and an unknown path 404."""
    assert rig.get("/v1/traces").status_code == 405
    assert rig.post("profiles", b"").status_code == 404


def test_content_type_may_have_parameters(rig: Rig) -> None:
    """A charset after the content type changes nothing."""
    assert rig.post("traces", b"{}", Content_Type="application/json; charset=utf-8").ok


def test_too_many_bytes_at_once_are_put_off(make_rig: RigMaker) -> None:
    """When the budget for bodies is used up, the answer is 503 with Retry-After."""
    rig = make_rig(Limits(in_flight=0))
    response = rig.post("traces", b"")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")


@pytest.mark.req("V-12")
@pytest.mark.parametrize(
    ("row", "field"),
    [
        (Row("ab" * 15), "trace_id"),
        (Row("00" * 16), "trace_id"),
        (Row(""), "trace_id"),
        (Row(TRACE, span="ab"), "span_id"),
        (Row(TRACE, span="00" * 8), "span_id"),
        (Row(TRACE, parent="abcd"), "parent_span_id"),
    ],
)
def test_wrong_ids_are_rejected_piece_by_piece(rig: Rig, row: Row, field: str) -> None:
    """A span with an invalid id is rejected and counted; its neighbour is taken."""
    good = Row("ee" * 16, span="0000000000000002")
    response = rig.send("traces", encode.traces([row, good]))
    partial = ExportTraceServiceResponse.FromString(response.content).partial_success
    assert partial.rejected_spans == 1
    assert field in partial.error_message
    assert len(rig.local().traces(ask("ee" * 16)).spans) == 1
    assert rig.get("/api/v1/status").json()["traces"]["rejected"] == 1


@pytest.mark.req("V-13")
def test_answer_about_a_rejected_span_is_not_full(rig: Rig) -> None:
    """A trace of which a span was rejected is not all there, whether asked by trace or by job."""
    rig.send("traces", encode.traces([Row(TRACE, span="ab", attributes={"job.id": "j"})]))
    for question in (ask(TRACE), ask(job_id="j")):
        answer = rig.local().traces(question)
        assert not answer.full
        assert "refused" in answer.findings[0]
    assert rig.local().traces(ask("cd" * 16, job_id="k")).full


def test_odd_spans_are_kept_and_remarked_upon(rig: Rig) -> None:
    """Time zero, an end before the start, no service name, 10,000 attributes: kept, and said."""
    many = {f"key.{index}": index for index in range(10_000)}
    rows = [
        Row(TRACE, span="0000000000000001", start=0),
        Row(TRACE, span="0000000000000002", end=1),
        Row(TRACE, span="0000000000000003", service=""),
        Row(TRACE, span="0000000000000004", attributes=many),
        Row(TRACE, span="0000000000000005", parent="00" * 8),
        Row(TRACE, span="0000000000000006", links=(("00" * 16, "00" * 8),)),
    ]
    rig.send("traces", encode.traces(rows))
    source = rig.local()
    for answer in (
        source.traces(ask(TRACE)),
        source.traces(ask(TRACE)),
        rig.remote().traces(ask(TRACE)),
    ):
        assert [span.span_id[-1] for span in answer.spans] == list("123456")
        assert answer.spans[0].start == 0
        assert answer.spans[2].service == ""
        assert answer.spans[3].attributes == many
        assert answer.spans[4].parent_id == ""
        assert answer.spans[5].links == ()
        assert answer.full
        said = "\n".join(answer.findings)
        for words in ("time of 0", "before they", "without a service", "than 128", "zeros", "link"):
            assert words in said
        assert len(answer.findings) == 6
