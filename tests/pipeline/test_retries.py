"""Running a task once more: what is counted, and what becomes of it where it cannot be sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import pytest
from celery.exceptions import Reject, Retry

from pipeline import celery_app
from pipeline.dead_letters import DeadLetterError, Reason
from pipeline.fetch import Page
from pipeline.fetch_errors import PermanentError
from pipeline.settings import Settings
from pipeline.testing import poll_until
from pipeline.workers import retries
from pipeline.workers.callbacks import OrchestratorUnavailableError, ReportRefusedError
from pipeline.workers.scrape import Unreported
from tests.pipeline import servers
from tests.pipeline.sites import always, site, whole
from tests.pipeline.worker import worker

if TYPE_CHECKING:
    from pathlib import Path

    from redis import Redis

pytestmark = [pytest.mark.process, pytest.mark.req("P-08", "P-12")]

REFUSED = ReportRefusedError("answered 403")


def _settings(broker: str) -> Settings:
    return Settings("scraper-worker", {"PIPELINE_BROKER_URL": broker})


@pytest.fixture
def task(redis_url: str, redis: Redis) -> Iterator[Any]:
    """Return a task that is being run, of a broker with nothing in it."""
    assert redis.dbsize() == 0
    app = celery_app.make(_settings(redis_url))
    yield _running(app)
    app.close()


def _scrape(_task: Any) -> None:
    """Do nothing: it is not run here."""


def _running(app: Any, **request: Any) -> Any:
    """Return a task as it is while it is run; `request` has what it was sent with."""
    found = app.task(name=celery_app.SCRAPE_TASK, bind=True, shared=False, max_retries=None)(
        _scrape
    )
    found.push_request(id="t-1", args=(), kwargs={}, called_directly=False, **request)
    return found


def test_a_failure_is_tried_five_times(task: Any, redis_url: str) -> None:
    """Waiting for the orchestrator does not count as one."""
    settings = _settings(redis_url)
    for number in range(5):
        task.request.retries = number + 3
        task.request.retry_waited = 3
        assert retries.left(task)
        assert isinstance(retries.again(task, settings, ValueError()), Retry)
    task.request.retries = 5 + 3
    assert not retries.left(task)


def test_who_is_left_alone_is_not_tried_before_that_is_over(task: Any, redis_url: str) -> None:
    """Nor later than others wait for the task: attempts are few, and none is to be for nothing."""
    settings = _settings(redis_url)

    def waited(least: float) -> float:
        found = retries.again(task, settings, ValueError(), least)
        assert isinstance(found, Retry)
        return float(cast("float", found.when))

    assert waited(0) < 1
    assert waited(7) == 7
    assert waited(30) == 10


def test_an_orchestrator_that_is_away_is_waited_for_without_end(task: Any, redis_url: str) -> None:
    """One that refuses is asked eleven times; then somebody has to look."""
    task.request.retry_waited = 1000
    away = OrchestratorUnavailableError("refused the connection")
    assert isinstance(retries.wait_for_orchestrator(task, _settings(redis_url), away), Retry)
    task.request.retry_refused = 9
    assert isinstance(retries.wait_for_orchestrator(task, _settings(redis_url), REFUSED), Retry)
    task.request.retry_refused = 10
    found = retries.wait_for_orchestrator(task, _settings(redis_url), REFUSED)
    assert isinstance(found, DeadLetterError)
    assert (found.reason, found.detail) == (Reason.REFUSED, "refused 11 times: answered 403")


def test_a_page_whose_report_is_not_taken_is_fetched_once(
    redis_url: str, redis: Redis, tmp_path: Path
) -> None:
    """However often its report is made: other people's sites have nothing to do with it."""
    assert redis.dbsize() == 0
    told = {"PIPELINE_SCRAPE_ALLOW": "127.0.0.0/8"}
    job_id = "00000000-0000-0000-0000-000000000001"
    with (
        site(always(whole(b"<p>words</p>"))) as there,
        worker(redis_url, tmp_path / "worker", **told) as found,
    ):
        found.send(celery_app.SCRAPE_TASK, job_id=job_id, url=f"{there.url}/page")
        poll_until(lambda: found.log.read_text().count('"report_retried"') > 3, "reports")
        assert there.paths().count("/page") == 1
    redis.flushdb()


def test_what_is_unreported_is_bounded() -> None:
    """The oldest pages go first; each is given out once."""
    kept = Unreported(most=10)
    for name in "abc":
        kept.keep(name, Page("http://x", name * 4))
    assert kept.take("a") is None
    assert kept.take("b") == Page("http://x", "bbbb")
    assert kept.take("b") is None
    failed = PermanentError("dns", "no")
    kept.keep("d", failed)
    assert kept.take("d") is failed


def test_a_task_that_cannot_be_sent_again_stays_in_hand(tmp_path: Path) -> None:
    """Celery would drop it: rejected so that it comes back once its time is over."""
    with servers.redis(tmp_path / "broker") as url:
        pass
    settings = _settings(url)
    app = celery_app.make(settings)
    found = retries.again(_running(app, retries=1), settings, ValueError("failed"))
    assert isinstance(found, Reject)
    assert found.requeue
    app.close()
