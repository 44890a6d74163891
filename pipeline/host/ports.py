"""Ports that are ours for as long as we run, also while nothing listens on them."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from pipeline.host.errors import HostError


@dataclass(frozen=True, slots=True)
class Port:
    """A port of 127.0.0.1 that a socket of ours, bound but never listening, keeps from others."""

    number: int
    held: socket.socket

    @property
    def url(self) -> str:
        """The base URL of what listens on it."""
        return f"http://127.0.0.1:{self.number}"

    def listener(self) -> socket.socket:
        """Return a socket to hand to the process that serves the port."""
        found = _bound(self.number)
        found.listen(256)
        return found


def hold(name: str, wanted: str | None) -> Port:
    """Hold a free port, or the one that is wanted."""
    try:
        number = int(wanted) if wanted else 0
        held = _bound(number)
    except (OSError, ValueError, OverflowError) as error:
        raise HostError(f"{name} cannot have the port {wanted}: {error}") from error
    return Port(held.getsockname()[1], held)


def _bound(number: int) -> socket.socket:
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind(("127.0.0.1", number))
    except (OSError, OverflowError):
        found.close()
        raise
    return found
