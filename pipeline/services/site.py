"""A stub of other people's sites: the documents to scrape, and pages that make trouble."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from html import escape
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from pipeline import text
from pipeline.services import site_trouble
from pipeline.services.site_trouble import Page, number
from pipeline.services.stubs import health

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp

    from pipeline.settings import Settings

ARTICLE_WORDS: Final = 5_000
WHITEPAPER_WORDS: Final = 80_000
_REMEMBERED: Final = 1_000


class Site:
    """The pages, and what the site has seen of each visitor, known by a nonce."""

    def __init__(self) -> None:
        """Write the documents."""
        self._article = _paragraphs(ARTICLE_WORDS, seed=5)
        self._whitepaper = _paragraphs(WHITEPAPER_WORDS, seed=80)
        self._visits: OrderedDict[str, list[dict[str, str]]] = OrderedDict()

    def note(self, request: Request) -> int:
        """Remember the headers of a visit; return how many there were with its nonce."""
        visits = self._visits.setdefault(request.query_params.get("nonce", ""), [])
        visits.append(dict(request.headers))
        del visits[:-10]
        while len(self._visits) > _REMEMBERED:
            self._visits.popitem(last=False)
        return len(visits)

    async def article(self, request: Request) -> Response:
        """Serve about 5,000 words."""
        self.note(request)
        return _page("An article", self._article, request)

    async def whitepaper(self, request: Request) -> Response:
        """Serve about 80,000 words."""
        self.note(request)
        return _page("A whitepaper", self._whitepaper, request)

    async def blocked(self, request: Request) -> Response:
        """Refuse every visitor."""
        self.note(request)
        return PlainTextResponse("no robots here", 403)

    async def slow(self, request: Request) -> Response:
        """Serve the article after some seconds, two unless asked for others."""
        self.note(request)
        await asyncio.sleep(number(request, "seconds", 2, 60))
        return _page("A slow article", self._article, request)

    async def flaky(self, request: Request) -> Response:
        """Be out of order at each nonce's first visit, then serve the article."""
        if self.note(request) == 1:
            return PlainTextResponse("come back later", 503)
        return _page("An article", self._article, request)

    async def flaky_blocked(self, request: Request) -> Response:
        """Be out of order at each nonce's first visit, then refuse."""
        if self.note(request) == 1:
            return PlainTextResponse("come back later", 503)
        return PlainTextResponse("no robots here", 403)

    async def seen(self, request: Request) -> Response:
        """Tell the headers of the visits with a nonce."""
        nonce = request.query_params.get("nonce", "")
        return JSONResponse({"visits": self._visits.get(nonce, [])})


async def robots(_request: Request) -> Response:
    """Say which pages robots may visit."""
    return PlainTextResponse("User-agent: *\nDisallow: /private/\n")


def make(settings: Settings) -> ASGIApp:
    """Return the site."""
    site = Site()
    latency = settings.number("PIPELINE_SITE_LATENCY", 0.0)
    pages: dict[str, Page] = {
        "/article": site.article,
        "/whitepaper": site.whitepaper,
        "/blocked": site.blocked,
        "/slow": site.slow,
        "/flaky": site.flaky,
        "/flaky-blocked": site.flaky_blocked,
        **site_trouble.PAGES,
    }
    return Starlette(
        routes=[
            Route("/health", health),
            Route("/robots.txt", robots),
            Route("/seen", site.seen),
            *(Route(path, _late(page, latency)) for path, page in pages.items()),
        ]
    )


def _late(page: Page, latency: float) -> Page:
    """Serve a page as late as a site far away, or as its address asks for."""

    async def late(request: Request) -> Response:
        await asyncio.sleep(number(request, "latency", latency, 60))
        return await page(request)

    return late


def _paragraphs(count: int, seed: int) -> str:
    return "\n".join(f"<p>{line}</p>" for line in text.paragraphs(count, seed))


def _page(title: str, body: str, request: Request) -> Response:
    nonce = escape(request.query_params.get("nonce", "none"))
    return HTMLResponse(
        f"<!doctype html><html><head><title>{title}</title><script>let x = 1;</script></head>"
        f"<body><nav>Home</nav><article><h1>{title}</h1><p>Nonce {nonce}.</p>\n{body}</article>"
        "<footer>Made of words.</footer></body></html>"
    )
