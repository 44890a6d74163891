"""The scrape worker: fetches a job's page and reports its text."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import httpx
from celery.exceptions import SoftTimeLimitExceeded

from pipeline import faults, logs, telemetry
from pipeline.celery_app import QUEUES, SCRAPE_TASK
from pipeline.fetch import Fetcher, Page, Terms
from pipeline.fetch_errors import FetchError, PermanentError, TransientError
from pipeline.payloads import ScrapePayload
from pipeline.states import StageNumber, Status
from pipeline.workers import retries
from pipeline.workers.callbacks import JobGoneError, OrchestratorUnavailableError, reports
from pipeline.workers.given import given

if TYPE_CHECKING:
    from celery import Celery

    from pipeline.settings import Settings
    from pipeline.workers.base import Child, Holder
    from pipeline.workers.callbacks import Reports


_MOST_CHARACTERS: Final = 32_000_000


class Unreported:
    """What came of fetches whose report was not taken: no page is asked for once more for that.

    Of a child's own tasks alone; the oldest are dropped beyond `most` characters.
    """

    def __init__(self, most: int = _MOST_CHARACTERS) -> None:
        """Keep none."""
        self._most = most
        self._found: OrderedDict[str, Page | FetchError] = OrderedDict()

    def keep(self, task_id: str, found: Page | FetchError) -> None:
        """Keep what a task has found for its next attempt."""
        self._found[task_id] = found
        while sum(map(_size, self._found.values())) > self._most:
            self._found.popitem(last=False)

    def take(self, task_id: str) -> Page | FetchError | None:
        """Return what a task has found, and keep it no more."""
        return self._found.pop(task_id, None)


@dataclass(frozen=True, slots=True)
class Tools:
    """What all tasks of one child share; the fetcher remembers each robots.txt."""

    fetcher: Fetcher
    unreported: Unreported = field(default_factory=Unreported)


def register(app: Celery, holder: Holder, settings: Settings) -> str:
    """Register the task; return the queue to take it from."""
    terms = Terms.of(settings)
    tools: list[Tools] = []

    @app.task(  # type: ignore[untyped-decorator]
        name=SCRAPE_TASK, bind=True, max_retries=None, shared=False
    )
    def scrape_task(self: Any, *places: Any, **names: Any) -> None:
        asked = given(SCRAPE_TASK, ScrapePayload, places, names)
        child = holder.get()
        if not tools:
            tools.append(Tools(Fetcher(terms, child.metrics)))
        with logs.of_job(asked.job_id):
            _run(self, child, tools[0], asked)

    return QUEUES[SCRAPE_TASK]


def _run(task: Any, child: Child, tools: Tools, asked: ScrapePayload) -> None:
    job_id, url, task_id = asked.job_id, asked.url, task.request.id
    reporter = reports(child, asked.sink, job_id, task_id)
    with telemetry.job_span("scrape_task", **_attributes(task, child.settings, job_id, url)):
        logs.get("scraper").info("scrape_started", url=url, attempt=task.request.retries + 1)
        found = tools.unreported.take(task_id)
        if found is None:
            found = _scraped(task, child, tools.fetcher, job_id, url)
        try:
            if isinstance(found, FetchError):
                _fail(child, reporter, job_id, found)
            else:
                _report(child, reporter, job_id, found)
        except OrchestratorUnavailableError as error:  # also of a failure: none is to be lost
            tools.unreported.keep(task_id, found)
            raise retries.wait_for_orchestrator(task, child.settings, error) from error
        except JobGoneError:
            logs.get("scraper").warning("job_gone")


def _scraped(task: Any, child: Child, fetcher: Fetcher, job_id: str, url: str) -> Page | FetchError:
    """Return the page, or why there will be none; raise what has the task run again."""
    try:
        return fetcher.fetch(url, job_id)
    except TransientError as error:
        if not retries.left(task):
            return error
        logs.get("scraper").warning("scrape_retried", error_code=error.code)
        raise retries.again(task, child.settings, error) from error
    except PermanentError as error:
        return error
    except SoftTimeLimitExceeded:
        late = PermanentError("time_limit", f"{url} took too long")
        fetcher.count(late)
        return late


def _report(child: Child, reporter: Reports, job_id: str, page: Page) -> None:
    logs.get("scraper").info("scraped", words=len(page.content.split()))
    try:
        reporter.report(
            "final", Status.SCRAPING.value, "success", content=page.content, source_url=page.url
        )
    except httpx.HTTPStatusError as error:
        if error.response.status_code != 413:
            raise
        # JSON makes two bytes of a quote, UTF-8 two of one: a page within the limit may grow.
        _fail(child, reporter, job_id, PermanentError("too_large", f"{page.url} has too much text"))


def _fail(child: Child, reporter: Reports, job_id: str, error: FetchError) -> None:
    logs.failure(
        child.settings,
        "scrape_failed",
        job_id=job_id,
        failed_stage=Status.SCRAPING.value,
        error_code=error.code,
        error_message=str(error),
    )
    reporter.report(
        "final",
        Status.SCRAPING.value,
        "failed",
        error_code=error.code,
        error_message=str(error),
    )


def _attributes(task: Any, settings: Settings, job_id: str, url: str) -> dict[str, Any]:
    stage: str | int = Status.SCRAPING.value
    if faults.ATTRIBUTE_WRONG_TYPE in settings.faults:
        stage = StageNumber.SCRAPING
    if faults.WRONG_JOB_ID_ON_RETRY in settings.faults and task.request.retries:
        job_id = task.request.id
    found = {
        "job_id": job_id,
        "job__url": url,
        "job__stage": stage,
        "request__mode": "async",
        "task__id": task.request.id,
        "task__attempt": task.request.retries + 1,
    }
    if faults.ATTRIBUTE_DROPPED not in settings.faults:
        found["queue__name"] = QUEUES[SCRAPE_TASK]
    return found


def _size(found: Page | FetchError) -> int:
    return len(found.content if isinstance(found, Page) else str(found))
