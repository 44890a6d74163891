"""Connections whose time limits hold: for all of connecting, and for all of an answer's head.

The time-outs of urllib3 are for one `recv` and one address, and none for resolving a name. So a
server that sends a byte now and then, a name with many dead addresses, or a name server that is
silent keeps a request waiting for much longer than it was told. Here a step is over when its time
is. It is real time and not the Clock's: sockets know no other.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import queue
import socket
import threading
import time
from types import TracebackType
from typing import Any, Self

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util import connection as urllib3_connection

_GONE = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)


class NameTimeoutError(ConnectTimeoutError):
    """No name server said in time which addresses a name has."""


class HandshakeTimeoutError(ConnectTimeoutError):
    """The connection was taken, and then neither TLS nor a proxy's tunnel came about in time."""


class StaleError(ConnectionResetError):
    """A connection that had served before was closed without an answer.

    Most likely it was idle for longer than the other end keeps one; of the server's health it says
    nothing.
    """


class Watch:
    """Shuts a socket when the time is over, so that whoever waits for it wakes."""

    def __init__(self, seconds: float | None) -> None:
        """Wait so long; None for ever."""
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self.late = threading.Event()
        self._timer = None if seconds is None else threading.Timer(max(seconds, 0.001), self._end)

    def on(self, sock: socket.socket) -> None:
        """Watch this socket; through a copy, for TLS takes the original away."""
        with self._lock:
            self._let_go()
            self._socket = socket.socket(fileno=os.dup(sock.fileno()))

    def __enter__(self) -> Self:
        """Begin."""
        if self._timer is not None:
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End."""
        if self._timer is not None:
            self._timer.cancel()
        with self._lock:
            self._let_go()

    def _end(self) -> None:
        with self._lock:
            self.late.set()
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    def _let_go(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class _Bounded(HTTPConnection):
    """A connection with those limits, that knows whether it has served before."""

    _served = False
    _connecting: Watch | None = None

    def connect(self) -> None:
        """Connect within the time-out: names, addresses, a proxy's tunnel and TLS together."""
        self._served = False
        with Watch(_seconds(self.timeout)) as watch:
            self._connecting = watch
            try:
                super().connect()
            except Exception as error:
                slow = watch.late.is_set() or isinstance(error, TimeoutError)
                if slow and not isinstance(error, ConnectTimeoutError):
                    message = f"no connection within {self.timeout} s"
                    raise HandshakeTimeoutError(self, message) from error
                raise
            finally:
                self._connecting = None

    def getresponse(self) -> Any:
        """Return the answer's head, within the time-out."""
        with Watch(_seconds(self.timeout)) as watch:
            if isinstance(self.sock, socket.socket):
                watch.on(self.sock)
            try:
                response = super().getresponse()
            except Exception as error:
                if watch.late.is_set():
                    raise TimeoutError("timed out") from error
                if self._served and isinstance(error, _GONE):
                    raise StaleError("an idle connection had been closed") from error
                raise
            if watch.late.is_set():  # the end of the stream was taken for the end of the head
                response.close()
                raise TimeoutError("timed out")
        self._served = True
        return response

    def _new_conn(self) -> socket.socket:
        """Return a socket that is connected to one of the name's addresses."""
        limit = _seconds(self.timeout)
        deadline = None if limit is None else time.monotonic() + limit
        addresses = self._addresses(limit)
        error: OSError | None = None
        for index, address in enumerate(addresses):
            share = None
            if deadline is not None:
                share = max(0.001, (deadline - time.monotonic()) / (len(addresses) - index))
            try:
                sock = urllib3_connection.create_connection(
                    (address, self.port),
                    share,
                    source_address=self.source_address,
                    socket_options=self.socket_options,
                )
            except OSError as failed:
                error = failed
                continue
            sock.settimeout(limit)
            if self._connecting is not None:
                self._connecting.on(sock)
            return sock
        if isinstance(error, TimeoutError):
            raise ConnectTimeoutError(self, f"no connection within {limit} s") from error
        raise NewConnectionError(self, f"no connection: {error}") from error

    def _addresses(self, seconds: float | None) -> list[str]:
        """Return the addresses of the host's name; a look-up knows no time-out but a thread's."""
        host = self._dns_host.strip("[]")
        found: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()

        def look_up() -> None:
            try:
                family = urllib3_connection.allowed_gai_family()
                every = socket.getaddrinfo(host, self.port, family, socket.SOCK_STREAM)
                found.put(list(dict.fromkeys(str(one[4][0]) for one in every)))
            except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
                found.put(error)

        if _is_number(host):
            return [host]
        threading.Thread(target=look_up, name=f"look up {host}", daemon=True).start()
        try:
            result = found.get(timeout=seconds)
        except queue.Empty:
            raise NameTimeoutError(self, f"no address within {seconds} s") from None
        if isinstance(result, socket.gaierror):
            raise NameResolutionError(self.host, self, result) from result
        if isinstance(result, Exception):  # a label that is empty or too long
            unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            raise NameResolutionError(self.host, self, unknown) from result
        return result


class _BoundedTls(_Bounded, HTTPSConnection):
    """The same over TLS."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Bounded


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _BoundedTls


class BoundedAdapter(HTTPAdapter):
    """An adapter of requests with those connections, straight and through proxies."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools of connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Make the pools of connections through a proxy."""
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
        return manager


def _seconds(timeout: object) -> float | None:
    """Return a connection's time-out in seconds; it may also be None or a sentinel of urllib3."""
    return float(timeout) if isinstance(timeout, int | float) else None


def _is_number(host: str) -> bool:
    """Whether a host is an address already."""
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):
            socket.inet_pton(family, host)
            return True
    return "%" in host
