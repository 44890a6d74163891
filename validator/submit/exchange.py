"""One request and its whole answer, within a time and a size; every failure is a `SubmitError`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import requests
import urllib3

from validator.errors import SubmitError
from validator.ports import Clock
from validator.submit.session import cut_after, socket_of

MAX_ANSWER = 1024 * 1024
"""Bytes of an answer, unpacked: a job's state is some hundreds."""
_PIECE = 64 * 1024
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it is sent. `what` says in messages where it is configured."""

    what: str
    method: str
    url: str
    headers: Mapping[str, str]
    data: bytes | None
    timeout: float


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, read to its end. `call` is what it answers."""

    call: Call
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def kind(self) -> str:
        """Return the media type, without parameters."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()


class UnreachableError(SubmitError):
    """No answer came: no connection, or it ended, or the time was over."""


class Exchange:
    """Sends calls over a session."""

    def __init__(
        self, session: requests.Session, clock: Clock, redact: Callable[[str], str]
    ) -> None:
        """Use `session`; messages go through `redact`."""
        self._session = session
        self._clock = clock
        self._redact = redact

    def send(self, call: Call) -> Reply:
        """Return the answer, whatever its status; raises `UnreachableError` or `SubmitError`."""
        started = self._clock.monotonic()
        limit = urllib3.Timeout(total=call.timeout, connect=call.timeout, read=call.timeout)
        try:
            with self._session.request(
                call.method,
                call.url,
                headers=dict(call.headers),
                data=call.data,
                timeout=limit,  # type: ignore[arg-type]  # requests passes urllib3's own on
                allow_redirects=False,
                stream=True,
            ) as response:
                left = call.timeout - (self._clock.monotonic() - started)
                body = self._body(call, response, left)
                return Reply(call, response.status_code, response.headers, body)
        except requests.exceptions.Timeout as error:
            raise self._hung(call) from error
        except (requests.exceptions.RequestException, OSError) as error:
            raise UnreachableError(self.line(call, _reason(error))) from error
        except (ValueError, urllib3.exceptions.HTTPError) as error:
            raise SubmitError(self.line(call, f"cannot be sent: {error}")) from error

    def line(self, call: Call, text: str) -> str:
        """Return a message about a call, without secrets."""
        return self._redact(f"{call.what}: {call.method} {call.url} {text}")

    def _body(self, call: Call, response: requests.Response, left: float) -> bytes:
        """Read an answer's body within the time that is left and the size."""
        found = bytearray()
        with cut_after(socket_of(response), left) as cut:
            try:
                for piece in response.iter_content(_PIECE):
                    found += piece
                    if len(found) > MAX_ANSWER:
                        text = f"answered {response.status_code} with more than {MAX_ANSWER} bytes"
                        raise SubmitError(self.line(call, text))
            except requests.exceptions.RequestException as error:
                if cut.done.is_set():
                    raise self._hung(call) from error
                raise
        if cut.done.is_set():
            raise self._hung(call)
        return bytes(found)

    def _hung(self, call: Call) -> UnreachableError:
        """Say that the time is over."""
        return UnreachableError(
            self.line(call, f"did not answer in full within {call.timeout:g} s (timeout)")
        )

    def refusal(self, reply: Reply, credentials: str) -> SubmitError:
        """Say what an unexpected status means; `credentials` names the headers that were sent."""
        call, status = reply.call, reply.status
        said = _said(reply)
        if status in (401, 403):
            text = f"answered {status}: it refuses the credentials; look at {credentials}"
        elif 300 <= status < 400:
            target = reply.headers.get("Location", "nowhere")
            text = (
                f"answered {status}, a redirect to {target}: not followed, since the credentials "
                "would go there; configure the final address"
            )
        elif status == 429:
            wait = reply.headers.get("Retry-After", "")
            text = f"answered 429: too many requests{f'; retry after {wait}' if wait else ''}"
        else:
            text = f"answered {status} {_phrase(status)}".rstrip()
        return SubmitError(self.line(call, text + said))

    def json(self, reply: Reply) -> Any:
        """Return an answer's JSON value; raises `SubmitError`."""
        try:
            return json.loads(reply.body)
        except (ValueError, RecursionError) as error:
            raise SubmitError(self.line(reply.call, _not_json(reply, error))) from error


def _not_json(reply: Reply, error: Exception) -> str:
    """Say in which way an answer is not JSON."""
    status, said = reply.status, _said(reply)
    if not reply.body.strip():
        return f"answered {status} with an empty body where JSON was expected"
    if "html" in reply.kind or reply.body.lstrip()[:1] == b"<":
        return (
            f"answered {status} with a page ({reply.kind or 'no type'}) where JSON was expected; "
            f"is it the address of the API, or does it ask for a log-in?{said}"
        )
    return f"answered {status} with broken JSON ({error}){said}"


def _said(reply: Reply) -> str:
    """Return the beginning of an answer's body, on one line."""
    text = " ".join(reply.body[: 4 * _SHOWN].decode("utf-8", "replace").split())
    shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
    return f": {shown}" if shown else ""


def _phrase(status: int) -> str:
    """Return a status's name."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


_REASONS = (
    (
        "Connection refused",
        "cannot be reached: connection refused; is it running, and is the address right?",
    ),
    ("NameResolutionError", "cannot be reached: its host name cannot be resolved"),
    ("RemoteDisconnected", "closed the connection without an answer"),
    ("Connection aborted", "closed the connection without an answer"),
    ("SSLError", "cannot be reached: TLS failed; is its certificate one that is trusted?"),
    ("InvalidHeader", "cannot be sent: a header holds what a header cannot"),
    ("ChunkedEncodingError", "ended in the middle of its answer"),
)


def _reason(error: Exception) -> str:
    """Say why no answer came, in words for people."""
    name = type(error).__name__
    text = f"{name} {error}"
    return next((words for mark, words in _REASONS if mark in text), f"failed: {name}")
