"""What a task is told: the same models check it where it is published and where it is run."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.celery_app import EMBED_TASK, SCRAPE_TASK

JobId = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")]
Sink = Literal["orchestrator", "cache"]
"""Who is told of the end: the job's orchestrator, or who enqueued the task, through the cache."""


class PayloadError(ValueError):
    """A payload does not fit its task; the message names the fields that do not."""


class ScrapePayload(BaseModel):
    """What `scraper.scrape_task` is told."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    job_id: JobId
    url: str = Field(min_length=1, max_length=8192)
    sink: Sink = "orchestrator"


class EmbedPayload(BaseModel):
    """What `embedding.embed_task` is told."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    job_id: JobId
    corpus_name: str = Field(min_length=1, max_length=200)
    source_url: str
    chunks: list[str]
    sink: Sink = "orchestrator"


OF_TASK: Final[dict[str, type[BaseModel]]] = {
    SCRAPE_TASK: ScrapePayload,
    EMBED_TASK: EmbedPayload,
}


def checked(task: str, fields: dict[str, Any]) -> dict[str, Any]:
    """Return the payload of a task, or raise PayloadError where it does not fit."""
    if task not in OF_TASK:
        raise PayloadError(f"no task is called {task}")
    try:
        return OF_TASK[task].model_validate(fields).model_dump()
    except ValidationError as error:
        raise PayloadError(said(task, error)) from None


def said(task: str, error: ValidationError) -> str:
    """Return what does not fit, field by field, without the values: they may be a document."""
    wrong = "; ".join(
        f"{'.'.join(map(str, one['loc'])) or 'payload'}: {one['msg']}" for one in error.errors()[:5]
    )
    return f"the payload of {task} does not fit: {wrong}"


def schemas() -> dict[str, Any]:
    """Return the JSON schema of each task's payload."""
    return {task: model.model_json_schema() for task, model in OF_TASK.items()}
