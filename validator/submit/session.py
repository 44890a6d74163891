"""Sessions of requests whose answers cannot be dripped: a time limit holds for all of an answer.

The time-outs of requests are for one `recv`; a server that sends a byte now and then keeps such a
request open for ever. Here a watchdog shuts the connection when the time is over.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

USER_AGENT = "obs-validator"


@dataclass(slots=True)
class Cut:
    """Whether a watchdog has shut the connection."""

    done: threading.Event = field(default_factory=threading.Event)


@contextlib.contextmanager
def cut_after(connection: socket.socket | None, seconds: float | None) -> Iterator[Cut]:
    """Shut the connection when the block takes longer than `seconds`."""
    cut = Cut()

    def shut() -> None:
        """Wake who reads, with the end of the stream."""
        cut.done.set()
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(seconds, 0.001), shut) if seconds is not None else None
    if timer:
        timer.daemon = True
        timer.start()
    try:
        yield cut
    finally:
        if timer:
            timer.cancel()


class _Limited(HTTPConnection):
    """A connection whose time-out holds for all of an answer's head."""

    def getresponse(self) -> Any:
        """Return the answer's head, and let its reader get at the socket."""
        return _head(self, super().getresponse)


class _LimitedTls(HTTPSConnection):
    """The same over TLS."""

    def getresponse(self) -> Any:
        """Return the answer's head, and let its reader get at the socket."""
        return _head(self, super().getresponse)


def _head(connection: HTTPConnection, read: Callable[[], Any]) -> Any:
    """Read an answer's head within the connection's time-out."""
    sock = connection.sock
    limit = connection.timeout
    with cut_after(sock, limit if isinstance(limit, int | float) else None) as cut:
        try:
            response = read()
        except Exception as error:
            if cut.done.is_set():
                raise TimeoutError("timed out") from error
            raise
        if cut.done.is_set():  # the end of the stream has been taken for the end of the head
            response.close()
            raise TimeoutError("timed out")
    response.watched_socket = sock  # read by `socket_of`
    return response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Limited


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _LimitedTls


class LimitedAdapter(HTTPAdapter):
    """An adapter of requests with those connections; it repeats nothing and keeps few open."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools of connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}


def socket_of(response: requests.Response) -> socket.socket | None:
    """Return the socket that an answer is read from, if the session is one of ours."""
    found = getattr(response.raw, "watched_socket", None)
    return found if isinstance(found, socket.socket) else None


class _Session(requests.Session):
    """A session that knows no redirects: following one would read its answer without a limit."""

    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002 - overrides
        """Return nothing."""
        return


def make_session() -> requests.Session:
    """Return a session that takes no proxies, credentials or certificates from the environment."""
    session = _Session()
    session.trust_env = False
    session.headers["User-Agent"] = USER_AGENT
    adapter = LimitedAdapter(pool_connections=4, pool_maxsize=4, max_retries=0)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session
