"""Sites that behave as no framework lets them: what is sent is written byte by byte."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from pipeline import metrics
from pipeline.addresses import Guard, networks
from pipeline.fetch import Fetcher, Terms
from pipeline.lines import Deadline
from pipeline.settings import Settings
from pipeline.testing import poll_until
from pipeline.visits import Visitor

RESET: Final = b"\x00reset\x00"
"""Sent as the last part: the connection is reset instead of closed."""
NOTHING: Final = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
LOOPBACK: Final = networks("127.0.0.0/8")

Reply = Callable[["Asked"], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came, and the event that the site is closing."""

    path: str
    headers: Mapping[str, str]
    closing: threading.Event


@dataclass(slots=True)
class Site:
    """A running site, and what it is asked."""

    port: int
    scheme: str = "http"
    asked: list[Asked] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Its address."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def paths(self) -> list[str]:
        """Return what was asked for, in order."""
        return [asked.path for asked in self.asked]


def page(body: str = "<p>Hello</p>", content_type: str = "text/html; charset=utf-8") -> bytes:
    """Return a good answer."""
    return whole(body.encode(), f"Content-Type: {content_type}")


def whole(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """Return an answer with its length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def to(location: str, status: str = "302 Found") -> bytes:
    """Return a redirect."""
    return whole(b"", f"Location: {location}", status=status)


def always(*parts: bytes) -> Reply:
    """Reply with the same parts to everybody."""
    return lambda _asked: parts


def dripping(*parts: bytes, drop: bytes = b"x") -> Reply:
    """Reply with the parts, then a drop at a time until the visitor goes."""

    def reply(asked: Asked) -> Iterator[bytes]:
        yield from parts
        while not asked.closing.wait(0.02):
            yield drop

    return reply


@contextmanager
def site(pages: Mapping[str, Reply] | Reply, tls: ssl.SSLContext | None = None) -> Iterator[Site]:
    """Run a site with these pages by their paths; it has no robots.txt unless one is among them."""
    closing = threading.Event()

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            if tls is not None:
                try:
                    self.request = tls.wrap_socket(self.request, server_side=True)
                except OSError:
                    return
            asked = _request(self.request, closing)
            found.asked.append(asked)
            reply = pages if callable(pages) else pages.get(asked.path)
            if callable(pages) and asked.path == "/robots.txt":
                reply = None
            with suppress(OSError):
                for part in reply(asked) if reply is not None else (NOTHING,):
                    if part == RESET:
                        linger = struct.pack("ii", 1, 0)
                        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                        break
                    self.request.sendall(part)
            self.request.close()

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        found = Site(server.server_address[1], "http" if tls is None else "https")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield found
        finally:
            closing.set()
            server.shutdown()
            thread.join()


def _request(connection: socket.socket, closing: threading.Event) -> Asked:
    head = b""
    while b"\r\n\r\n" not in head:
        part = connection.recv(65_536)
        if not part:
            break
        head += part
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines if ": " in line)
    return Asked(first.split(" ")[1] if " " in first else "", headers, closing)


@contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """Serve an application on a free port; yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            poll_until(lambda: server.started, "a site that answers")
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def guard(**names: list[str]) -> Guard:
    """Return a guard that lets us visit this machine, and knows some names with `_` for a dot."""
    known = {name.replace("_", "."): addresses for name, addresses in names.items()}

    def lookup(host: str, _port: int) -> list[str]:
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "unknown in this test")
        return known[host]

    return Guard(LOOPBACK, lookup)


def visitor(**names: list[str]) -> Visitor:
    """Return a visitor that may visit this machine."""
    return Visitor(guard(**names), "obs-validator-pipeline")


def soon(seconds: float = 10.0) -> Deadline:
    """Return a deadline."""
    return Deadline.after(seconds)


def fetcher(terms: Terms | None = None) -> Fetcher:
    """Return a fetcher with metrics of its own, which may visit this machine."""
    return Fetcher(terms or Terms(guard()), metrics.build(Settings("test", {})))
