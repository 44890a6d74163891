"""A real HTTP server of the machine's own, that answers as a test tells it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Seen:
    """One request as it came in. Header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Say:
    """One answer."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


Act = Callable[[BaseHTTPRequestHandler], None]
"""What a test does with the connection itself."""


class Server:
    """Answers in the order of its script; the last answer repeats. `over` ends what it holds."""

    def __init__(self, script: list[Say | Act]) -> None:
        """Listen on a free port."""
        self.seen: list[Seen] = []
        self.over = threading.Event()
        self._script = script
        self._lock = threading.Lock()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                """Take a request; the client may be gone before it has its answer."""
                with contextlib.suppress(ConnectionError):
                    super().handle_one_request()
                    return
                self.close_connection = True

            def log_message(self, *args: object) -> None:
                """Say nothing."""

            def _any(self) -> None:
                owner._answer(self)

            do_GET = do_POST = do_DELETE = do_PUT = do_PATCH = _any  # noqa: N815 - http.server's names

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self) -> str:
        """Return the address."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """End everything."""
        self.over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Note a request and answer it."""
        length = int(handler.headers.get("Content-Length") or 0)
        body = handler.rfile.read(length)
        headers = {name.lower(): value for name, value in handler.headers.items()}
        with self._lock:
            self.seen.append(Seen(handler.command, handler.path, headers, body))
            say = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        if not isinstance(say, Say):
            say(handler)
            return
        handler.send_response(say.status)
        for name, value in say.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(say.body)))
        handler.end_headers()
        handler.wfile.write(say.body)


@contextlib.contextmanager
def serving(*script: Say | Act) -> Iterator[Server]:
    """Have a server for the block."""
    server = Server(list(script))
    try:
        yield server
    finally:
        server.close()
