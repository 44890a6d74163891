"""`/enqueue`: a task for a service's worker that belongs to no job of the orchestrator."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar
from uuid import UUID, uuid4

from fastapi import HTTPException
from pydantic import BaseModel
from redis.exceptions import RedisError

from pipeline import api, logs, mark, redis_policy, telemetry, web
from pipeline.celery_app import EMBED_TASK, SCRAPE_TASK
from pipeline.enqueued import PUBLISHING, Enqueued, Register
from pipeline.queues import BrokerAwayError, BrokerFullError, QueueFullError, Queues

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.auth import CallerContext

_T = TypeVar("_T")

RETRY_AFTER: Final = 5
_RESPONSES: Final = {
    **api.refusals(409, 429),
    500: {"model": api.Problem, "description": "The broker's memory is full: `broker_full`"},
}


class ScrapeOrder(BaseModel):
    """A page to scrape when its turn comes."""

    url: api.Url
    job_id: UUID | None = None


class Queued(BaseModel):
    """A task that was taken."""

    job_id: str
    status: Literal["queued", "done", "failed"]


class Outcome(Queued):
    """What became of a task; of a scraped page also its text, of a failure its code."""

    content: str | None = None
    source_url: str | None = None
    error_code: str | None = None
    error_message: str | None = None


class _Desk:
    """Takes tasks of one kind."""

    def __init__(self, base: web.Web, task: str) -> None:
        service = base.service
        redis_policy.require(service.settings, "PIPELINE_BROKER_URL")
        self._task = task
        self._queues = Queues(service.settings)
        self._register = Register(service.cache, service.settings.service_name)
        base.closing.insert(0, self._queues.close)

    def take(self, caller: CallerContext, job_id: UUID, payload: dict[str, Any]) -> Queued:
        """Take a task; the same one again is not published again, once the broker has it.

        Until that is known, whoever asks publishes it: twice it is the same task, under one id.
        """
        telemetry.name_job(str(job_id), request__mode="async")
        asked = hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()
        new = Enqueued(caller.caller_id, asked, run_id=mark.current().run_id or "")
        known = _of_cache(lambda: self._register.begin(str(job_id), new))
        if known is not None:
            if (known.caller_id, known.asked) != (new.caller_id, new.asked):
                raise HTTPException(409, "another task has this job_id")
            if known.status != PUBLISHING:
                return Queued(job_id=str(job_id), status=known.status)
        try:
            self._queues.publish(self._task, job_id, {**payload, "sink": "cache"})
        except Exception as error:
            raise _answer(error) from error
        _of_cache(lambda: self._register.published(str(job_id)))
        with logs.of_job(job_id):
            traffic = mark.current().traffic
            logs.get("enqueue").info("task_enqueued", task=self._task, traffic=traffic)
        return Queued(job_id=str(job_id), status="queued")

    def outcome(self, caller: CallerContext, job_id: UUID) -> Outcome:
        """Return what became of a task of the caller's own."""
        known = _of_cache(lambda: self._register.get(str(job_id)))
        if known is None or known.caller_id != caller.caller_id:
            raise HTTPException(404, "there is no such task")
        status = "queued" if known.status == PUBLISHING else known.status
        return Outcome(job_id=str(job_id), status=status, **known.result)


def add_scrape(base: web.Web) -> None:
    """Add the scraper's: any caller's page."""
    desk, service = _Desk(base, SCRAPE_TASK), base.service

    @base.app.post("/enqueue", status_code=202, responses=_RESPONSES)
    def enqueue(order: ScrapeOrder, key: web.Key = None) -> Queued:
        """Have a page scraped when its turn comes; GET /enqueue/{job_id} tells the outcome."""
        return desk.take(service.admit(key), order.job_id or uuid4(), {"url": order.url})

    @base.app.get("/enqueue/{job_id}", responses=api.refusals(404))
    def outcome(job_id: UUID, key: web.Key = None) -> Outcome:
        """Tell what became of a task, to who enqueued it, for an hour after its end."""
        return desk.outcome(service.auth.caller(key), job_id)


def add_embed(base: web.Web) -> None:
    """Add the embedding service's: chunks of the pipeline's own services."""
    desk, auth = _Desk(base, EMBED_TASK), base.service.auth

    @base.app.post(
        "/enqueue", status_code=202, responses={**_RESPONSES, **api.refusals(403, 409, 429)}
    )
    def enqueue(order: api.EmbedRequest, key: web.Key = None) -> Queued:
        """Have chunks embedded and written when their turn comes."""
        caller = auth.service(key)
        return desk.take(caller, order.job_id, order.model_dump(mode="json", exclude={"job_id"}))

    @base.app.get("/enqueue/{job_id}", responses=api.refusals(403, 404))
    def outcome(job_id: UUID, key: web.Key = None) -> Outcome:
        """Tell what became of a task, for an hour after its end."""
        return desk.outcome(auth.service(key), job_id)


def _of_cache(ask: Callable[[], _T]) -> _T:
    try:
        return ask()
    except RedisError as error:
        raise HTTPException(
            503, f"the cache cannot be asked: {error}", {"Retry-After": str(RETRY_AFTER)}
        ) from error


def _answer(error: Exception) -> Exception:
    later = {"Retry-After": str(RETRY_AFTER)}
    if isinstance(error, QueueFullError):
        return HTTPException(429, f"queue_full: {error}", later)
    if isinstance(error, BrokerFullError):
        return HTTPException(500, f"broker_full: {error}")
    if isinstance(error, BrokerAwayError):
        return HTTPException(503, f"broker_unavailable: {error}", later)
    return error
