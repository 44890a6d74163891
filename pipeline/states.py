"""The states of a job and the guards between them. Pure: what acts on them is `jobs.py`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum
from typing import Final


class Status(StrEnum):
    """Where a job is: the last stage whose success was reported, or an end."""

    PENDING = "pending"
    SCRAPING = "scraping"
    CHUNKING = "chunking"
    EMBEDDING = "embedding"
    DONE = "done"
    FAILED = "failed"


class StageNumber(IntEnum):
    """The stages by their order."""

    SCRAPING = 1
    CHUNKING = 2
    EMBEDDING = 3


class Outcome(StrEnum):
    """What a callback did."""

    ADVANCED = "advanced"
    ALREADY_ADVANCED = "already_advanced"
    OUT_OF_ORDER = "out_of_order"


ORDER: Final = (Status.PENDING, Status.SCRAPING, Status.CHUNKING, Status.EMBEDDING, Status.DONE)
STAGES: Final = (Status.SCRAPING, Status.CHUNKING, Status.EMBEDDING)
FINAL: Final = frozenset({Status.DONE, Status.FAILED})


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a stage failed; its four fields are those of the job's error."""

    stage: str
    code: str
    message: str
    at: str

    def to_json(self) -> dict[str, str]:
        """Return the four fields."""
        return {"stage": self.stage, "code": self.code, "message": self.message, "at": self.at}


@dataclass(frozen=True, slots=True)
class Callback:
    """What a worker reports: a stage succeeded, or failed for a reason."""

    callback_id: str
    stage: Status
    failure: Failure | None = None

    def __post_init__(self) -> None:
        """Refuse what is no stage."""
        if self.stage not in STAGES:
            raise ValueError(f"{self.stage} is no stage: stages are {', '.join(STAGES)}")


@dataclass(frozen=True, slots=True)
class State:
    """What the guards need to know of a job."""

    status: Status = Status.PENDING
    failed_stage: str | None = None
    error: Failure | None = None
    seen: frozenset[str] = field(default_factory=frozenset)


def advance(state: State, callback: Callback) -> tuple[State, Outcome]:
    """Return the state after the callback, and what it did."""
    if state.status in FINAL or callback.callback_id in state.seen:
        return state, Outcome.ALREADY_ADVANCED
    here, there = ORDER.index(state.status), ORDER.index(callback.stage)
    if there > here + 1:
        return state, Outcome.OUT_OF_ORDER
    status = _after(state.status, callback)
    if status is None:
        return state, Outcome.ALREADY_ADVANCED
    seen = state.seen | {callback.callback_id}
    if status is Status.FAILED:
        stage = callback.stage.value
        return State(status, stage, callback.failure, seen), Outcome.ADVANCED
    return replace(state, status=status, seen=seen), Outcome.ADVANCED


def _after(status: Status, callback: Callback) -> Status | None:
    """Return what a fresh callback makes of a status, or nothing if it comes too late."""
    here, there = ORDER.index(status), ORDER.index(callback.stage)
    if callback.failure is not None:
        return Status.FAILED if there >= here else None
    if there == here + 1:
        return callback.stage
    return Status.DONE if status is callback.stage is Status.EMBEDDING else None
