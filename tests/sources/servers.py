"""A server on loopback that answers what a test says, or holds until it is let go."""

from __future__ import annotations

import contextlib
import socket
import ssl
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
def serving(
    script: Script, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> Iterator[Served]:
    """Serve by `script`, whose None means that it has answered by itself."""
    served = Served("", [])

    class Handler(BaseHTTPRequestHandler):
        body = b""

        def _answer(self) -> None:
            served.requests.append(self.path)
            self.body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            served.bodies.append(self.body)
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

        do_GET = do_POST = do_DELETE = _answer  # noqa: N815 - the base class wants these names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - likewise
            """Say nothing."""

    server = (_Six if ":" in host else _Server)((host, 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    shown = f"[{host}]" if ":" in host else host
    served.url = f"http{'s' if tls else ''}://{shown}:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    """A server that says nothing of clients that went away or were not trusted."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing."""


class _Six(_Server):
    """The same over IPv6."""

    address_family = socket.AF_INET6


Talk = Callable[[socket.socket], None]
"""What a server does with a connection, byte by byte; it is closed afterwards."""


@contextmanager
def listening(talk: Talk) -> Iterator[Served]:
    """Serve connections by `talk`, one thread each; `requests` holds the number of each."""
    served = Served("", [])
    listener = socket.create_server(("127.0.0.1", 0))
    served.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    open_now: set[socket.socket] = set()

    def one(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            talk(connection)
        open_now.discard(connection)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            open_now.add(connection)
            served.requests.append(str(len(served.requests)))
            threading.Thread(target=one, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield served
    finally:
        for connection in (listener, *open_now):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        thread.join()


def head_of(connection: socket.socket) -> bytes:
    """Read a request's head, and return it; empty when the other end has gone."""
    head = b""
    while b"\r\n\r\n" not in head:
        part = connection.recv(65536)
        if not part:
            return b""
        head += part
    return head


def always(canned: Canned) -> Script:
    """Answer everything the same."""
    return lambda _handler: canned
