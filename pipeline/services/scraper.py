"""The scraper's API: scrapes one page while the caller waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from pipeline import api, telemetry, web
from pipeline.fetch import Fetcher, Terms
from pipeline.fetch_errors import PermanentError, TimedOutError, TransientError
from pipeline.services import enqueue

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from pipeline.settings import Settings


class ScrapeRequest(BaseModel):
    """The page to scrape."""

    url: api.Url = Field(examples=["https://example.com/article"])
    job_id: api.JobName = ""


class Scraped(BaseModel):
    """A page's text."""

    url: str = Field(description="where it was found, after redirects")
    content: str = Field(description="its main content; empty when it has none")
    words: int = Field(ge=0)


class Refused(BaseModel):
    """A page that will not be had, however often it is tried."""

    url: str
    error_code: str = Field(examples=["http_403", "robots_denied"])
    error_message: str


class NotNow(BaseModel):
    """A page that may be had later, or by who waits longer: a job does both."""

    detail: str
    error_code: str = Field(examples=["timeout", "http_503"])


_REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    **api.refusals(429),
    502: {"model": NotNow, "description": "The page's site cannot serve it now."},
    504: {"model": NotNow, "description": "The page takes too long to wait for: use /enqueue."},
}


def make(settings: Settings) -> ASGIApp:
    """Return the scraper's application."""
    base = web.make(settings)
    service = base.service
    fetcher = Fetcher(Terms.of(settings), service.metrics)

    enqueue.add_scrape(base)

    @base.app.post("/scrape", response_model=Scraped | Refused, responses=_REFUSALS)
    def scrape(request: ScrapeRequest, key: web.Key = None) -> Scraped | Refused | JSONResponse:
        """Scrape a page now; one that refuses is told by its error_code."""
        service.admit(key)
        telemetry.name_job(request.job_id, request__mode="sync")
        return answer(fetcher, request)

    return base.asgi()


def answer(fetcher: Fetcher, request: ScrapeRequest) -> Scraped | Refused | JSONResponse:
    """Return what a caller who waits is told."""
    try:
        page = fetcher.fetch(request.url, request.job_id)
    except PermanentError as error:
        return Refused(url=request.url, error_code=error.code, error_message=str(error))
    except TransientError as error:
        body = NotNow(detail=f"{error}: submit it as a job (/enqueue)", error_code=error.code)
        status = 504 if isinstance(error, TimedOutError) else 502
        return JSONResponse(body.model_dump(), status)
    return Scraped(url=page.url, content=page.content, words=len(page.content.split()))
