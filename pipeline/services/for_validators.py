"""What the orchestrator offers to validators alone: turns, cleaning up, sweeping.

All of it is synthetic traffic, whether its caller sent the mark along or not.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import HTTPException, Path, Query
from fastapi.responses import JSONResponse
from opentelemetry import context
from pydantic import BaseModel, Field, StringConstraints

from pipeline import api, logs, mark, telemetry, web
from pipeline.mark import SYNTHETIC, Mark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

    from pipeline.auth import CallerContext
    from pipeline.leases import Held, Leases
    from pipeline.sweep import Sweep

LEASE: Final = "synthetic"
"""The one lease of this pipeline: to send synthetic jobs."""
LONGEST_LEASE: Final = 3600.0

Holder = Annotated[api.Text, Query(min_length=1, max_length=200)]
HolderName = Annotated[api.Text, StringConstraints(min_length=1, max_length=200)]
RunId = Annotated[str, Path(pattern=mark.RUN_ID_PATTERN)]


class Removed(BaseModel):
    """How many of each were removed."""

    jobs: int
    documents: int
    vectors: int
    queued: int


class RunRemoved(BaseModel):
    """What was removed of a run."""

    run_id: str
    removed: Removed


class Swept(BaseModel):
    """What was removed of an age; `complete` is false when time was over before all was."""

    older_than: float
    removed: Removed
    complete: bool


class LeaseView(BaseModel):
    """Who has the lease, if anybody, and for how many seconds more."""

    holder: str | None
    expires_in: float


_LEASE: Final = {
    **api.refusals(403),
    409: {"model": LeaseView, "description": "Another has it, or it ran out"},
}


class LeaseRequest(BaseModel):
    """Who wants the lease, and for how long."""

    holder: HolderName
    ttl_seconds: float = Field(default=30.0, gt=0, le=LONGEST_LEASE, allow_inf_nan=False)


def add(app: FastAPI, service: web.Service, sweep: Sweep, leases: Leases) -> None:
    """Add the endpoints; each takes only the key of somebody who may mark traffic."""
    _lease(app, service, leases)

    @app.delete("/synthetic/{run_id}", response_model=RunRemoved, responses=api.refusals(403))
    def clean_up(run_id: RunId, key: web.Key = None) -> dict[str, Any]:
        """Remove what a synthetic run has left."""
        caller = _only_validators(service, key)
        with _marked(run_id):
            counts = sweep.run(run_id)
            logs.audit("remove_run", caller.caller_id, removed_run_id=run_id)
            log = logs.get("orchestrator")
            log.info("synthetic_removed", removed_run_id=run_id, **counts)
        return {"run_id": run_id, "removed": counts}

    @app.delete("/synthetic", response_model=Swept, responses=api.refusals(403))
    def sweep_older(
        older_than: Annotated[float, Query(ge=0, allow_inf_nan=False)] = 900.0,
        within: Annotated[float, Query(gt=0, le=60)] = 5.0,
        key: web.Key = None,
    ) -> dict[str, Any]:
        """Remove synthetic leftovers older than so many seconds, of whatever run.

        `complete` is false when `within` seconds were not enough; asking again goes on.
        """
        caller = _only_validators(service, key)
        with _marked():
            logs.audit("sweep", caller.caller_id, older_than=older_than)
            counts, complete = sweep.older_than(older_than, within)
            log = logs.get("orchestrator")
            log.info("synthetic_swept", older_than=older_than, complete=complete, **counts)
        return {"older_than": older_than, "removed": counts, "complete": complete}


def _lease(app: FastAPI, service: web.Service, leases: Leases) -> None:
    @app.put("/lease", response_model=LeaseView, responses=_LEASE)
    def take(request: LeaseRequest, key: web.Key = None) -> JSONResponse:
        """Take the lease: 200; 409 while another has it. The holder's own is renewed."""
        _only_validators(service, key)
        with _marked():
            held = leases.take(LEASE, request.holder, request.ttl_seconds)
            return _told("lease_taken", request.holder, held)

    @app.patch("/lease", response_model=LeaseView, responses=_LEASE)
    def renew(request: LeaseRequest, key: web.Key = None) -> JSONResponse:
        """Renew the lease: 200; 409 when the caller has not had it all the time."""
        _only_validators(service, key)
        with _marked():
            held = leases.renew(LEASE, request.holder, request.ttl_seconds)
            return _told("lease_renewed", request.holder, held)

    @app.delete("/lease", response_model=LeaseView, responses=_LEASE)
    def release(holder: Holder, key: web.Key = None) -> JSONResponse:
        """Give the lease back: 200; 409 when the caller does not have it."""
        _only_validators(service, key)
        with _marked():
            return _told("lease_released", holder, leases.release(LEASE, holder))


def _told(event: str, asked_by: str, held: Held) -> JSONResponse:
    said = {"asked_by": asked_by, **held.to_json()}
    logs.get("orchestrator").info(event if held.done else "lease_refused", **said)
    return JSONResponse(held.to_json(), 200 if held.done else 409)


def _only_validators(service: web.Service, key: str | None) -> CallerContext:
    caller = service.auth.caller(key)
    if not caller.may_mark or caller.is_service:
        raise HTTPException(403, "this is for validators only")
    return caller


@contextmanager
def _marked(run_id: str | None = None) -> Iterator[None]:
    """Go on under the mark of a run, or the caller's own, or a synthetic one without a run."""
    own = mark.current()
    own = Mark.checked(SYNTHETIC, run_id or own.run_id)
    token = context.attach(mark.in_context(own))
    telemetry.mark_span(own)
    try:
        yield
    finally:
        context.detach(token)
