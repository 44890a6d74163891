"""What a caller is told while PostgreSQL is away: that it is not his fault, and to come again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastapi.responses import JSONResponse
from psycopg import InterfaceError, OperationalError

from pipeline import logs

if TYPE_CHECKING:
    from fastapi import FastAPI, Request

RETRY_AFTER: Final = 2


def add(app: FastAPI) -> None:
    """Answer 503 with Retry-After where a request fails because the database is away."""
    app.add_exception_handler(OperationalError, _answer)
    app.add_exception_handler(InterfaceError, _answer)


async def _answer(request: Request, error: Exception) -> JSONResponse:
    logs.get("unavailable").warning(
        "database_unavailable", path=request.url.path, error_message=str(error)[:500]
    )
    return JSONResponse(
        {"detail": "the database cannot be reached: try again"},
        503,
        headers={"Retry-After": str(RETRY_AFTER)},
    )
