"""Asking an application without a server around it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from starlette.types import ASGIApp


class Asking:
    """A client whose requests go to the application itself; what it raises is a 500."""

    def __init__(self, app: ASGIApp, **headers: str) -> None:
        """Send the headers with each request."""
        self._app = app
        self._headers = headers

    def many(self, count: int, method: str, path: str, **more: Any) -> list[httpx.Response]:
        """Send a request several times at once; return the answers."""

        async def send() -> list[httpx.Response]:
            transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://service.test", headers=self._headers
            ) as client:
                sending = [client.request(method, path, **more) for _ in range(count)]
                return list(await asyncio.gather(*sending))

        return asyncio.run(send())

    def get(self, path: str, **more: Any) -> httpx.Response:
        """Send a GET."""
        return self.many(1, "GET", path, **more)[0]

    def post(self, path: str, **more: Any) -> httpx.Response:
        """Send a POST."""
        return self.many(1, "POST", path, **more)[0]
