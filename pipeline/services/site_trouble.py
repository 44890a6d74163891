"""Pages of the site stub that make trouble for who scrapes them."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)

from pipeline import text

Page = Callable[[Request], Awaitable[Response]]
_MOST_BYTES: Final = 1_000_000_000
_STEP: Final = 65_536


def number(request: Request, name: str, default: float, most: float) -> float:
    """Return a number from a page's address; 400 for what is none."""
    given = request.query_params.get(name, "")
    try:
        found = float(given) if given else default
    except ValueError:
        found = -1.0
    if not 0 <= found <= most:
        raise HTTPException(400, f"{name} is a number from 0 to {most:g}")
    return found


async def private(_request: Request) -> Response:
    """Be there, for who does not mind robots.txt."""
    return HTMLResponse("<p>Robots have no business here.</p>")


async def redirect(request: Request) -> Response:
    """Lead to wherever the address says."""
    return RedirectResponse(request.query_params.get("to", "/article"))


async def loop(_request: Request) -> Response:
    """Lead to itself."""
    return RedirectResponse("/loop")


async def huge(request: Request) -> Response:
    """Serve many bytes of plain text without saying how many, twenty million unless asked."""
    return StreamingResponse(_lines(_bytes(request)), media_type="text/plain")


async def bomb(request: Request) -> Response:
    """Serve the same as a gzip a thousand times smaller."""
    headers = {"content-encoding": "gzip"}
    parts = _gzip(_bytes(request))
    return StreamingResponse(parts, media_type="text/html", headers=headers)


async def one_line(request: Request) -> Response:
    """Serve HTML without a line break, of twenty million bytes unless asked for others."""
    return StreamingResponse(_one_line(_bytes(request)), media_type="text/html")


async def one_word(_request: Request) -> Response:
    """Serve a word of 100,000 letters."""
    return HTMLResponse(f"<article><p>{'a' * 100_000}</p></article>")


async def pdf(_request: Request) -> Response:
    """Serve what is no text."""
    return Response(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", media_type="application/pdf")


async def empty(_request: Request) -> Response:
    """Serve nothing."""
    return HTMLResponse("")


async def blank(_request: Request) -> Response:
    """Serve white space only."""
    return PlainTextResponse(" \n\t\n " * 100)


PAGES: Final[dict[str, Page]] = {
    "/private/page": private,
    "/redirect": redirect,
    "/loop": loop,
    "/huge": huge,
    "/bomb": bomb,
    "/one-line": one_line,
    "/one-word": one_word,
    "/pdf": pdf,
    "/empty": empty,
    "/blank": blank,
}


def _bytes(request: Request) -> int:
    return int(number(request, "bytes", 20_000_000, _MOST_BYTES))


async def _lines(count: int) -> AsyncIterator[bytes]:
    line = b"many words of plain text and no end of them\n"
    step = line * (_STEP // len(line))
    for at in range(0, count, len(step)):
        yield step[: count - at]


async def _one_line(count: int) -> AsyncIterator[bytes]:
    words = " ".join(text.words(_STEP // 8, seed=1)).encode()
    begin, end = b"<html><body><article><p>", b"</p></article></body></html>"
    yield begin
    left = count - len(begin) - len(end)
    for at in range(0, left, len(words)):
        yield words[: left - at]
    yield end


async def _gzip(count: int) -> AsyncIterator[bytes]:
    for part in _deflated(count):
        yield part


def _deflated(count: int) -> Iterator[bytes]:
    deflate = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    step = b" " * _STEP
    for at in range(0, count, _STEP):
        yield deflate.compress(step[: count - at])
    yield deflate.flush()
