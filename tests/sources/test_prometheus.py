"""Samples as a real Prometheus has scraped them: which are current, and what an answer lacks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

from tests.backends.grafana_proxy import TOKEN, grafana
from tests.backends.prometheus import Exporter, Prometheus, prometheus
from tests.sources.conftest import http
from validator.clock import SystemClock
from validator.errors import SourceError, SourceFailure
from validator.model import Phase, Sample
from validator.ports import Answer
from validator.sources.http import Bounds, Http, make_session
from validator.sources.prometheus import Labels, PrometheusSource

pytestmark = [pytest.mark.process, pytest.mark.slow]

CLOCK = SystemClock()
INTERVAL = 0.2
TRACE = "ab" * 16


@dataclass
class World:
    """A Prometheus that scrapes two services, one of them in two instances."""

    server: Prometheus
    scraper: Exporter
    first: Exporter
    second: Exporter
    jobs: Counter

    def source(self, lag_budget: float = 5.0) -> PrometheusSource:
        """Return a source that knows nothing yet."""
        return PrometheusSource("prom", self.server.url, http("prom"), lag_budget)

    @contextmanager
    def without(self, exporter: Exporter) -> Iterator[None]:
        """Have a page not answer; in the end all are scraped again."""
        exporter.stop()
        try:
            yield
        finally:
            exporter.start()
            self.all_up()

    def all_up(self) -> None:
        """Wait until every page is scraped."""
        until(lambda: len(self.server.query("up == 1")) == 3)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Start it once for all tests; each makes metrics of its own."""
    with prometheus(tmp_path_factory.mktemp("prometheus")) as server:
        scraper, first, second = (Exporter().start() for _ in range(3))
        jobs = Counter("jobs_done", "Jobs.", ["traffic"], registry=scraper.registry)
        jobs.labels("synthetic").inc(3)
        Info("target", "It.", registry=scraper.registry).info({"service_version": "1.2"})
        embedding = [first.instance, second.instance]
        server.target({"scraper": [scraper.instance], "embedding": embedding})
        world = World(server, scraper, first, second, jobs)
        world.all_up()
        yield world
        for exporter in (scraper, first, second):
            exporter.stop()


def until(holds: Callable[[], object]) -> None:
    """Wait until something holds, for at most half a minute."""
    pause, deadline = threading.Event(), CLOCK.monotonic() + 30
    while not holds():
        assert CLOCK.monotonic() < deadline
        pause.wait(0.03)


def asked(source: PrometheusSource, holds: Callable[[Answer], object], *metrics: str) -> Answer:
    """Ask until an answer is as it should be."""
    answers: list[Answer] = []

    def ask() -> object:
        answers.append(source.samples(frozenset(metrics)))
        return holds(answers[-1])

    until(ask)
    return answers[-1]


def after(time: float) -> Callable[[Answer], bool]:
    """Tell whether an answer speaks of a moment after `time`."""
    return lambda answer: answer.as_of is not None and answer.as_of > time


def of(answer: Answer, name: str) -> list[Sample]:
    """Return the samples of one name."""
    return [sample for sample in answer.samples if sample.name == name]


@pytest.mark.req("V-12")
def test_a_sample_is_of_the_scrape_that_it_says(world: World) -> None:
    """What was counted before a moment is in every answer that speaks of a later one."""
    source = world.source()
    for _ in range(3):
        world.jobs.labels("synthetic").inc()
        value = world.jobs.labels("synthetic")._value.get()
        counted = CLOCK.now()
        answer = asked(source, after(counted), "jobs_done")
        (sample,) = of(answer, "jobs_done_total")
        assert (sample.value, answer.full, answer.findings) == (value, True, ())
        assert answer.as_of is not None
        assert sample.time == answer.as_of <= CLOCK.now()
    assert (sample.metric, sample.type, sample.labels) == (
        "jobs_done",
        "counter",
        {"traffic": "synthetic"},
    )
    assert (sample.service, sample.instance) == ("scraper", world.scraper.instance)
    assert (sample.phase, sample.source) == (Phase.AFTER, "prom")


def test_the_next_answer_is_promised_for_the_next_scrape(world: World) -> None:
    """An answer asked for when the last one said has a later scrape."""
    source, pause = world.source(), threading.Event()
    for _ in range(5):
        last = asked(source, lambda answer: answer.again is not None, "jobs_done")
        assert last.again is not None
        assert last.as_of is not None
        assert last.as_of < last.again < CLOCK.now() + 3 * INTERVAL
        pause.wait(max(0.0, last.again - CLOCK.now()) + 0.1)
        assert after(last.as_of)(source.samples(frozenset({"jobs_done"})))


@pytest.mark.req("V-12")
def test_a_histogram_comes_whole_with_exemplars(world: World) -> None:
    """A histogram is one family, and a bucket has the latest exemplar that fell into it."""
    seconds = Histogram("parse_seconds", "Parse.", ["op"], registry=world.scraper.registry)
    seconds.labels("read").observe(0.2, {"trace_id": TRACE})
    answer = asked(world.source(), lambda one: of(one, "parse_seconds_count"), "parse_seconds")
    samples = [sample for sample in answer.samples if sample.metric == "parse_seconds"]
    assert {sample.type for sample in samples} == {"histogram"}
    assert {s.name.removeprefix("parse_seconds_") for s in samples} == {"bucket", "count", "sum"}
    (with_it,) = (sample for sample in samples if sample.exemplar)
    assert with_it.labels == {"le": "0.25", "op": "read"}
    assert with_it.exemplar is not None
    assert (with_it.exemplar.labels, with_it.exemplar.value) == ({"trace_id": TRACE}, 0.2)


def test_a_family_without_a_label_is_there_without_it(world: World) -> None:
    """That a label is lacking is for a check to say: the answer is full, and has no such label."""
    Gauge("queue_length", "Waiting.", registry=world.scraper.registry).set(4)
    answer = asked(world.source(), lambda one: of(one, "queue_length"), "queue_length")
    (sample,) = of(answer, "queue_length")
    assert (sample.labels, sample.type, sample.value) == ({}, "gauge", 4.0)
    assert (answer.full, answer.findings) == (True, ())


def test_labels_that_name_service_and_instance_can_be_others(world: World) -> None:
    """The labels named are taken out of the samples; where one is missing, `job` says whose."""
    labels = Labels(service="traffic", instance="job")
    source = PrometheusSource("prom", world.server.url, http("prom"), 5.0, labels)
    answer = source.samples(frozenset({"jobs_done"}))
    (sample,) = of(answer, "jobs_done_total")
    assert (sample.service, sample.instance) == ("synthetic", "scraper")
    assert sample.labels == {"instance": world.scraper.instance}
    (info,) = of(answer, "target_info")
    assert info.service == "scraper"


# -- what is missing ------------------------------------------------------------------------------


def test_a_metric_that_never_was_says_so(world: World) -> None:
    """It names the nearest; a metric that a page declares and never counted is told apart."""
    Counter("pages_read", "Pages.", ["op"], registry=world.scraper.registry)
    source = world.source()
    asked(source, lambda _: world.server.query("up"), "jobs_done")
    until(
        lambda: (
            "pages_read"
            in world.server.session.get(f"{world.server.url}/api/v1/metadata", timeout=5).text
        )
    )
    answer = world.source().samples(frozenset({"jobs_dome", "pages_read"}))
    found = dict(finding.split(": ", 1) for finding in answer.missing)
    assert found["jobs_dome"].startswith("never seen: no series of this name in 30 days; nearest")
    assert "nearest: jobs_done" in found["jobs_dome"]
    assert "a page declares it, but has counted nothing" in found["pages_read"]
    assert answer.full
    assert answer.as_of is not None


def test_a_metric_that_left_the_page_is_stale(world: World) -> None:
    """Its last value is not answered; the finding says who lost it, and later that it was there."""
    gauge = Gauge("fleeting", "It.", registry=world.scraper.registry)
    source = world.source()
    asked(source, lambda answer: of(answer, "fleeting"), "fleeting")
    world.scraper.registry.unregister(gauge)
    answer = asked(source, lambda answer: not of(answer, "fleeting"), "fleeting")
    (finding,) = answer.missing
    assert finding.startswith(f"fleeting: scraper at {world.scraper.instance} lost it ")
    assert finding.endswith("ago: stale")
    assert answer.full
    assert answer.as_of is not None


@pytest.mark.req("V-13")
def test_a_target_that_is_down_leaves_its_families_open(world: World) -> None:
    """The answer is not full, the other instance goes on, other jobs' families are whole."""
    for exporter in (world.first, world.second):
        Counter("embeddings", "Done.", registry=exporter.registry).inc(2)
    source = world.source()
    asked(source, lambda answer: len(of(answer, "embeddings_total")) == 2, "embeddings")
    with world.without(world.second):
        answer = asked(source, lambda answer: not answer.full, "embeddings")
        assert [one.instance for one in of(answer, "embeddings_total")] == [world.first.instance]
        assert answer.findings[0].startswith(f"embedding at {world.second.instance} is down (for ")
        asked(source, after(CLOCK.now()), "embeddings")  # it does not hold up the others
        assert source.samples(frozenset({"jobs_done"})).full
        assert world.source().samples(frozenset({"jobs_done"})).full
    answer = asked(source, lambda answer: answer.full, "embeddings")
    assert len(of(answer, "embeddings_total")) == 2
    assert answer.findings == ()


@pytest.mark.req("V-13")
def test_a_metric_whose_target_is_down_says_so(world: World) -> None:
    """When the one that has it cannot be scraped, that is why it is missing."""
    Gauge("lonely", "It.", registry=world.second.registry).set(1)
    source = world.source()
    asked(source, lambda answer: of(answer, "lonely"), "lonely")
    with world.without(world.second):
        answer = asked(source, lambda answer: not of(answer, "lonely"), "lonely")
    why = [finding for finding in answer.missing if finding.startswith("lonely: ")]
    assert f"embedding at {world.second.instance} is down" in why[0]
    assert not answer.full
    asked(source, lambda answer: answer.full, "lonely")


def test_a_process_that_began_anew_counts_from_zero(world: World) -> None:
    """After a restart on the same port the value is the new one's, and the answer is full."""
    registry = world.first.registry
    Counter("restarts_seen", "It.", registry=registry).inc(9)
    source = world.source()
    asked(source, lambda answer: of(answer, "restarts_seen_total"), "restarts_seen")
    with world.without(world.first):
        world.first.registry = CollectorRegistry()
        Counter("restarts_seen", "It.", registry=world.first.registry).inc(1)
    answer = asked(
        source,
        lambda answer: [one.value for one in of(answer, "restarts_seen_total")] == [1.0],
        "restarts_seen",
    )
    assert answer.full
    with world.without(world.first):
        world.first.registry = registry


# -- others ---------------------------------------------------------------------------------------


@pytest.mark.req("V-12")
def test_through_grafanas_proxy_it_is_the_same(world: World) -> None:
    """The data source's proxy path is a base path; it takes few requests, and an error is told."""
    with grafana({"P18": world.server.url, "gone": "http://127.0.0.1:1"}) as served:

        def source(uid: str, token: str = TOKEN) -> PrometheusSource:
            session = make_session({"Authorization": f"Bearer {token}"})
            url = f"{served.url}/api/datasources/proxy/uid/{uid}"
            client = Http("prom", session, CLOCK, Bounds(timeout=5.0, attempts=1))
            return PrometheusSource("prom", url, client, 5.0)

        through = source("P18")
        answers = [through.samples(frozenset({"jobs_done"})) for _ in range(6)]
        assert {of(answer, "jobs_done_total")[0].metric for answer in answers} == {"jobs_done"}
        assert all(answer.full for answer in answers)
        assert len(served.requests) <= 9, served.requests
        for uid, token, failure, words in (
            ("other", TOKEN, SourceFailure.REFUSED, "404: Unable to find datasource: is this"),
            ("P18", "stale", SourceFailure.REFUSED, "401: Invalid API key: check `auth`"),
            ("gone", TOKEN, SourceFailure.SERVER_ERROR, "502"),
        ):
            with pytest.raises(SourceError) as caught:
                source(uid, token).samples(frozenset({"jobs_done"}))
            assert (caught.value.failure, words in str(caught.value)) == (failure, True)
            assert token not in str(caught.value)


def test_probing_tells_what_is_there(world: World) -> None:
    """It tells the version, how long it took, that clocks agree, and what is worth a remark."""
    probed = world.source().probe()
    assert probed.version.startswith("2.")
    assert 0 < probed.latency < 5
    assert probed.clock_offset == 0.0
    # On a busy machine a scrape every 200 ms may time out, and its target is down until the next.
    until(lambda: world.source().probe().notes == ("no alerting rules",))
    with world.without(world.second):
        until(lambda: len(world.server.query("up == 0")) == 1)
        notes = world.source().probe().notes
    assert notes[0] == f"targets down: 1 of 3: embedding at {world.second.instance}"


def test_no_alerting_rules_are_no_silence(world: World) -> None:
    """Where nothing can fire, that nothing fires is no full answer."""
    answer = world.source().alerts()
    assert (answer.alerts, answer.full) == ((), False)
    assert "no alerting rules" in answer.findings[0]


@pytest.mark.req("V-13")
def test_a_target_that_is_removed_is_missed_for_a_while(world: World) -> None:
    """What an earlier answer had and is no target any more leaves the question open, also back."""
    Gauge("kept", "It.", registry=world.second.registry).set(1)
    Gauge("kept", "It.", registry=world.first.registry).set(1)
    source = world.source()
    asked(source, lambda answer: len(of(answer, "kept")) == 2, "kept")
    jobs = {"scraper": [world.scraper.instance], "embedding": [world.first.instance]}
    world.server.target(jobs)
    try:
        until(lambda: len(world.server.query("up")) == 2)
        answer = asked(source, lambda answer: not answer.full, "kept")
        assert [one.instance for one in of(answer, "kept")] == [world.first.instance]
        words = f"embedding at {world.second.instance} is no target any more since "
        assert answer.findings[0].startswith(words)
        assert world.source().samples(frozenset({"kept"})).full  # to who never had it, all is there
        asked(source, after(CLOCK.now()), "kept")
    finally:
        jobs["embedding"] += [world.second.instance]
        world.server.target(jobs)
        world.all_up()
    answer = asked(source, lambda answer: len(of(answer, "kept")) == 2, "kept")
    assert not answer.full
    assert "was no target for a while" in answer.findings[0]
