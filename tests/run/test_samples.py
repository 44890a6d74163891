"""Rules of judging: whose sample it is, and of when."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from tests.run.world import (
    LABELS,
    World,
    metrics_world,
    sample,
    verdict,
)
from tests.traces import EPOCH, JOB, pipeline, span
from validator.errors import SourceFailure
from validator.model import (
    Sample,
    Status,
)
from validator.ports import Answer
from validator.testing import (
    FakeMetrics,
)


@pytest.mark.req("V-05")
def test_a_sample_counts_by_its_increase() -> None:
    """Both operations grew in synthetic traffic: a pass, once nothing changes any more."""
    run = metrics_world([sample("read", 6), sample("write", 7)]).run()
    assert verdict(run, "metric_labels").status is Status.PASS


@pytest.mark.req("V-05")
@pytest.mark.parametrize(
    "after",
    [
        [sample("read", 6), sample("write", 5)],
        [sample("read", 6), sample("write", 9, traffic="user")],
    ],
    ids=["did not grow", "grew for users"],
)
def test_what_others_did_to_a_metric_is_not_ours(after: list[Sample]) -> None:
    """A series that stands still, or that grew only for users, is no evidence of the run."""
    run = metrics_world(after).run()
    assert verdict(run, "metric_labels").status is Status.FAIL


def test_a_declared_settle_time_is_kept_whatever_the_lag_budget() -> None:
    """`settle: 10s` with a budget of 2 s: a straggler at 9 s is still seen."""
    world = World()
    world.settle = 10.0
    world.source.span(0.1, *pipeline()).span(9.0, span("cron", "late", at=9000, job=JOB))
    assert verdict(world.run()).code == "second_root"


def test_a_value_that_is_no_number_comes_to_rest() -> None:
    """NaN is not unlike itself: the settle time ends."""
    nan = sample("read", float("nan"), instance="e-2")
    world = metrics_world([sample("read", 6), sample("write", 7), nan])
    world.run()
    assert world.decided("metric_labels") < 4


@pytest.mark.req("V-13")
def test_without_a_reading_before_the_job_nothing_passes() -> None:
    """The pages could not be read before: an increase cannot be known."""
    world = metrics_world([sample("read", 6), sample("write", 7)])
    pages = world.sources[0]
    assert isinstance(pages, FakeMetrics)
    pages.fails(-1.0, 0.5, SourceFailure.CONNECT)
    run = world.run()
    assert verdict(run, "metric_labels").status is Status.INCONCLUSIVE
    assert "before the job" in verdict(run, "metric_labels").summary


@pytest.mark.req("V-13")
def test_without_a_reading_before_the_job_an_old_series_is_not_its_fault() -> None:
    """A series without the label, left by an earlier run: told apart by what was before alone."""
    old = replace(sample("", 3), labels={"traffic": "synthetic"})
    before = [sample("read", 5), sample("write", 5), old]
    world = metrics_world([*GROWN, old], before=before)
    assert verdict(world.run(), "metric_labels").status is Status.PASS
    world = metrics_world([*GROWN, old], before=before)
    pages = world.sources[0]
    assert isinstance(pages, FakeMetrics)
    pages.fails(-1.0, 0.9, SourceFailure.CONNECT)
    found = verdict(world.run(), "metric_labels")
    assert found.status is Status.INCONCLUSIVE
    assert "before the job" in found.summary


def test_a_page_that_was_torn_is_read_again_before_the_job() -> None:
    """A page that is read while it is written is whole a moment later."""
    world = metrics_world([])
    pages = world.sources[0]
    assert isinstance(pages, FakeMetrics)
    pages.fails(-1.0, 0.1, SourceFailure.NONSENSE).sample(1.1, *GROWN)
    assert verdict(world.run(), "metric_labels").status is Status.PASS


# -- What is scraped at intervals ---------------------------------------------------------------

GROWN = [sample("read", 6), sample("write", 7)]


def scraped_world(interval: float, *, at: float, stops: float = float("inf")) -> World:
    """Return a world whose metrics change at `at` and are scraped every `interval` until `stops`.

    The first scrape after the run's start is at `interval`; from then on the job takes 1 s.
    """
    world = World(checks=[LABELS], metrics=frozenset({"embedding_request_duration_seconds"}))
    pages = FakeMetrics(world.clock, interval=interval, stops=stops, lag_budget=20.0)
    pages.sample(-1.0, sample("read", 5), sample("write", 5)).sample(at, *GROWN)
    world.clock.sleep(0.5)  # the run begins between two scrapes
    world.sources = [pages]
    world.source.span(0.1, *pipeline())
    return world


@pytest.mark.req("V-05", "V-13")
def test_the_job_waits_for_a_scrape_before_it() -> None:
    """What earlier jobs did, and no scrape has shown yet, is not taken for this one's doing."""
    world = scraped_world(3.0, at=0.4)  # before the run, and not scraped until 3.0
    run = world.run()
    assert world.target.submitted - EPOCH >= 3.0
    assert verdict(run, "metric_labels").status is Status.FAIL


@dataclass
class JustStarted(FakeMetrics):
    """Targets of which the first scrape comes `at` seconds after the start: none is known before.

    `says` tells whether the source knows that asking again may show more.
    """

    at: float = 0.0
    says: bool = True

    def samples(self, metrics: frozenset[str]) -> Answer:
        """Return what the scrapes have shown, no moment and nothing as long as there was none."""
        answer = FakeMetrics.samples(self, metrics)
        now = self.clock.now()
        if now - self.began >= self.at:
            return answer
        again = now + 0.5 if self.says else None
        return Answer(full=False, missing=("work: never scraped yet",), again=again)


def just_started(at: float, *, says: bool = True) -> World:
    """Return a world that is scraped every 0.5 s, for the first time `at` s after its start."""
    world = scraped_world(0.5, at=at + 1.2)
    pages = JustStarted(world.clock, interval=0.5, lag_budget=20.0, at=at, says=says)
    pages.began = EPOCH
    pages.sample(-1.0, sample("read", 5), sample("write", 5)).sample(at + 1.2, *GROWN)
    world.sources = [pages]
    return world


@pytest.mark.req("V-05")
def test_the_job_waits_for_the_first_scrape_of_what_was_just_started() -> None:
    """A pipeline that is scraped for the first time within the lag budget can be judged."""
    world = just_started(6.0)
    run = world.run()
    assert world.target.submitted - EPOCH == pytest.approx(6.5, abs=1.6)
    assert verdict(run, "metric_labels").status is Status.PASS


@pytest.mark.req("V-13")
@pytest.mark.parametrize(("at", "says", "waited"), [(23.0, True, 20.0), (1.5, False, 0.4)])
def test_what_is_scraped_too_late_before_the_job_is_said(
    *, at: float, says: bool, waited: float
) -> None:
    """After the lag budget the run goes on without, and tells what the source has said."""
    world = just_started(at, says=says)
    found = verdict(world.run(), "metric_labels")
    assert world.target.submitted - EPOCH - 0.5 == pytest.approx(waited, rel=0.3)
    assert found.status is Status.INCONCLUSIVE
    assert "only in part before the job (work: never scraped yet)" in found.summary
    (pages,) = world.sources
    assert isinstance(pages, JustStarted)
    assert len([one for one in pages.asked if one < world.target.submitted - EPOCH]) <= 16


@pytest.mark.req("V-05")
def test_a_value_counts_only_from_a_scrape_after_the_job() -> None:
    """The pass comes with the first scrape that is as late as the settle time wants, no sooner."""
    world = scraped_world(3.0, at=3.5)
    run = world.run()
    ended = run.evidence.job.ended or 0.0
    assert verdict(run, "metric_labels").status is Status.PASS
    assert 6.0 < ended - EPOCH + 2.0 < 9.0
    assert world.decided("metric_labels") == pytest.approx(9.0, abs=0.1)


def test_what_is_scraped_is_asked_when_there_is_something_to_see() -> None:
    """Twice before the job, and then once a scrape: not more often than it changes."""
    world = scraped_world(3.0, at=3.5)
    world.run()
    (pages,) = world.sources
    assert isinstance(pages, FakeMetrics)
    assert len(pages.asked) <= 6


@pytest.mark.req("V-13")
@pytest.mark.parametrize("stops", [0.4, 3.2], ids=["before the job", "before its end"])
def test_scraping_that_has_stopped_leaves_it_open(stops: float) -> None:
    """Without a scrape before the job, or one after its end, nothing passes and nothing fails."""
    world = scraped_world(3.0, at=3.5, stops=stops)
    found = verdict(world.run(), "metric_labels")
    assert found.status is Status.INCONCLUSIVE


@pytest.mark.req("V-13")
def test_what_failed_to_grow_fails_only_after_a_scrape() -> None:
    """Nothing grew: known when the lag budget has passed and a scrape has come since the end."""
    world = scraped_world(3.0, at=1000.0)
    run = world.run()
    assert verdict(run, "metric_labels").status is Status.FAIL
    assert world.decided("metric_labels") >= (run.evidence.job.ended or 0.0) - EPOCH + 20.0


@dataclass
class Telling(FakeMetrics):
    """A source that says why there is nothing, as long as there is nothing."""

    def samples(self, metrics: frozenset[str]) -> Answer:
        """Return each series' latest value, and why there is none."""
        answer = FakeMetrics.samples(self, metrics)
        return replace(answer, missing=() if answer.samples else ("work: never seen",))


@pytest.mark.parametrize(("at", "said"), [(0.9, ()), (1000.0, ("work: never seen",))])
def test_why_something_is_missing_is_said_only_while_it_is(at: float, said: tuple[str]) -> None:
    """Before a pipeline's first job its metrics are not there: no remark once they are."""
    world = World(checks=[LABELS], metrics=frozenset({"embedding_request_duration_seconds"}))
    world.sources = [Telling(world.clock).sample(at, *GROWN)]
    world.source.span(0.1, *pipeline())
    (report,) = (one for one in world.run().evidence.sources if one.name == "fake-metrics")
    assert report.findings == said
