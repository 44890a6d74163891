"""Ports that are ours for as long as we run, also while nothing listens on them."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Final

from pipeline.host.errors import HostError

LOOPBACK: Final = "127.0.0.1"
LISTEN: Final = (LOOPBACK, "0.0.0.0")  # noqa: S104 - for a container, whose ports are its own
"""Where the pipeline may listen; it reaches itself by the first of them in any case."""


@dataclass(frozen=True, slots=True)
class Port:
    """A port of `host` that a socket of ours, bound but never listening, keeps from others."""

    number: int
    held: socket.socket
    host: str = LOOPBACK

    @property
    def url(self) -> str:
        """The base URL of what listens on it."""
        return f"http://{LOOPBACK}:{self.number}"

    def listener(self) -> socket.socket:
        """Return a socket to hand to the process that serves the port."""
        found = _bound(self.number, self.host)
        found.listen(256)
        return found


def hold(name: str, wanted: str | None, host: str = LOOPBACK) -> Port:
    """Hold a free port, or the one that is wanted."""
    try:
        number = int(wanted) if wanted else 0
        held = _bound(number, host)
    except (OSError, ValueError, OverflowError) as error:
        raise HostError(f"{name} cannot have the port {wanted}: {error}") from error
    return Port(held.getsockname()[1], held, host)


def _bound(number: int, host: str) -> socket.socket:
    # The protocol is named, or asyncio leaves Nagle's algorithm on: then the second part of each
    # answer waits 40 ms for the client to have acknowledged the first.
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, number))
    except (OSError, OverflowError):
        found.close()
        raise
    return found
