"""Promises of control records: what was not taken does not count as written."""

from __future__ import annotations

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

from tests.sources.conftest import http
from tests.sources.servers import Canned, always, serving
from validator.errors import SourceError
from validator.model import Signal
from validator.sources.control import Control

REJECTED = ExportLogsServiceResponse()
REJECTED.partial_success.rejected_log_records = 1
REJECTED.partial_success.error_message = "too old"


@pytest.mark.parametrize(
    "canned",
    [
        Canned(204),
        Canned(200),
        Canned(body=b"{}"),
        Canned(body=b'{"partialSuccess": {}}'),
        Canned(media="application/x-protobuf"),
        Canned(202, b"accepted", "text/plain"),
    ],
)
def test_whoever_takes_it_may_say_so_in_its_own_way(canned: Canned) -> None:
    """OTLP's answer in either encoding, or a good status alone."""
    with serving(always(canned)) as served:
        Control(served.url, http("logs"), (Signal.LOGS,)).plant("a" * 32)
    assert served.requests == ["/v1/logs"]


@pytest.mark.req("V-13")
@pytest.mark.parametrize(
    ("canned", "words"),
    [
        (Canned(body=b"<html>log in</html>"), "is it an OTLP/HTTP endpoint"),
        (Canned(body=b"[]"), "is it an OTLP/HTTP endpoint"),
        (Canned(body=b"\xff", media="application/x-protobuf"), "is it an OTLP/HTTP endpoint"),
        (Canned(body=REJECTED.SerializeToString(), media="application/x-protobuf"), "too old"),
        (Canned(401), "401"),
    ],
)
def test_what_was_not_taken_is_told(canned: Canned, words: str) -> None:
    """Else it would be missed later, and nobody would know why."""
    with serving(always(canned)) as served, pytest.raises(SourceError, match=words):
        Control(served.url, http("logs"), (Signal.LOGS,)).plant("a" * 32)
