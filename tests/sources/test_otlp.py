"""OTLP messages become the model without loss."""

from __future__ import annotations

import math

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from tests.sources import encode
from tests.sources.conftest import Rig, ask
from tests.sources.encode import Row
from validator.model import AttributeValue
from validator.sources import otlp_json

TRACE = "ab" * 16

_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.binary(),
)
_KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES: st.SearchStrategy[AttributeValue] = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(tuple), st.dictionaries(_KEYS, inner, max_size=4)
    ),
    max_leaves=12,
)


def same(left: AttributeValue, right: AttributeValue) -> bool:
    """Whether two values are the same, of the same types, NaN being itself."""
    if type(left) is not type(right):
        return False
    if isinstance(left, tuple) and isinstance(right, tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    if isinstance(left, float) and isinstance(right, float) and math.isnan(left):
        return math.isnan(right)
    return left == right


@pytest.mark.untraced
@pytest.mark.req("V-12")
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(value=VALUES, number=st.integers(1, 2**64 - 1))
def test_any_value_survives(rig: Rig, value: AttributeValue, number: int) -> None:
    """Any attribute value is read as it was sent, in process and through the read API.

    In protobuf and in OTLP/JSON, on spans and on log records.
    """
    for as_json in (False, True):
        trace = f"{number:031x}{1 if as_json else 2}"
        row = Row(trace, attributes={"value": value})
        for signal, message in (("traces", encode.traces([row])), ("logs", encode.logs([row]))):
            if as_json:
                body = orjson.dumps(otlp_json.to_json(message))
                response = rig.post(signal, body, Content_Type="application/json")
            else:
                response = rig.post(signal, message.SerializeToString())
            assert response.status_code == 200, response.content
        for source in (rig.local(), rig.remote()):
            span = source.traces(ask(trace)).spans[-1]
            line = source.logs(ask(trace)).logs[-1]
            for found in (span, line):
                assert same(found.attributes["value"], value), (source.name, found)


def test_links_and_events_survive(rig: Rig) -> None:
    """A span's links and events, status and scope are read as they were sent."""
    request = encode.traces([Row(TRACE, links=(("cd" * 16, "12" * 8),))])
    scope = request.resource_spans[0].scope_spans[0]
    scope.scope.name = "celery"
    span = scope.spans[0]
    span.links[0].attributes.extend(encode.pairs({"why": "redelivery"}))
    span.events.add(name="exception", time_unix_nano=5, attributes=encode.pairs({"n": 1}))
    span.status.code = trace_pb2.Status.STATUS_CODE_ERROR
    span.status.message = "boom"
    rig.send("traces", request)
    for source in (rig.local(), rig.remote()):
        (read,) = source.traces(ask(TRACE)).spans
        (link,), (event,) = read.links, read.events
        assert (link.trace_id, link.span_id, link.attributes) == (
            "cd" * 16,
            "12" * 8,
            {"why": "redelivery"},
        )
        assert (event.name, event.time, event.attributes) == ("exception", 5, {"n": 1})
        assert (read.status, read.status_message, read.scope) == ("ERROR", "boom", "celery")


def _record(rig: Rig, **fields: object) -> None:
    """Send one log record whose job is `j`."""
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add(**fields)
    record.attributes.extend(encode.pairs({"job.id": "j"}))
    rig.send("logs", request)


def test_sampled_is_known_only_with_a_trace(rig: Rig) -> None:
    """The flags of a record say whether it was sampled; without a trace nobody knows."""
    trace = bytes.fromhex(TRACE)
    for fields in ({"trace_id": trace, "flags": 1}, {"trace_id": trace}, {"flags": 1}):
        _record(rig, **fields)
    lines = rig.local().logs(ask(job_id="j")).logs
    assert [(line.trace_id, line.sampled) for line in lines] == [
        (TRACE, True),
        (TRACE, False),
        ("", None),
    ]


def test_invalid_trace_of_a_record_counts_as_none(rig: Rig) -> None:
    """A record with an invalid trace id is kept without one, and remarked upon."""
    _record(rig, trace_id=b"short", span_id=b"short", time_unix_nano=1)
    answer = rig.remote().logs(ask(job_id="j"))
    assert [(line.trace_id, line.span_id) for line in answer.logs] == [("", "")]
    said = "\n".join(answer.findings)
    assert "trace_id" in said
    assert "span_id" in said
    assert "without a service.name" in said


def test_observed_time_stands_in_for_the_time(rig: Rig) -> None:
    """A record without a time has the time when it was observed; with neither it is odd."""
    _record(rig, observed_time_unix_nano=7)
    assert rig.local().logs(ask(job_id="j")).logs[0].time == 7
    _record(rig)
    assert "have a time of 0" in "\n".join(rig.local().logs(ask(job_id="j")).findings)


def test_structured_bodies_are_fields_too(rig: Rig) -> None:
    """A body that is a map is text for people, and its fields are attributes; own ones win."""
    body = encode.any_value({"event": "done", "job_id": 1, "job.id": "other"})
    _record(rig, body=body, event_name="job.done", severity_number=17)
    (line,) = rig.local().logs(ask(job_id="j")).logs
    assert line.body == '{"event":"done","job_id":1,"job.id":"other"}'
    assert line.attributes == {
        "event": "done",
        "job_id": 1,
        "job.id": "j",
        "event.name": "job.done",
    }
    assert line.severity == "ERROR"


def test_bodies_of_other_types_are_text(rig: Rig) -> None:
    """A body of bytes or of a list is shown as JSON."""
    _record(rig, body=AnyValue(bytes_value=b"\x01\xff"))
    _record(rig, body=encode.any_value((1, None)))
    lines = rig.local().logs(ask(job_id="j")).logs
    assert [line.body for line in lines] == ['"01ff"', "[1,null]"]


def test_job_id_that_is_a_number_is_found(rig: Rig) -> None:
    """A job id sent as a number finds its trace, and is read as the number that it is."""
    rig.send("traces", encode.traces([Row(TRACE, attributes={"job.id": 7})]))
    (span,) = rig.local().traces(ask(job_id="7")).spans
    assert span.attributes["job.id"] == 7
