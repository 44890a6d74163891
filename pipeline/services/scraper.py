"""The scraper's API: scrapes one page while the caller waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import HTTPException
from pydantic import BaseModel, Field

from pipeline import clients, telemetry, web
from pipeline.fetch import Fetcher, PermanentError, TransientError
from pipeline.services import enqueue

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from pipeline.settings import Settings


class ScrapeRequest(BaseModel):
    """The page to scrape."""

    url: str = Field(min_length=1, max_length=2048, pattern=r"^https?://")
    job_id: str = Field(default="", max_length=100)


def make(settings: Settings) -> ASGIApp:
    """Return the scraper's application."""
    base = web.make(settings)
    service = base.service
    plain = clients.plain()
    base.closing.append(plain.close)
    fetcher = Fetcher(plain, service.metrics)

    enqueue.add_scrape(base)

    @base.app.post("/scrape")
    def scrape(request: ScrapeRequest, key: web.Key = None) -> dict[str, Any]:
        """Scrape a page now; one that refuses is told by its error_code."""
        service.auth.caller(key)
        telemetry.name_job(request.job_id, request__mode="sync")
        try:
            page = fetcher.fetch(request.url, request.job_id)
        except PermanentError as error:
            return {"url": request.url, "error_code": error.code, "error_message": str(error)}
        except TransientError as error:
            raise HTTPException(504, f"{error}: submit it as a job (/enqueue)") from error
        return {"url": page.url, "content": page.content, "words": len(page.content.split())}

    return base.asgi()
