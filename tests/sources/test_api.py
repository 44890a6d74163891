"""The read API: what people and programs ask a collector of another process."""

from __future__ import annotations

import threading

import pytest

from tests.sources import encode
from tests.sources.conftest import Rig, ask, http
from tests.sources.encode import Row
from tests.sources.servers import Canned, always, serving
from validator.errors import SourceError
from validator.sources.collector.client import RemoteCollectorSource
from validator.sources.http import Bounds

TRACE = "ab" * 16


def test_evidence_in_json_is_otlp_json(rig: Rig) -> None:
    """A person who asks with curl gets OTLP/JSON, with ids in hex and what was found how."""
    rig.send("traces", encode.traces([Row(TRACE, attributes={"job.id": "j"})]))
    document = rig.get("/api/v1/evidence?job_id=j").json()
    span = document["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    assert (span["traceId"], span["spanId"]) == (TRACE, "0000000000000001")
    assert document["traces"] == [{"trace_id": TRACE, "via": "job_id"}]
    assert (document["full"], document["items"], len(document["seen"])) == (True, 1, 1)
    rig.send("logs", encode.logs([Row(TRACE)]))
    found = rig.get(f"/api/v1/evidence?signal=logs&trace_id={TRACE}").json()
    assert found["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]["traceId"] == TRACE


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("trace_id=xyz", "32 hex digits"),
        ("control=12", "32 hex digits"),
        ("signal=alerts", "neither traces nor logs"),
        ("encoding=xml", "neither json nor protobuf"),
        ("since=yesterday", "Unix times"),
        ("wait=long", "wait is seconds"),
        ("job_id=a&job_id=b", "more than once"),
    ],
)
def test_questions_that_are_none_are_explained(rig: Rig, query: str, said: str) -> None:
    """A parameter that cannot be understood is 400, saying what it has to be."""
    response = rig.get(f"/api/v1/evidence?{query}")
    assert response.status_code == 400
    assert said in response.json()["error"]


@pytest.mark.parametrize("path", ["status", "metrics-samples"])
def test_waits_that_are_none_are_explained(rig: Rig, path: str) -> None:
    """So is a wait that is no number, wherever one can wait."""
    assert rig.get(f"/api/v1/{path}?wait=1&version=x").status_code == 400


def test_long_poll_ends_with_a_change(rig: Rig) -> None:
    """A question that waits is answered when something comes, long before its time is over."""
    version = rig.get("/api/v1/status").json()["version"]
    answers: list[int] = []
    path = f"/api/v1/evidence?trace_id={TRACE}&wait=50&version={version}"
    other = Rig(rig.collector)
    thread = threading.Thread(target=lambda: answers.append(other.get(path).json()["items"]))
    thread.start()
    rig.send("traces", encode.traces([Row(TRACE)]))
    thread.join(20)
    other.session.close()
    assert answers == [1]


def test_a_wait_for_what_has_changed_already_is_none(rig: Rig) -> None:
    """Who names an older version is answered at once, and who waits too short gets what is."""
    assert rig.get("/api/v1/status?wait=50&version=1").ok
    version = rig.get("/api/v1/status").json()["version"]
    assert rig.get(f"/api/v1/status?wait=0.05&version={version}").json()["version"] == version


def test_many_traces_fit_into_one_question(rig: Rig) -> None:
    """A question about more traces than a URL holds is answered; an endless one is not."""
    ids = [f"{number + 1:032x}" for number in range(5_000)]
    rig.send("traces", encode.traces([Row(ids[-1])]))
    assert len(rig.remote().traces(ask(*ids)).spans) == 1
    url = f"{rig.collector.endpoint}/api/v1/evidence"
    assert rig.session.post(url, data=b"x" * (5 << 20), timeout=30).status_code == 400


@pytest.mark.untraced
def test_large_traces_come_whole(rig: Rig) -> None:
    """A trace of 10,000 spans in many batches is read over the API in order and whole."""
    for first in range(0, 10_000, 1_000):
        rows = [Row(TRACE, span=f"{n + 1:016x}") for n in range(first, first + 1_000)]
        rig.send("traces", encode.traces(rows))
    spans = rig.remote().traces(ask(TRACE)).spans
    assert [int(span.span_id, 16) for span in spans] == list(range(1, 10_001))
    local = rig.local().traces(ask(TRACE)).spans
    assert [span.seen for span in spans] == [span.seen for span in local]


def test_closing_ends_the_wait_at_once(rig: Rig) -> None:
    """`close` ends the thread that waits for changes, though its poll would go on."""
    source = rig.remote()
    woken = threading.Event()
    source.on_change(woken.set)
    assert woken.wait(10)
    threads = [t for t in threading.enumerate() if t.name == "collector-changes"]
    assert threads
    source.close()
    assert not any(thread.is_alive() for thread in threads)
    source.on_change(woken.set)
    assert not [t for t in threading.enumerate() if t.name == "collector-changes"]


@pytest.mark.req("V-13")
def test_an_answer_with_fewer_items_than_announced_is_nonsense(rig: Rig) -> None:
    """Items that were lost on the way are not taken for items that are not there."""
    rig.send("traces", encode.traces([Row(TRACE)]))
    real = rig.get(f"/api/v1/evidence?trace_id={TRACE}&encoding=protobuf")
    body = real.content.replace(b'"items":1', b'"items":2')
    with serving(always(Canned(body=body, media=real.headers["Content-Type"]))) as served:
        source = RemoteCollectorSource("r", served.url, http("r"), 1.0)
        with pytest.raises(SourceError, match="2 items were announced, 1 came"):
            source.traces(ask(TRACE))
        source.close()


@pytest.mark.req("V-13")
def test_waking_outlives_failures() -> None:
    """A collector that fails or answers nonsense is asked again, and its return wakes."""
    answers = iter([Canned(500), Canned(body=b'{"version": 5}')])
    last = Canned(body=b'{"version": 5}')
    with serving(lambda _: next(answers, last)) as served:
        source = RemoteCollectorSource("r", served.url, http("r", Bounds(timeout=2)), 1.0)
        woken = threading.Event()
        source.on_change(woken.set)
        assert woken.wait(10)
        source.close()
