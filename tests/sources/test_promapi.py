"""Prometheus's API where it does not go well: refusals, warnings, clocks, other forms."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import pytest

from tests.sources.conftest import http
from tests.sources.prom_answers import answering, matrix, scraped, series
from tests.sources.servers import Canned, always, serving
from validator.clock import SystemClock
from validator.errors import SourceError, SourceFailure
from validator.ports import Answer
from validator.sources.http import Bounds, Http, make_session
from validator.sources.promapi import JsonApi, moment
from validator.sources.prometheus import PrometheusSource
from validator.testing import FakeClock

CLOCK = SystemClock()
TARGET = {"job": "scraper", "instance": "a:1"}


def source(url: str, lag_budget: float = 5.0) -> PrometheusSource:
    """Return a source that asks once."""
    return PrometheusSource("prom", url, http("prom", Bounds(timeout=5, attempts=1)), lag_budget)


def error(status: int, kind: str, words: str) -> Canned:
    """Return an error as Prometheus answers it."""
    body = {"status": "error", "errorType": kind, "error": words}
    return Canned(status, json.dumps(body).encode())


def samples(query: bytes, *metrics: str, ahead: float | None = None) -> Answer:
    """Return the answer that a source makes of one of a server."""
    script = answering(query, {"jobs": "counter"}, ahead=ahead, now=CLOCK.now())
    with serving(script) as served:
        asked = source(served.url)
        answer = asked.samples(frozenset(metrics or ("jobs",)))
        asked.close()
    return answer


def healthy(now: float) -> tuple[dict[str, object], ...]:
    """Return a target's series as they should be."""
    return scraped(TARGET, now - 0.5, series("jobs_total", [(now - 0.5, 3)], **TARGET))


@pytest.mark.req("V-13")
@pytest.mark.parametrize(
    ("canned", "failure", "words"),
    [
        (error(400, "bad_data", "parse error"), SourceFailure.REFUSED, "400 (bad_data): parse err"),
        (error(503, "timeout", "query timed out"), SourceFailure.TOO_SLOW, "503 (timeout): query"),
        (error(503, "canceled", "query was canceled"), SourceFailure.TOO_SLOW, "(canceled)"),
        (error(503, "unavailable", "starting"), SourceFailure.SERVER_ERROR, "starting"),
        (error(422, "execution", "many-to-many"), SourceFailure.SERVER_ERROR, "(execution): many"),
        (
            error(422, "execution", "query processing would load too many samples into memory"),
            SourceFailure.TOO_LARGE,
            "too many samples",
        ),
        (error(500, "internal", "boom"), SourceFailure.SERVER_ERROR, "500"),
        (
            Canned(401, b"no org id\n", "text/plain"),
            SourceFailure.REFUSED,
            "no org id: check `auth",
        ),
        (Canned(404, b"404 page not found", "text/plain"), SourceFailure.REFUSED, "its base path"),
        (Canned(503, b"<html>", "text/html"), SourceFailure.SERVER_ERROR, "answered 503"),
        (Canned(body=b"[]"), SourceFailure.NONSENSE, "has not the form"),
        (Canned(body=b'{"status":"success"}'), SourceFailure.NONSENSE, "has not the form"),
        (Canned(body=b'{"status":"odd"}'), SourceFailure.NONSENSE, "says 'odd'"),
        (Canned(body=matrix({"metric": {}, "values": [[1]]})), SourceFailure.NONSENSE, "the form"),
        (Canned(body=matrix({"values": []})), SourceFailure.NONSENSE, "has not the form"),
        (Canned(body=b"[" * 100_000), SourceFailure.NONSENSE, "is no JSON"),
        (Canned(body=b"\xff\xfe"), SourceFailure.NONSENSE, "is no JSON"),
    ],
)
def test_errors_are_told_apart(canned: Canned, failure: SourceFailure, words: str) -> None:
    """Each error says in which way the question failed, in the server's words."""
    with serving(always(canned)) as served:
        asked = source(f"{served.url}/prometheus")
        with pytest.raises(SourceError) as caught:
            asked.samples(frozenset({"jobs"}))
        assert caught.value.failure is failure
        assert words in str(caught.value)
        with pytest.raises(SourceError) as caught:
            asked.alerts()
        assert caught.value.failure is failure
        asked.close()


@pytest.mark.parametrize(
    ("canned", "waited"),
    [
        (Canned(503, b"upstream", "text/plain", {"Retry-After": "3"}), 3.0),
        (Canned(503, b"<html>", "text/html"), 0.2),
        (Canned(503, b'{"message": "no healthy upstream"}'), 0.2),
    ],
)
def test_a_busy_gateway_is_asked_again(canned: Canned, waited: float) -> None:
    """Like that of any other backend, and when it says."""
    answers = iter([canned, Canned(body=matrix())])
    clock = FakeClock()
    began = clock.time
    with serving(lambda _: next(answers)) as served:
        api = JsonApi(Http("prom", make_session(), clock, Bounds(), lambda: 0.0), served.url)
        assert api.get("api/v1/query").data["result"] == []
    assert clock.time - began == pytest.approx(waited)


def test_prometheus_own_503_is_asked_for_once() -> None:
    """A query that timed out is no better a moment later."""
    with serving(always(error(503, "timeout", "query timed out"))) as served:
        api = JsonApi(http("prom"), served.url)
        with pytest.raises(SourceError, match="query timed out") as caught:
            api.get("api/v1/query")
        assert len(served.requests) == 1
    assert caught.value.failure is SourceFailure.TOO_SLOW


@pytest.mark.req("V-13")
def test_a_gateway_that_stays_busy_is_a_server_error() -> None:
    """It says how often it was asked, and what the gateway said."""
    with serving(always(Canned(503, b"no healthy upstream", "text/plain"))) as served:
        client = Http("prom", make_session(), FakeClock(), Bounds())
        with pytest.raises(SourceError, match=r"no healthy upstream\); asked 3 times") as caught:
            JsonApi(client, served.url).get("api/v1/query")
    assert caught.value.failure is SourceFailure.SERVER_ERROR


@pytest.mark.req("V-13")
@pytest.mark.parametrize(
    ("envelope", "words"),
    [
        ({"warnings": ["store 10.0.0.7 is not reachable"]}, "store 10.0.0.7 is not reachable"),
        ({"infos": ["a metric might not be a counter"]}, "a metric might not be a counter"),
        ({"isPartial": True}, "it says that the answer is partial"),
        ({"partialResponse": True}, "it says that the answer is partial"),
    ],
)
def test_an_answer_that_says_it_is_partial_is_not_full(
    envelope: dict[str, object], words: str
) -> None:
    """What there is is taken, and what the server says of it is told."""
    answer = samples(matrix(*healthy(CLOCK.now()), **envelope))
    assert [sample.value for sample in answer.samples] == [3.0]
    assert (answer.full, answer.findings) == (False, (words,))


@pytest.mark.req("V-13")
def test_an_empty_tenant_is_never_a_full_answer() -> None:
    """Where nothing is scraped at all, that a metric is missing says nothing."""
    answer = samples(matrix())
    assert (answer.full, answer.as_of) == (False, None)
    assert "is it the right tenant, or data source?" in answer.findings[0]


@pytest.mark.parametrize("ahead", [300.0, -300.0])
def test_times_are_set_right_where_a_clock_is_off(ahead: float) -> None:
    """A server whose clock is minutes off speaks of no later moment than it knows of."""
    now = CLOCK.now()
    answer = samples(matrix(*healthy(now + ahead)), ahead=ahead)
    assert answer.as_of is not None
    assert now - 2.6 < answer.as_of < now - 0.4
    assert answer.samples[0].time == answer.as_of
    assert any("off ours: times are set right" in finding for finding in answer.findings)
    assert answer.full


def test_a_clock_that_may_be_right_is_taken_for_right() -> None:
    """Within the second that `Date` is good for nothing is changed."""
    now = CLOCK.now()
    answer = samples(matrix(*healthy(now)), ahead=0.0)
    assert answer.samples[0].time == pytest.approx(now - 0.5, abs=1e-3)
    assert answer.findings == ()


def test_native_histograms_give_count_and_sum() -> None:
    """A histogram without classic buckets counts as well."""
    now = CLOCK.now() - 0.2
    shown = {"count": "4", "sum": "1.5", "buckets": []}
    native: dict[str, object] = {
        "metric": {"__name__": "seconds", **TARGET},
        "histograms": [[now, shown]],
    }
    answer = samples(matrix(*scraped(TARGET, now, native)), "seconds")
    found = {(s.name, s.metric, s.value) for s in answer.samples}
    assert found == {("seconds_count", "seconds", 4.0), ("seconds_sum", "seconds", 1.5)}


def test_what_is_pushed_has_no_up_and_is_read_all_the_same() -> None:
    """Series without a scrape speak of the last time that any of their instance came."""
    now = CLOCK.now()
    target = {"job": "scraper", "instance": "a"}
    points = [(now - 21, 1.0), (now - 11, 2.0), (now - 1, 3.0)]
    answer = samples(
        matrix(
            series("jobs_total", points, traffic="synthetic", **target),
            series("jobs_total", points[:2], traffic="other", **target),
        )
    )
    assert [(s.labels, s.value) for s in answer.samples] == [({"traffic": "synthetic"}, 3.0)]
    assert (answer.full, answer.as_of) == (True, now - 1)
    assert answer.again == pytest.approx(now + 9, abs=0.1)


def test_samples_with_times_of_their_own_are_current() -> None:
    """An exporter that gives its samples times is believed."""
    now = CLOCK.now()
    jobs = series("jobs_total", [(now - 100, 3)], **TARGET)
    answer = samples(matrix(*scraped(TARGET, now - 0.5, jobs)))
    assert [(s.value, s.time) for s in answer.samples] == [(3.0, now - 100)]


def test_times_are_read_as_go_writes_them() -> None:
    """Nine digits of a second, zones, and the time that Go has for none."""
    assert moment("2026-11-21T14:07:48.632510205Z") == pytest.approx(1795270068.63251)
    assert moment("2026-11-21T14:07:48+02:00") == 1795262868
    assert moment("0001-01-01T00:00:00Z") is None
    assert moment(None) is None


OLD = {"job": "embedding", "instance": "e:1"}
"""A target that had the family before it was started anew, and is scraped every minute."""


@contextmanager
def restarted(told: Canned) -> Iterator[tuple[PrometheusSource, list[str]]]:
    """Serve a family that one job has now and another had; `told` is what is said of the past."""
    asked: list[str] = []

    def script(handler: BaseHTTPRequestHandler) -> Canned:
        asked.append(handler.path.partition("?")[0])
        now = CLOCK.now()
        if asked[-1] == "/api/v1/series":
            return told
        rare = series("up", [(now - 50 - 60 * ago, 1) for ago in (3, 2, 1, 0)], **OLD)
        return Canned(body=matrix(*healthy(now), rare))

    with serving(script) as served:
        found = source(served.url, 75.0)
        yield found, asked
        found.close()


PAST = json.dumps({"status": "success", "data": [{"__name__": "jobs_total", **OLD}]}).encode()


@pytest.mark.req("V-05", "V-13")
def test_who_had_a_family_is_waited_for_though_others_have_it() -> None:
    """A service that was started anew may have nothing of it yet: the answer is as old as it is."""
    with restarted(Canned(body=PAST)) as (found, asked):
        for _ in range(2):
            answer = found.samples(frozenset({"jobs"}))
            assert answer.full
            assert answer.as_of == pytest.approx(CLOCK.now() - 50, abs=5)
        assert asked.count("/api/v1/series") == 1


def test_what_is_wrong_with_targets_is_told_beside_a_family_that_is_there() -> None:
    """Of two families one has samples; the other's may be on a page that nobody could read."""
    target = {"labels": {"job": "new", "instance": "n:1"}, "health": "unknown"}
    answers = {
        "/api/v1/series": PAST,
        "/api/v1/targets": json.dumps(
            {"status": "success", "data": {"activeTargets": [target]}}
        ).encode(),
    }

    def script(handler: BaseHTTPRequestHandler) -> Canned:
        shown = matrix(*healthy(CLOCK.now()))
        return Canned(body=answers.get(handler.path.partition("?")[0], shown))

    with serving(script) as served:
        found = source(served.url)
        answer = found.samples(frozenset({"jobs", "errors"}))
        found.close()
    assert "errors: new at n:1 was never scraped yet" in answer.missing


@pytest.mark.req("V-05", "V-13")
@pytest.mark.parametrize("others", [True, False], ids=["others have it", "nobody else has it"])
def test_who_is_scraped_first_between_two_questions_is_not_left_out(*, others: bool) -> None:
    """A target that the look back knows and the answer before it did not is in the answer."""
    asked: list[str] = []

    def script(handler: BaseHTTPRequestHandler) -> Canned:
        asked.append(handler.path.partition("?")[0])
        now = CLOCK.now()
        if asked[-1] == "/api/v1/series":
            return Canned(body=PAST)
        shown = healthy(now) if others else scraped(TARGET, now - 0.5)
        first = series("up", [(now - 0.1, 1)], **OLD), series("jobs_total", [(now - 0.1, 7)], **OLD)
        return Canned(body=matrix(*shown, *(first if "/api/v1/series" in asked else ())))

    with serving(script) as served:
        found = source(served.url)
        answer = found.samples(frozenset({"jobs"}))
        found.close()
    assert [one.value for one in answer.samples if one.instance == "e:1"] == [7.0]
    assert (answer.full, answer.findings) == (True, ())
    assert asked.count("/api/v1/query") == 2


@pytest.mark.req("V-13")
@pytest.mark.parametrize(
    ("past", "interval", "words"),
    [
        (PAST, 1.0, "no target of embedding is scraped"),
        (None, 60.0, "scraped less often than its lag budget (5 s) asks for"),
    ],
    ids=["those who had it are gone", "too slow"],
)
def test_an_answer_of_no_moment_says_why_and_is_asked_for_soon(
    past: bytes | None, interval: float, words: str
) -> None:
    """A pipeline that was just started may be scraped any moment."""
    nobody = json.dumps({"status": "success", "data": []}).encode()

    def script(handler: BaseHTTPRequestHandler) -> Canned:
        if "/api/v1/series" in handler.path:
            return Canned(body=past or nobody)
        times = [CLOCK.now() - 0.5 - ago * interval for ago in (2, 1, 0)]
        up = series("up", [(time, 1) for time in times], **TARGET)
        return Canned(body=matrix(up))

    with serving(script) as served:
        found = source(served.url)
        answer = found.samples(frozenset({"jobs"}))
        found.close()
    assert (answer.full, answer.as_of) == (False, None)
    (finding,) = answer.findings
    assert words in finding
    assert answer.again == pytest.approx(CLOCK.now(), abs=1.5)


@pytest.mark.parametrize("told", [Canned(403, b"no"), Canned(500, b"boom")])
def test_a_past_that_cannot_be_asked_is_told(told: Canned) -> None:
    """Of those who have the family now it is judged all the same, and asked again."""
    with restarted(told) as (found, _):
        answer = found.samples(frozenset({"jobs"}))
    assert answer.full
    assert answer.as_of == pytest.approx(CLOCK.now(), abs=5)
    assert "what there was before could not be asked" in answer.findings[0]
