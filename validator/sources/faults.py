"""What went wrong with a request, in which way, and what to do: from errors of libraries to words.

A message says what was seen and, after a colon or semicolon, what it hints at. The caller blanks
out secrets: what a server says may repeat ours.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

import requests
import urllib3
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ReadTimeoutError

from validator.errors import SourceFailure
from validator.sources.connection import HandshakeTimeoutError, NameTimeoutError, StaleError
from validator.sources.tls_words import MAYBE, distrust, refusal

_BUSY = frozenset({408, 429, 502, 503, 504})
"""Statuses with which servers say that they are busy, or gateways that nobody is behind them."""
_PROXY_STATUS = re.compile(r"Tunnel connection failed: (\d{3})")
_LOGIN = re.compile(
    r"(?<![a-z])(log-?in|sign-?in|oauth2?|saml2?|sso|auth|authorize)(?![a-z])", re.IGNORECASE
)
_WRONG_SCHEME = re.compile(rb"HTTPS", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Fault:
    """A failure and its words.

    `again` tells that asking again may help, `stale` that it may be asked again at once, since
    nothing but an idle connection was at fault; `after` is how many seconds to wait at least.
    """

    failure: SourceFailure
    detail: str
    again: bool = False
    stale: bool = False
    after: float = 0.0


class FaultError(Exception):
    """An attempt that failed."""

    def __init__(self, fault: Fault) -> None:
        """Say how."""
        super().__init__(fault.detail)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked: where (as it may be shown), through which proxy, and the limits in seconds.

    `known` tells whether credentials went along, `tenant` which tenant.
    """

    where: str
    proxy: str = ""
    connect: float = 0.0
    whole: float = 0.0
    known: bool = False
    tenant: str = ""


def of_error(error: Exception, asked: Asked) -> Fault:
    """Return what an error of a request means, before any answer was there."""
    chain = list(_causes(error))
    if any(isinstance(one, StaleError) for one in chain):
        detail = f"{asked.where} closed an idle connection"
        return Fault(SourceFailure.CONNECT, detail, again=True, stale=True)
    for kind, finder in _FINDERS:
        for one in chain:
            if isinstance(one, kind):
                return finder(one, asked)
    if isinstance(error, requests.exceptions.ConnectionError):
        return _unreachable(error, asked)
    return Fault(SourceFailure.NONSENSE, f"{asked.where} cannot be asked: {_unsendable(error)}")


def of_status(status: int, reason: str, said: bytes, asked: Asked) -> Fault:
    """Return what an answer means that is no good one; `said` is how its body begins."""
    failure = SourceFailure.REFUSED
    if status == 429:
        failure = SourceFailure.THROTTLED
    elif status >= 500:
        failure = SourceFailure.SERVER_ERROR
    elif status == 408:
        failure = SourceFailure.TOO_SLOW
    text = f"{asked.where} answered {status} {_clean(reason)}".rstrip()
    words = _clean(said.decode("utf-8", "replace"))
    if words and "<" not in words[:20]:
        text += f" ({words})"
    return Fault(failure, text + _hint(status, said, asked), again=status in _BUSY)


def of_redirect(status: int, target: str, asked: Asked) -> Fault:
    """Return what a redirect means that is not followed; `target` as it may be shown."""
    text = f"{asked.where} answered {status} and points to {target}"
    if is_login(target, asked):
        return Fault(SourceFailure.REFUSED, f"{text}: a login, as it seems; {_credentials(asked)}")
    return Fault(
        SourceFailure.NONSENSE,
        f"{text}, where our credentials are not sent: if that is the server, make it the `url`",
    )


def is_login(target: str, asked: Asked) -> bool:
    """Whether an address looks like that of a login, and what was asked does not."""
    return bool(_LOGIN.search(target)) and not _LOGIN.search(asked.where)


def of_body(error: Exception, read: int, asked: Asked) -> Fault:
    """Return what an error means that came in the middle of an answer."""
    if isinstance(error, ReadTimeoutError):
        return late(asked)
    detail = f"the answer of {asked.where} broke off after {read} bytes"
    return Fault(SourceFailure.PARTIAL, detail, again=True)


def late(asked: Asked) -> Fault:
    """Return that an answer had begun, and did not end in time."""
    detail = f"{asked.where} had not answered in full within {asked.whole:g} s (`timeout`)"
    return Fault(SourceFailure.TOO_SLOW, detail)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that it is from, the innermost last; what requests says is no cause.

    (Its errors are all `OSError`, and hold what urllib3 or the system said.)
    """
    seen: set[int] = set()
    waiting: list[BaseException] = [error]
    while waiting:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        if not isinstance(one, requests.exceptions.RequestException):
            yield one
        inner = [getattr(one, "reason", None), *one.args, one.__cause__, one.__context__]
        waiting += [other for other in inner if isinstance(other, BaseException)]


def _slow_connect(error: BaseException, asked: Asked) -> Fault:
    """Say which part of connecting took too long."""
    whom = asked.proxy or asked.where
    limit = f"within {asked.connect:g} s (`connect_timeout`)"
    text = f"{whom} could not be connected to {limit}: is a firewall in between?"
    if isinstance(error, NameTimeoutError):
        text = f"no name server said {limit} which address {whom} has"
    elif isinstance(error, HandshakeTimeoutError):
        text = f"{whom} took the connection and did not complete the handshake {limit}"
    return Fault(SourceFailure.TOO_SLOW, text, again=True)


def _slow_answer(_error: BaseException, asked: Asked) -> Fault:
    """Say that not even the answer's beginning came."""
    detail = f"{asked.where} gave no answer within {asked.whole:g} s (`timeout`)"
    return Fault(SourceFailure.TOO_SLOW, detail)


def _untrusted(error: BaseException, asked: Asked) -> Fault:
    """Say what is wrong with the server's certificate."""
    return Fault(SourceFailure.CONNECT, distrust(error, asked.where))


def _tls(error: BaseException, asked: Asked) -> Fault:
    """Say why no TLS came about."""
    text, known = refusal(error, asked.where)
    return Fault(SourceFailure.CONNECT, text, again=not known)


def _unknown_host(error: BaseException, asked: Asked) -> Fault:
    """Say whose name is not known."""
    whom = f"the proxy {asked.proxy}" if asked.proxy else asked.where
    detail = f"no name server knows the host of {whom}: is it spelled so?"
    if isinstance(error, OSError) and error.errno == socket.EAI_AGAIN:
        detail = f"no name server could be asked for the host of {whom}"
    return Fault(SourceFailure.CONNECT, detail, again=True)


def _proxy(error: BaseException, asked: Asked) -> Fault:
    """Say what a proxy did, or that it is not there."""
    whom = f"the proxy {asked.proxy}"
    for one in _causes(error):
        answered = _PROXY_STATUS.search(str(one))
        if answered:
            status = int(answered[1])
            text = f"{whom} answered {status} to a connection with {asked.where}"
            if status in {401, 403, 407}:
                hint = "it wants credentials, or does not allow that host"
                return Fault(SourceFailure.REFUSED, f"{text}: {hint}")
            return Fault(SourceFailure.CONNECT, text, again=status in _BUSY)
    return _unreachable(error, asked)


def _bad_head(error: BaseException, asked: Asked) -> Fault:
    """Say that what answered is no server of HTTP, or has no end."""
    if isinstance(error, http.client.RemoteDisconnected):
        detail = f"{asked.where} closed the connection without an answer{_maybe(asked)}"
        return Fault(SourceFailure.CONNECT, detail, again=True)
    if isinstance(error, http.client.IncompleteRead):
        return Fault(SourceFailure.PARTIAL, f"{asked.where} broke off in its answer", again=True)
    if isinstance(error, http.client.LineTooLong) or "headers" in str(error):
        return Fault(SourceFailure.NONSENSE, f"{asked.where} answered headers without an end")
    detail = f"{asked.where} answered what is no HTTP: is it https:// and not http://?"
    return Fault(SourceFailure.NONSENSE, detail)


def _unreachable(error: BaseException, asked: Asked) -> Fault:
    """Say in the system's words why there is no connection."""
    error = next((one for one in _causes(error) if isinstance(one, OSError)), error)
    words = getattr(error, "strerror", None)
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        words = f"the connection was reset{_maybe(asked)}"
    whom = f"the proxy {asked.proxy}" if asked.proxy else asked.where
    return Fault(SourceFailure.CONNECT, f"{whom}: {words or type(error).__name__}", again=True)


def _maybe(asked: Asked) -> str:
    """Return what a lost connection may come from over TLS."""
    return MAYBE if asked.where.startswith("https:") else ""


_FINDERS = (
    (socket.gaierror, _unknown_host),
    (NewConnectionError, _unreachable),
    (ConnectTimeoutError, _slow_connect),
    (ssl.SSLCertVerificationError, _untrusted),
    (ReadTimeoutError, _slow_answer),
    (ssl.SSLError, _tls),
    (urllib3.exceptions.ProxyError, _proxy),
    (http.client.HTTPException, _bad_head),
    (OSError, _unreachable),
)
"""What to look for among the causes of an error, the most telling first."""


def _hint(status: int, said: bytes, asked: Asked) -> str:
    """Return what a status hints at, with its separator."""
    if status == 400 and _WRONG_SCHEME.search(said):
        return ": is it https:// and not http://?"
    if status == 401 and b"org id" in said.lower():
        return ": declare the `tenant`"
    hints = {
        401: _credentials(asked),
        403: "the credentials are known and may not do that: look at their rights"
        + (f", and at the tenant `{asked.tenant}`" if asked.tenant else ""),
        404: "is the path right, and the base path in `url`?",
        405: "is the path right, and the base path in `url`?",
        407: "the proxy wants credentials",
        429: "it limits how often it is asked: lower `rate_limit`, or raise its limit",
    }
    return f": {hints[status]}" if status in hints else ""


def _credentials(asked: Asked) -> str:
    """Say what to do about credentials."""
    if asked.known:
        return "the credentials were not accepted: look at `auth` and `headers`"
    return "no credentials were sent: declare `auth`"


def _clean(text: str) -> str:
    """Return how a text begins, on one line, without control characters."""
    line = " ".join(text.split())
    return "".join(char for char in line if char.isprintable())[:200]


def _unsendable(error: BaseException) -> str:
    """Say why a request cannot be sent; the words of libraries may repeat a header's value."""
    known = {
        requests.exceptions.InvalidSchema: "it is no address of HTTP, or its proxy is none",
        requests.exceptions.InvalidURL: "its address cannot be read",
        requests.exceptions.MissingSchema: "its address has no http:// or https://",
        requests.exceptions.InvalidProxyURL: "the proxy's address cannot be read",
        requests.exceptions.InvalidHeader: "a header has a line break in it",
        UnicodeError: "a header has characters beyond Latin-1",
    }
    return next((text for kind, text in known.items() if isinstance(error, kind)), "") or str(
        type(error).__name__
    )
