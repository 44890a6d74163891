"""What is known of the request that is being served: found out once, told in its access log line.

The gate begins it, before any thread is taken: the threads of a request share it.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import HTTPException

    from pipeline.auth import CallerContext


@dataclass(slots=True)
class Visit:
    """One request: from where, with which key by whom, and what its answer has to carry.

    `auth` is whether the cache knew the caller (hit, miss), and the seconds until that was known.
    """

    address: str
    key: str | None = None
    caller: CallerContext | None = None
    refused: HTTPException | None = None
    limited: bool = False
    auth: tuple[str, float] | None = None
    headers: dict[str, str] = field(default_factory=dict)


_CURRENT: ContextVar[Visit | None] = ContextVar("visit", default=None)


def current() -> Visit | None:
    """Return the request that is being served, if any."""
    return _CURRENT.get()


@contextmanager
def begin(address: str) -> Iterator[Visit]:
    """Serve a request within."""
    found = Visit(address)
    token = _CURRENT.set(found)
    try:
        yield found
    finally:
        _CURRENT.reset(token)
