"""What the services answer, as their OpenAPI documents publish it."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from pipeline import urls

Stage = Literal["scraping", "chunking", "embedding"]
JobStatus = Literal["pending", "scraping", "chunking", "embedding", "done", "failed"]


def _storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("there is a null character, which no text has")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("there is half a surrogate pair, which is no character") from error
    return text


Text = Annotated[str, AfterValidator(_storable)]
"""A text that PostgreSQL can keep and JSON can carry, which JSON's escapes alone do not ensure."""
CorpusName = Annotated[Text, StringConstraints(min_length=1, max_length=200)]
"""The name of a corpus."""


Url = Annotated[Text, AfterValidator(urls.normalised), Field(min_length=1, max_length=urls.LONGEST)]
"""Where a page is, written in the one way in which it is kept."""


JobName = Annotated[Text, StringConstraints(max_length=100)]
"""The id of a job, or nothing where a call is of none."""


MOST_CHUNKS: Final = 20_000

ChunkText = Annotated[Text, Field(min_length=1, max_length=20_000)]


class EmbedRequest(BaseModel):
    """The chunks of a job's document."""

    job_id: UUID
    corpus_name: CorpusName
    source_url: Text = Field(default="", max_length=2048)
    chunks: list[ChunkText] = Field(max_length=MOST_CHUNKS)


class Problem(BaseModel):
    """Why a request was refused."""

    detail: str


class Place(BaseModel):
    """What does not fit in a request, and where."""

    loc: list[str | int]
    msg: str
    type: str


class Misfit(BaseModel):
    """All that does not fit in a request, the first twenty of it."""

    detail: list[Place]


class JobError(BaseModel):
    """Why a job failed."""

    stage: Stage
    code: str
    message: str
    at: str


class HistoryEntry(BaseModel):
    """When a job came to a state."""

    status: JobStatus
    at: str


class JobView(BaseModel):
    """A job as its caller sees it; `id` and `job_id` are the same."""

    id: str
    job_id: str
    status: JobStatus
    url: str
    corpus_name: str
    caller_id: str
    failed_stage: Stage | None
    error: JobError | None
    chunks: int | None
    traffic: Literal["user", "synthetic"]
    run_id: str | None
    history: list[HistoryEntry]
    created_at: str
    updated_at: str


class Reported(BaseModel):
    """What a worker's report did, and the state that the job is in."""

    status: Literal["advanced", "already_advanced"]
    job_status: JobStatus


_SAID: Final = {
    400: "The body is no JSON",
    401: "No key, or nobody's",
    403: "The key, or the place of the caller, may not do this",
    404: "There is no such thing, or it is somebody else's",
    409: "It does not fit what is there",
    413: "The body is too large",
    429: "Too many: see X-RateLimit-Remaining and Retry-After",
    503: "Something that this needs does not answer",
}


def refusals(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Return what an endpoint documents of its refusals: these, and those that any may answer."""
    found: dict[int | str, dict[str, Any]] = {
        code: {"model": Problem, "description": _SAID[code]}
        for code in sorted({400, 401, 413, 503, *codes})
    }
    # Starlette writes it as plain text where the length was announced.
    found[413]["content"] = {"text/plain": {"schema": {"type": "string"}}}
    found[422] = {"model": Misfit, "description": "The request does not fit the schema"}
    return found
