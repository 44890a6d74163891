"""A server on loopback that answers what a test says, or holds until it is let go."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Canned:
    """One answer; a `length` other than the body's makes it break off."""

    status: int = 200
    body: bytes = b""
    media: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None


Script = Callable[[BaseHTTPRequestHandler], Canned | None]


@dataclass
class Served:
    """A running server: its URL, the requests that it had, and their bodies."""

    url: str
    requests: list[str]
    bodies: list[bytes] = field(default_factory=list)


@contextmanager
def serving(script: Script) -> Iterator[Served]:
    """Serve by `script`, whose None means that it has answered by itself."""
    served = Served("", [])

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            served.requests.append(self.path)
            served.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
            canned = script(self)
            if canned is None:
                return
            self.send_response(canned.status)
            self.send_header("Content-Type", canned.media)
            length = len(canned.body) if canned.length is None else canned.length
            self.send_header("Content-Length", str(length))
            for name, value in canned.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(canned.body)

        do_GET = do_POST = _answer  # noqa: N815 - the base class wants these names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - likewise
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def always(canned: Canned) -> Script:
    """Answer everything the same."""
    return lambda _handler: canned
