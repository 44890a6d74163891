"""The API of a backend: what it refuses, in its own words, and what did not come from it at all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from validator.errors import SourceError, SourceFailure
from validator.sources.http import Call, Http, Reply, shown

_ALSO = frozenset({400, 401, 403, 404, 422})
"""Statuses whose text says what is wrong."""
_LONGEST = 200
"""Characters of a text that are told."""


@dataclass(frozen=True, slots=True)
class Api:
    """Asks a `product` at `url` (without a slash at its end)."""

    http: Http
    url: str
    product: str

    def ask(
        self,
        path: str,
        params: tuple[tuple[str, str], ...] = (),
        headers: Mapping[str, str] | None = None,
        *,
        until: float = math.inf,
        also: frozenset[int] = frozenset(),
    ) -> Reply:
        """Return a good answer, or one of 400, 401, 403, 404, 422; others raise `SourceError`.

        With 200 among `also` a web page is an answer too, for the caller to judge.
        """
        also |= _ALSO
        call = Call(self.url + path, params=params, headers=headers or {}, also=also, until=until)
        return self.http.call(call)

    def expect_good(self, reply: Reply) -> Reply:
        """Return a good answer; raise if it is none, with what to do where that is known."""
        if reply.status < 300:
            return reply
        said = _said(reply)
        detail = f"{shown(self.url)} answered {reply.status}{said}"
        failure = SourceFailure.TOO_LARGE if reply.status == 422 else SourceFailure.REFUSED
        if "org id" in said or "tenant" in said:
            detail += ": it has tenants, so declare which is meant (`tenant`)"
        elif reply.status == 404:
            detail += f": is it a {self.product}, and is the base path of `url` right?"
        elif reply.status in {401, 403}:
            detail += ": are the credentials (`auth`, `tenant`) those of this server?"
        raise self.http.error(failure, detail)

    def nonsense(self, what: str) -> SourceError:
        """Return the error that an answer is not the product's."""
        detail = f"{shown(self.url)} {what}: is it a {self.product}, and is a login before it?"
        return self.http.error(SourceFailure.NONSENSE, detail)


def named(media: str) -> str:
    """Return a content type for a message."""
    return media or "something without a type"


def _said(reply: Reply) -> str:
    """Return what a server said of an error, if that is one line of plain text."""
    if reply.media != "text/plain":
        return ""
    text = reply.body[:_LONGEST].decode(errors="replace").strip()
    return f" ({text})" if text and text.isprintable() else ""
