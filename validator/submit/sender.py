"""The requests of a target's configuration, filled in for a run and sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import jmespath
import requests

from validator.config_targets import Request, TargetSettings
from validator.errors import ConfigError, SubmitError
from validator.ports import Clock, Mark
from validator.submit.exchange import Call, Exchange, Reply
from validator.templates import Context, UnboundTemplate, render, render_text, render_url


@dataclass(frozen=True, slots=True)
class Means:
    """What a submitter works with; `redact` blanks out the configuration's secrets."""

    session: requests.Session
    clock: Clock
    redact: Callable[[str], str]


class Sender:
    """Fills the requests of one target in and sends them."""

    def __init__(self, target: TargetSettings, means: Means) -> None:
        """Send what `target` says, over the session of `means`."""
        self._target = target
        self._means = means
        self.exchange = Exchange(means.session, means.clock, means.redact)

    def send(self, request: Request, at: str, names: Context, mark: Mark) -> Reply:
        """Send a request once and return its answer, if that is one that is expected."""
        reply = self.exchange.send(self.call(request, at, names, mark, traced=True))
        self.accept(reply, request, at)
        return reply

    def call(self, request: Request, at: str, names: Context, mark: Mark, *, traced: bool) -> Call:
        """Return a request with its templates rendered and the run's mark set."""
        try:
            url = render_url(request.url, names)
            data, kind = _payload(request, names)
            headers = {"Content-Type": kind} if kind else {}
            for name, secret in request.headers.items():
                _put(headers, name, render_text(secret.get_secret_value(), names))
        except (UnboundTemplate, ConfigError) as error:
            raise SubmitError(self._means.redact(f"{at}: cannot be sent: {error}")) from error
        if traced and mark.traceparent and self._target.trace_context != "none":
            _put(headers, "traceparent", mark.traceparent)
        if mark.baggage and self._target.baggage:
            _put(headers, "baggage", mark.baggage)
        return Call(at, request.method, url, headers, data, request.timeout)

    def accept(self, reply: Reply, request: Request, at: str) -> None:
        """Raise `SubmitError` for a status that is not expected."""
        good = reply.status in request.expect if request.expect else 200 <= reply.status < 300
        if not good:
            sent = ", ".join(request.headers)
            look = f"the header {sent} ({at}.headers)" if sent else f"{at}.headers: none is sent"
            raise self.exchange.refusal(reply, look)


def _payload(request: Request, names: Context) -> tuple[bytes | None, str]:
    """Return a request's body and its media type."""
    if request.body is not None:
        value = render(request.body, names)
        return json.dumps(value, ensure_ascii=False).encode(), "application/json"
    if request.form is not None:
        pairs = {key: render_text(value, names) for key, value in request.form.items()}
        return urlencode(pairs).encode(), "application/x-www-form-urlencoded"
    if request.text is not None:
        return render_text(request.text, names).encode(), "text/plain; charset=utf-8"
    return None, ""


def _put(headers: dict[str, str], name: str, value: str) -> None:
    """Set a header; its name is the same in any case of letters."""
    for other in [key for key in headers if key.lower() == name.lower()]:
        del headers[other]
    headers[name] = value


def search(path: str, answer: Any) -> Any:
    """Return what a JMESPath finds, None for nothing (also where it does not fit the answer)."""
    try:
        return jmespath.search(path, answer)
    except jmespath.exceptions.JMESPathError:
        return None
