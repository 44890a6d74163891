"""What the services' descriptions say of answers that are not 200."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel


class Problem(BaseModel):
    """Why a request was not answered as asked."""

    detail: str


_SAID: Final = {
    401: "The key is missing, or is nobody's",
    403: "Only the pipeline's own services may call this",
    413: "The body is longer than is taken",
    503: "What is needed for an answer is down; `Retry-After` says when to ask again",
}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the description of these answers, for an endpoint's `responses`."""
    return {status: {"model": Problem, "description": _SAID[status]} for status in statuses}
