"""What is secret of what a session sends, and texts without it."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

BLANK = "[redacted]"

_SHORTEST = 4
"""Blanking out shorter values would tear words apart."""
_SECRET_NAME = re.compile(r"key|token|secret|pass|auth|credential|sig", re.IGNORECASE)
_REMEMBERED = 256
"""So many secrets are known at once: whom a server redirects may be given ever new ones."""


class Sent:
    """The secrets that were sent, as far as they are not declared. Any thread may call it."""

    def __init__(self) -> None:
        """Know of none yet."""
        self._lock = threading.Lock()
        self._known: OrderedDict[str, None] = OrderedDict()

    def remember(self, secrets: Iterable[str]) -> None:
        """Have them blanked out from now on."""
        with self._lock:
            for secret in secrets:
                self._known[secret] = None
                self._known.move_to_end(secret)
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)

    def known(self) -> set[str]:
        """Return those that are remembered."""
        with self._lock:
            return set(self._known)


def without(secrets: Iterable[str], text: str) -> str:
    """Return `text` without any of these, in every form in which it may be repeated.

    So are the first characters of one at the text's end: it may have been cut there.
    """
    forms = sorted({form for one in secrets for form in _forms(one)}, key=len, reverse=True)
    forms = [form for form in forms if len(form) >= _SHORTEST]
    for form in forms:
        text = text.replace(form, BLANK)
    begun = max((_begun(form, text) for form in forms), default=0)
    return text[:-begun] + BLANK if begun else text


def of_url(url: str) -> Iterator[str]:
    """Yield the secrets of a URL: of its userinfo, and what of its query may be one.

    What cannot be read is one as a whole.
    """
    try:
        parts = urlsplit(url if "://" in url else f"//{url}")
    except ValueError:
        yield url
        return
    userinfo = parts.netloc.rpartition("@")[0]
    if userinfo:
        yield userinfo
        name, _, password = userinfo.partition(":")
        yield password or name
        yield from of_basic(unquote(name), unquote(password))
    for key, value in parse_qsl(parts.query):
        if _SECRET_NAME.search(key) or (len(value) >= 8 and not value.isalpha()):
            yield value


def of_header(value: str) -> Iterator[str]:
    """Yield a header's value, its last word, and the name and password that this may stand for."""
    scheme, _, word = value.rpartition(" ")
    yield value
    yield word
    if scheme.lower() == "basic":
        with contextlib.suppress(ValueError):
            userinfo = base64.b64decode(word, validate=True).decode("latin-1")
            yield userinfo
            yield userinfo.partition(":")[2]


def of_basic(name: str, password: str) -> Iterator[str]:
    """Yield a password, and the way in which it is sent."""
    yield password
    yield base64.b64encode(f"{name}:{password}".encode()).decode()
    yield base64.b64encode(f"{name}:{password}".encode("latin-1", "replace")).decode()


def _forms(secret: str) -> Iterator[str]:
    """Yield a secret as a server, a proxy or Python may repeat it; in JSON as Go writes it too."""
    yield secret
    yield quote(secret, safe="")
    yield quote_plus(secret)
    yield json.dumps(secret)[1:-1]
    escaped = json.dumps(secret, ensure_ascii=False)[1:-1]
    yield escaped
    yield re.sub("[&<>]", lambda match: f"\\u{ord(match[0]):04x}", escaped)


def _begun(form: str, text: str) -> int:
    """Return how many first characters of `form` stand at the end of `text`; 0 for too few."""
    for length in range(len(form) - 1, _SHORTEST - 1, -1):
        if text.endswith(form[:length]):
            return length
    return 0
