"""A small proxy: it forwards plain requests and opens tunnels, and notes what it was asked."""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.sources.servers import head_of, listening

OTHERS = 407


@dataclass
class Proxy:
    """A running proxy: its URL, the requests' lines, and the heads that it had."""

    url: str = ""
    lines: list[str] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)


@contextmanager
def proxying(port: int, credentials: str = "") -> Iterator[Proxy]:
    """Take everything, whatever its host, to a port of this machine; may want `name:password`."""
    proxy = Proxy()
    wanted = "Basic " + base64.b64encode(credentials.encode()).decode()

    def talk(client: socket.socket) -> None:
        head = head_of(client).decode("latin-1")
        proxy.lines.append(head.partition("\r\n")[0])
        proxy.heads.append(head)
        if credentials and f"Proxy-Authorization: {wanted}" not in head:
            client.sendall(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", port)) as server:
            if head.startswith("CONNECT "):
                client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
            else:
                server.sendall(head.encode("latin-1"))
            back = threading.Thread(target=_pump, args=(server, client))
            back.start()
            _pump(client, server)
            back.join()

    with listening(talk) as served:
        proxy.url = served.url
        yield proxy


def _pump(start: socket.socket, end: socket.socket) -> None:
    """Pass everything on until one side ends."""
    with contextlib.suppress(OSError):
        while part := start.recv(65536):
            end.sendall(part)
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_WR)
