"""Promises of the Loki source: against what a real Loki answered, and against one that runs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.sources.conftest import ask, http
from tests.sources.encode import SECOND
from tests.sources.recorded import recording, replaying
from tests.sources.servers import Canned, Script, Served, always, serving
from validator.errors import SourceError, SourceFailure
from validator.model import TraceRef
from validator.ports import Answer, Question
from validator.sources.http import Bounds, Http, make_session
from validator.sources.loki import LokiSource, Streams
from validator.testing import FakeClock

LOKI = "loki-3.7.8"
RECORDED = 4e9 - 60.0
"""Since when is asked: a recording answers whatever the window is."""
JOB_A, JOB_C = "00a1b2c3d4e5f60718293a4b5c6d7e8f", "2b7e151628aed2a6abf7158809cf4f3c"
KEYS = ("job.id", "job_id")


START = 1_800_000_000
"""When the lines of made-up answers begin, in Unix seconds."""


def now(trace_id: str, since: float = START - 60.0) -> Question:
    """Return a question about the time of made-up answers."""
    return replace(ask(trace_id, since=since), until=START + 60.0)


def source(served: Served, selector: str = '{service_name=~".+"}') -> LokiSource:
    """Return a source of a server."""
    bounds = Bounds(timeout=5, attempts=1)
    return LokiSource("loki", http("loki", bounds), 7.0, Streams(served.url, selector))


# -- what a real Loki answered --------------------------------------------------------------------


def test_both_ways_of_logging_give_the_same_line() -> None:
    """A record over OTLP and a line of JSON say the same of the same failure."""
    with serving(replaying(recording(LOKI, "22"))) as served:
        answer = source(served).logs(ask(JOB_C, job_id="job-c", keys=KEYS, since=RECORDED))
    otlp, line = answer.logs
    fields = {"event": "job_failed", "job_id": "job-c", "failed_stage": "scraping",
              "error_code": "http_403"}  # fmt: skip
    assert dict(otlp.attributes) == fields
    assert dict(line.attributes) == {**fields, "level": "error"}
    assert (otlp.service, line.service) == ("orchestrator", "scraper")
    assert (otlp.severity, line.severity) == ("ERROR", "ERROR")
    assert (otlp.trace_id, line.trace_id) == (JOB_C, JOB_C)
    assert (otlp.span_id, line.span_id) == ("00f067aa0ba902b7", "")
    assert (otlp.body, line.body) == ("job failed", "job_failed")
    assert (otlp.time, line.time) == (1795242551842441375, 1795242551842445375)
    assert otlp.resource["service.version"] == "1.4.0"
    assert otlp.resource["deployment.environment.name"] == "test"
    assert set(fields) <= set(otlp.flattened)
    assert line.flattened == ()
    assert {one.source for one in answer.logs} == {"loki"}
    assert answer.full
    assert answer.heard == ("orchestrator", "scraper")


@pytest.mark.parametrize(
    ("name", "lines"), [("20", 1), ("21", 1), ("22", 2), ("23", 1), ("24", 0), ("29", 0)]
)
def test_every_recording_is_read(name: str, lines: int) -> None:
    """Only the job's lines of it; a line that is not JSON is of no job unless metadata says so."""
    with serving(replaying(recording(LOKI, name))) as served:
        answer = source(served).logs(ask(JOB_C, job_id="job-c", keys=KEYS, since=RECORDED))
    assert len(answer.logs) == lines
    assert all(line.trace_id == JOB_C for line in answer.logs)
    assert answer.traces == ()


def test_a_line_with_the_jobs_id_names_its_trace() -> None:
    """So a lost context is found without waiting for a search."""
    with serving(replaying(recording(LOKI, "22"))) as served:
        answer = source(served).logs(ask(JOB_A, job_id="job-c", keys=("job.id",)))
    assert answer.traces == (TraceRef(JOB_C, "job_id"),)


@pytest.mark.parametrize("name", ["25", "27"])
def test_a_wrong_selector_is_told_as_such(name: str) -> None:
    """Loki's words come along with the setting that they are about."""
    with (
        serving(replaying(recording(LOKI, name))) as served,
        pytest.raises(SourceError, match=r"parse error.*`selector` {service_name= right") as caught,
    ):
        source(served, "{service_name=").logs(ask(JOB_C))
    assert caught.value.failure is SourceFailure.REFUSED


# -- pages ----------------------------------------------------------------------------------------


def answered(rows: Iterable[tuple[int, str]], **more: object) -> Canned:
    """Return an answer of lines of JSON with the trace that is asked for."""
    values = [[str(time), json.dumps({"trace_id": JOB_C, "message": body})] for time, body in rows]
    data = {"resultType": "streams", "encodingFlags": ["categorize-labels"],
            "result": [{"stream": {"service_name": "scraper"}, "values": values}]}  # fmt: skip
    body = json.dumps({"status": "success", "data": data, **more}).encode()
    return Canned(body=body)


def paging(rows: list[tuple[int, str]], limit: int = 5000) -> Script:
    """Answer as Loki does: the first `limit` from `start` on, `end` exclusive, in time's order."""

    def script(handler: BaseHTTPRequestHandler) -> Canned:
        asked = {key: values[0] for key, values in parse_qs(urlsplit(handler.path).query).items()}
        if int(asked.get("limit", 0)) > limit:
            words = (
                "max entries limit per query exceeded, limit > max_entries_limit_per_query "
                f"({asked['limit']} > {limit})"
            )
            return Canned(400, words.encode(), "text/plain; charset=utf-8")
        start, end = int(asked["start"]), int(asked["end"])
        found = [row for row in sorted(rows) if start <= row[0] < end]
        return answered(found[: int(asked["limit"])])

    return script


def bodies(answer: Answer) -> list[str]:
    """Return the lines' bodies."""
    return [line.body for line in answer.logs]


@pytest.mark.untraced
def test_more_lines_than_one_answer_holds_come_page_by_page() -> None:
    """Each once, also where the border lies within one nanosecond."""
    rows = [(START * SECOND + n // 7, f"line {n:05d}") for n in range(12_345)]
    with serving(paging(rows)) as served:
        answer = source(served).logs(now(JOB_C))
    assert bodies(answer) == [body for _, body in rows]
    assert answer.full
    assert len(served.requests) == 3


def test_a_lower_limit_of_the_server_is_learned() -> None:
    """It is kept to from then on, and the answer is whole."""
    rows = [(START * SECOND + n, f"line {n}") for n in range(250)]
    with serving(paging(rows, limit=100)) as served:
        loki = source(served)
        assert bodies(loki.logs(now(JOB_C))) == [body for _, body in rows]
        assert len(served.requests) == 4
        assert loki.logs(now(JOB_C)).full
    assert len(served.requests) == 7


def test_more_lines_of_one_moment_than_a_page_holds_are_not_full() -> None:
    """What cannot be paged through is told, and what comes after it is still read."""
    time = START * SECOND
    rows = [(time, f"line {n}") for n in range(150)] + [(time + 1, "later")]
    with serving(paging(rows, limit=100)) as served:
        answer = source(served).logs(now(JOB_C))
    assert not answer.full
    assert "later" in bodies(answer)
    assert f"more than 100 lines have the time {time}" in answer.findings[0]


def test_there_is_an_end_to_pages() -> None:
    """A job that logs without end is read up to a bound, and the answer says so."""
    rows = [(START * SECOND + n, f"line {n}") for n in range(1100)]
    with serving(paging(rows, limit=100)) as served:
        answer = source(served).logs(now(JOB_C))
    assert not answer.full
    assert len(served.requests) == 11
    assert answer.findings == ("more than 1000 lines: the latest were not read",)


def test_the_window_is_that_of_the_question() -> None:
    """Without a beginning it is what one query may span, and an empty answer says so."""
    with serving(always(answered([]))) as served:
        loki = source(served)
        loki.logs(now(JOB_C, since=START - 1.5))
        answer = loki.logs(now(JOB_C, since=float("-inf")))
    first, *_, last = (parse_qs(urlsplit(path).query) for path in served.requests)
    assert first["start"] == ["1799999998500000000"]
    assert int(last["end"][0]) - int(last["start"][0]) <= 721 * 3600 * 1_000_000_000
    assert answer.findings == ("looked at the last 720 hours: one query may span no more",)


def test_a_shorter_time_range_is_learned() -> None:
    """A server that allows a day is asked for a day."""

    def script(handler: BaseHTTPRequestHandler) -> Canned:
        asked = parse_qs(urlsplit(handler.path).query)
        if int(asked["end"][0]) - int(asked["start"][0]) > 24 * 3600 * 1_000_000_000:
            words = (
                b"the query time range exceeds the limit (query length: 720h0m0s, limit: 1d)"
                if len(served.requests) == 1
                else b"the query time range exceeds the limit (query length: 720h, limit: 24h0m0s)"
            )
            return Canned(400, words, "text/plain")
        return answered([(START * SECOND, "one")])

    with serving(script) as served:
        assert len(source(served).logs(now(JOB_C, since=float("-inf"))).logs) == 1
        assert len(source(served).logs(now(JOB_C, since=float("-inf"))).logs) == 1


def limited(rows: list[tuple[int, str]], hours: int) -> tuple[Script, list[int]]:
    """Answer as a Loki whose queries may span so many hours; what was asked is listed."""
    spans: list[int] = []
    page = paging(rows)

    def script(handler: BaseHTTPRequestHandler) -> Canned | None:
        asked = parse_qs(urlsplit(handler.path).query)
        spans.append(int(asked["end"][0]) - int(asked["start"][0]))
        if spans[-1] > hours * 3600 * SECOND:
            words = (
                f"the query time range exceeds the limit (query length: 9h, limit: {hours}h0m0s)"
            )
            return Canned(400, words.encode(), "text/plain")
        return page(handler)

    return script, spans


def test_what_one_query_may_not_span_is_read_in_several() -> None:
    """A window that the job began is read whole, its first hours as well."""
    rows = [((START - hours * 3600) * SECOND, f"{hours} h ago") for hours in (3, 2, 1, 0)]
    script, spans = limited(rows, hours=1)
    with serving(script) as served:
        answer = source(served).logs(now(JOB_C, since=START - 3.1 * 3600))
    assert bodies(answer) == [body for _, body in rows]
    assert answer.full
    assert len(spans) == 1 + 4


@pytest.mark.req("V-13")
def test_a_window_of_too_many_queries_is_not_full() -> None:
    """What was not read is said: the latest, without which nothing is missing."""
    script, _ = limited([(START * SECOND, "now")], hours=1)
    with serving(script) as served:
        answer = source(served).logs(now(JOB_C, since=START - 20 * 3600))
    assert not answer.full
    assert answer.findings == ("more than 10 queries: the latest were not read",)


def test_a_shortened_look_back_is_said_though_lines_were_found() -> None:
    """Of a job that was there before us nobody knows when it began."""
    script, _ = limited([(START * SECOND, "now")], hours=2)
    with serving(script) as served:
        answer = source(served).logs(now(JOB_C, since=float("-inf")))
    assert bodies(answer) == ["now"]
    assert answer.findings[0].startswith("looked at the last 1.98")


@pytest.mark.req("V-13")
def test_all_pages_of_a_question_share_its_time() -> None:
    """When it is over, what was read is answered as not full; each page had its time before."""
    rows = [(START * SECOND + n, f"line {n}") for n in range(1000)]
    clock = FakeClock()
    page = paging(rows, limit=100)

    def slow(handler: BaseHTTPRequestHandler) -> Canned | None:
        clock.time += 2.0
        return page(handler)

    with serving(slow) as served:
        client = Http("loki", make_session(), clock, Bounds(timeout=5.0, attempts=1))
        loki = LokiSource("loki", client, 7.0, Streams(served.url))
        answer = loki.logs(now(JOB_C))
        loki.close()
    assert len(served.requests) == 3
    assert 0 < len(answer.logs) < len(rows)
    assert not answer.full
    assert "pages: the latest lines were not read" in answer.findings[0]


# -- what an answer says of itself ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("warning", "full"),
    [
        ("partial results: one ingester failed", False),
        ("Query was executed using the new experimental query engine", True),
    ],
)
def test_warnings_are_findings(warning: str, *, full: bool) -> None:
    """One that speaks of something missing makes the answer not full."""
    with serving(always(answered([(1, "one")], warnings=[warning]))) as served:
        answer = source(served).logs(now(JOB_C))
    assert answer.findings == (f"warns: {warning}",)
    assert answer.full == full


def test_who_sends_at_all_is_asked_where_nothing_is_found() -> None:
    """Once in a lag budget; what it cannot answer is no failure."""

    def script(handler: BaseHTTPRequestHandler) -> Canned:
        if "/label/service_name/values" in handler.path:
            names = ["scraper", "obs-validator"]
            return Canned(body=json.dumps({"status": "success", "data": names}).encode())
        return answered([])

    with serving(script) as served:
        loki = source(served)
        assert loki.logs(now(JOB_C)).heard == ("scraper",)
        assert loki.logs(now(JOB_C)).heard == ()
    assert len(served.requests) == 3


def test_nothing_is_asked_of_nothing() -> None:
    """A question without a trace, a job or a control record needs no request."""
    with serving(always(answered([]))) as served:
        assert source(served).logs(ask()) == Answer()
        assert source(served).logs(ask(job_id="x", keys=())) == Answer()
    assert served.requests == []


_STREAMS = b'{"status": "success", "data": {"resultType": "streams", "result": '
NONSENSE = [
    b"[]",
    b"{}",
    b'{"status": "error"}',
    b'{"status": "success"}',
    b'{"status": "success", "data": null}',
    b'{"status": "success", "data": {"resultType": "matrix", "result": []}}',
    _STREAMS + b"{}}}",
    _STREAMS + b"[{}]}}",
    _STREAMS + b"[[]]}}",
    _STREAMS + b"null}}",
    _STREAMS + b'[{"stream": {}, "values": [["now", "x"]]}]}}',
    _STREAMS + b'[{"stream": {}, "values": [["1"]]}]}}',
    _STREAMS + b'[], "x": ',
]


@pytest.mark.req("V-13")
@pytest.mark.parametrize("body", NONSENSE)
def test_what_is_no_answer_of_loki_is_nonsense(body: bytes) -> None:
    """Never an empty answer."""
    with (
        serving(always(Canned(body=body))) as served,
        pytest.raises(SourceError) as caught,
    ):
        source(served).logs(now(JOB_C))
    assert caught.value.failure is SourceFailure.NONSENSE


# -- the query ------------------------------------------------------------------------------------


def test_many_traces_are_asked_for_in_a_form() -> None:
    """A URL holds only so much."""
    with serving(always(answered([]))) as served:
        source(served).logs(ask(*(f"{n:032x}" for n in range(1, 40))))
    assert served.requests[0] == "/loki/api/v1/query_range"


# -- the probe ------------------------------------------------------------------------------------


def listing(lines: list[tuple[int, str]], labels: list[str]) -> Script:
    """Answer what `probe` asks."""

    def script(handler: BaseHTTPRequestHandler) -> Canned:
        if "/status/buildinfo" in handler.path:
            return Canned(body=b'{"version": "3.7.8"}')
        if "/query_range" in handler.path:
            return answered(lines)
        return Canned(body=json.dumps({"status": "success", "data": labels}).encode())

    return script


def test_the_probe_tells_version_and_clock() -> None:
    """Of a Loki that has what it is asked for there is nothing to remark."""
    with serving(listing([(1, "one")], [])) as served:
        probed = source(served).probe()
    assert (probed.version, probed.notes) == ("3.7.8", ())
    assert probed.latency > 0
    assert probed.clock_offset is not None
    assert abs(probed.clock_offset) < 2


@pytest.mark.parametrize(
    ("labels", "words"),
    [([], "is it the right tenant?"), (["app"], "matches the selector")],
)
def test_the_probe_tells_what_holds_nothing(labels: list[str], words: str) -> None:
    """A tenant without a stream, and a selector that matches none."""
    with serving(listing([], labels)) as served:
        (note,) = source(served).probe().notes
    assert words in note


def test_the_probe_needs_no_version() -> None:
    """A gateway may not let that question through; a Loki built as a module has none."""
    for others in ((), (recording(LOKI, "02"),)):
        with serving(replaying(*others, recording(LOKI, "22"))) as served:
            probed = source(served).probe()
        assert (probed.version, probed.notes) == ("", ())
