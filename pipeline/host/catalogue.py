"""Which processes the pipeline is made of, and what each of them runs.

Importing this imports everything that they need, so that forking them takes no time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

# Some are named by nothing here: workers would import them once they are forked.
import celery.apps.worker
import celery.concurrency.prefork  # noqa: F401
import uvicorn

import pipeline.transport
import pipeline.workers.consumer  # noqa: F401
from pipeline.services import (
    chunking,
    embedding_api,
    orchestrator,
    scraper,
    search,
    site,
    stubs,
)
from pipeline.settings import Settings
from pipeline.workers import base, embed, scrape

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from celery import Celery
    from starlette.types import ASGIApp

WEB: Final[dict[str, Callable[[Settings], ASGIApp]]] = {
    "membership": stubs.membership,
    "inference": stubs.inference,
    "site": site.make,
    "orchestrator": orchestrator.make,
    "scraper": scraper.make,
    "chunking": chunking.make,
    "embedding-api": embedding_api.make,
    "search": search.make,
}
WORKERS: Final[dict[str, Callable[[Celery, base.Holder, Settings], str]]] = {
    "scraper-worker": scrape.register,
    "embedding-worker": embed.register,
}


def main_of(name: str) -> Callable[[socket.socket | None], int]:
    """Return what the process of this name does."""

    def serve(listener: socket.socket | None) -> int:
        settings = Settings.from_environment(name)
        app = WEB[name](settings)
        proxies = settings.env.get("PIPELINE_TRUSTED_PROXIES", "")
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="on",
            # uvicorn would believe X-Forwarded-For of whoever connects from this machine.
            proxy_headers=bool(proxies),
            forwarded_allow_ips=proxies,
            timeout_graceful_shutdown=2,
            # A request with a large body leaves its context to those that follow on its connection.
            reset_contextvars=True,
        )
        uvicorn.Server(config).run(sockets=None if listener is None else [listener])
        return 0

    def work(_listener: socket.socket | None) -> int:
        return base.run(Settings.from_environment(name), WORKERS[name])

    return work if name in WORKERS else serve
