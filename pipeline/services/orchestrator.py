"""The orchestrator: takes jobs, follows them through their stages, answers for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID, uuid4

from fastapi import HTTPException, Query, Response
from pydantic import BaseModel, StringConstraints, model_validator

from pipeline import (
    api,
    celery_app,
    clients,
    duties,
    health,
    jobs,
    logs,
    mark,
    publish,
    redis_policy,
    shares,
    telemetry,
    web,
)
from pipeline.embed_errors import StoreUnavailableError
from pipeline.leases import Leases
from pipeline.peers import Peers
from pipeline.services import for_validators
from pipeline.states import Callback, Outcome, Status
from pipeline.sweep import Sweep
from pipeline.vectors.choose import open_store

if TYPE_CHECKING:
    from celery import Celery
    from fastapi import FastAPI
    from psycopg_pool import ConnectionPool
    from starlette.types import ASGIApp

    from pipeline.flow import Flow
    from pipeline.settings import Settings
    from pipeline.vectors import VectorStore


CallbackId = Annotated[api.Text, StringConstraints(min_length=1, max_length=200)]


class JobRequest(BaseModel):
    """What a caller submits."""

    url: api.Url
    corpus_name: api.CorpusName = "default"
    job_id: UUID | None = None


class Completion(BaseModel):
    """What a worker reports of a stage."""

    callback_id: CallbackId
    stage: api.Stage
    status: Literal["success", "failed"]
    error_code: api.Text | None = None
    error_message: api.Text | None = None
    content: api.Text | None = None
    source_url: api.Text | None = None

    @model_validator(mode="after")
    def _complete(self) -> Completion:
        if self.status == "failed" and not self.error_code:
            raise ValueError("a failure needs an error_code")
        if self.status == "success" and self.stage == "scraping" and self.content is None:
            raise ValueError("a scraped page needs its content")
        return self

    def callback(self) -> Callback:
        """Return the callback in the words of the state machine."""
        stage = Status(self.stage)
        if self.status == "success":
            return Callback(self.callback_id, stage)
        code, message = str(self.error_code), self.error_message or str(self.error_code)
        return Callback(self.callback_id, stage, jobs.failure(stage, code, message))

    def document(self) -> jobs.Document | None:
        """Return the scraped document, if this reports one."""
        if self.status != "success" or self.stage != "scraping" or self.content is None:
            return None
        return jobs.Document(self.source_url or "", self.content)


Limit = Annotated[int, Query(ge=1, le=1000)]


@dataclass(frozen=True, slots=True)
class Parts:
    """What the orchestrator's endpoints work with."""

    service: web.Service
    store: jobs.JobStore
    flow: Flow
    shares: shares.Shares
    peers: Peers
    vectors: VectorStore


def make(settings: Settings) -> ASGIApp:
    """Return the orchestrator's application."""
    base = web.make(settings)
    redis_policy.require(settings, "PIPELINE_BROKER_URL")
    broker = celery_app.make(settings)
    celery_app.declare_tasks(broker)
    publish.guard_headers(settings)
    pool = clients.database(settings)
    base.closing.append(pool.close)
    store = jobs.JobStore(pool)
    flow = duties.begin(base, broker, pool)
    places = int(settings.number("PIPELINE_MAX_JOBS", shares.DEFAULT))
    vectors = open_store(settings, pool)
    room = shares.Shares(pool, places)
    parts = Parts(base.service, store, flow, room, Peers(settings), vectors)
    _depend(base.service, pool, broker)
    _for_callers(base.app, parts)
    _for_workers(base.app, parts)
    sweep = Sweep(store, vectors, broker, base.service.cache)
    for_validators.add(base.app, base.service, sweep, Leases(pool))
    return base.asgi()


def _depend(service: web.Service, pool: ConnectionPool, broker: Celery) -> None:
    known, settings = service.dependencies, service.settings
    known.add("postgres", health.database(pool), needed=True)
    known.add("broker", health.broker(broker))
    known.add("chunking", health.service(service.internal, settings.url("chunking")))


def _for_callers(app: FastAPI, parts: Parts) -> None:
    service, store = parts.service, parts.store

    @app.post(
        "/jobs",
        status_code=202,
        response_model=api.JobView,
        responses={
            200: {"model": api.JobView, "description": "The same job was submitted before"},
            **api.refusals(409, 429),
        },
    )
    def submit(request: JobRequest, response: Response, key: web.Key = None) -> dict[str, Any]:
        """Take a job; the same job again is 200, another under its id 409."""
        caller = service.admit(key)
        parts.shares.check(caller.caller_id)
        new = jobs.NewJob(
            id=request.job_id or uuid4(),
            caller_id=caller.caller_id,
            url=request.url,
            corpus_name=request.corpus_name,
            mark=mark.current(),
        )
        telemetry.name_job(str(new.id), job__url=request.url)
        job, is_new = store.insert(new)
        if is_new:
            parts.flow.begin(job)
        elif job.same_request(new):
            response.status_code = 200
        else:
            raise HTTPException(409, "another job has this job_id")
        logs.audit("submit_job", caller.caller_id, job_id=str(job.id), is_new=is_new)
        return job.to_json()

    @app.get("/jobs/", response_model=list[api.JobView], responses=api.refusals())
    def list_jobs(limit: Limit = 100, key: web.Key = None) -> list[dict[str, Any]]:
        """Return the caller's newest jobs, the oldest of them first."""
        caller = service.auth.caller(key)
        return [job.to_json() for job in store.of_caller(caller.caller_id, limit)]

    @app.get("/jobs/{job_id}", response_model=api.JobView, responses=api.refusals(404))
    def get_job(job_id: UUID, key: web.Key = None) -> dict[str, Any]:
        """Return a job of the caller's; without job.id on the span, or polls would be its trace."""
        caller = service.auth.caller(key)
        job = store.get(job_id)
        if job is None or (job.caller_id != caller.caller_id and not caller.is_service):
            raise HTTPException(404, "there is no such job")
        return job.to_json()


def _for_workers(app: FastAPI, parts: Parts) -> None:
    @app.post(
        "/jobs/{job_id}/complete",
        response_model=api.Reported,
        responses=api.refusals(403, 404, 409),
    )
    def complete(job_id: UUID, report: Completion, key: web.Key = None) -> dict[str, str]:
        """Take a worker's report of a stage, from inside and with a service's key."""
        parts.peers.check()
        caller = parts.service.auth.service(key)
        telemetry.name_job(str(job_id), job__stage=report.stage)
        with logs.of_job(job_id):
            advanced = parts.flow.report(job_id, report.callback(), report.document())
        if advanced is None:
            raise HTTPException(404, "there is no such job")
        if advanced.outcome is Outcome.OUT_OF_ORDER:
            raise HTTPException(409, f"a job that is {advanced.job.status} skips no stage")
        said = {"stage": report.stage, "status": report.status, "outcome": advanced.outcome.value}
        logs.audit("report_stage", caller.caller_id, job_id=str(job_id), **said)
        if advanced.job.status is Status.FAILED and report.stage == "embedding":
            _take_back(parts.vectors, str(job_id))
        return {"status": advanced.outcome.value, "job_status": advanced.job.status.value}


def _take_back(vectors: VectorStore, job_id: str) -> None:
    """Remove the vectors of a job that has failed: a task may have written them all the same.

    It may have been delivered twice, or ended between its write and its report. Whoever reports is
    asked to do so again where the store is away.
    """
    try:
        removed = vectors.remove_job(job_id)
    except StoreUnavailableError as error:
        raise HTTPException(503, f"{error.code}: {error}", {"Retry-After": "1"}) from error
    if removed:
        with logs.of_job(job_id):
            logs.get("orchestrator").warning("vectors_taken_back", vectors_removed=removed)
