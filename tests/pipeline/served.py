"""An application behind a real port, for tests of what calls it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn

from pipeline.host import ports
from pipeline.testing import poll_until

if TYPE_CHECKING:
    from starlette.types import ASGIApp


@contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """Serve the application from a thread until the block ends; yield its base URL."""
    port = ports.hold("test", None)
    server = uvicorn.Server(
        uvicorn.Config(app, log_config=None, lifespan="on", timeout_graceful_shutdown=1)
    )
    listener = port.listener()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        poll_until(lambda: server.started, "the start of the server")
        yield port.url
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
        port.held.close()
