"""The addresses of pages: one spelling for each, and a clear word for those that are refused.

The origin is normalised by the library. Path and query are not: url-normalize merges `//`, decodes
reserved characters and composes Unicode, and each of them may make another page of it
(docs/decisions/0010).
"""

from __future__ import annotations

import re
import socket
import unicodedata
from ipaddress import IPv6Address
from typing import Final
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from url_normalize import url_normalize

LONGEST: Final = 2048
SCHEMES: Final = ("http", "https")
_UNRESERVED: Final = frozenset(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"  # RFC 3986 §2.3
)
_IN_PATH: Final = "/:@!$&'()*+,;=%"
_IN_QUERY: Final = f"{_IN_PATH}?"
_ESCAPE: Final = re.compile(r"%([0-9A-Fa-f]{2})?")
_LABEL: Final = re.compile(r"[a-z0-9_-]{1,63}")
_DOTS: Final = str.maketrans(dict.fromkeys("\u3002\uff0e\uff61", "."))
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")


def normalised(url: str) -> str:
    """Return the one spelling of a page's address; ValueError says what is wrong with it.

    No message repeats the address: it may hold a password.
    """
    url = url.strip(" ")
    if len(url) > LONGEST:
        raise ValueError(f"the URL has {len(url)} characters: at most {LONGEST} are allowed")
    _refuse_characters(url)
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("the URL's host is none: its brackets or characters are wrong") from None
    _refuse_parts(parts)
    path, query = _path(parts.path), _escaped(parts.query, _IN_QUERY)
    found = f"{_origin(parts)}{path}{'?' if query else ''}{query}"
    if len(found) > LONGEST:
        raise ValueError(
            f"the URL has {len(found)} characters once escaped: at most {LONGEST} are allowed"
        )
    return found


def joined(base: str, reference: str) -> str:
    """Return where a page at `base` leads with a reference, normalised."""
    try:
        url = urljoin(base, reference)
    except ValueError:
        raise ValueError("the URL's host is none: its brackets or characters are wrong") from None
    return normalised(url)


def origin(url: str) -> str:
    """Return the scheme, host and port of a normalised address."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _refuse_characters(url: str) -> None:
    for at, char in enumerate(url):
        kind = unicodedata.category(char)
        if kind == "Cc":
            raise ValueError(f"the URL has a control character (U+{ord(char):04X}) at {at}")
        if kind == "Cs":
            raise ValueError(f"the URL has half a surrogate pair (U+{ord(char):04X}) at {at}")


def _refuse_parts(parts: SplitResult) -> None:
    known = " and ".join(f"{scheme}://" for scheme in SCHEMES)
    if not parts.scheme:
        raise ValueError(f"the URL has no scheme: {known} are fetched")
    if parts.scheme not in SCHEMES:
        raise ValueError(f"{parts.scheme[:20]}: is not fetched: {known} are")
    if "@" in parts.netloc:
        raise ValueError("the URL holds credentials (before the @): take them out")
    if not parts.hostname:
        raise ValueError("the URL has no host")
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError("the URL's port is none: ports go from 1 to 65535")


def _origin(parts: SplitResult) -> str:
    host = _host(str(parts.hostname))
    port = "" if parts.port is None else f":{parts.port}"
    return str(url_normalize(f"{parts.scheme}://{host}{port}/")).removesuffix("/")


def _host(host: str) -> str:
    """Return a host's one spelling: punycode for names, dotted decimals for IPv4, brackets."""
    if ":" in host:
        try:
            return f"[{IPv6Address(host.replace('%', 'zone'))}]"  # zones are of one machine only
        except ValueError:
            raise ValueError("the URL's host is no IPv6 address") from None
    dotted = host.translate(_DOTS)
    if dotted.startswith(".") or ".." in dotted:  # the library would leave such a dot out
        raise ValueError("the URL's host has an empty label")
    try:
        name = str(urlsplit(str(url_normalize(f"http://{host}/"))).hostname)
    except ValueError:  # of idna
        raise ValueError("the URL's host is no name: IDNA has no spelling for it") from None
    labels = name.split(".")
    if len(name) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError("the URL's host is no name: labels of letters, digits and - with dots")
    return _dotted(name) if _NUMBER.fullmatch(labels[-1]) else name


def _dotted(host: str) -> str:
    """Return the IPv4 address that browsers and resolvers read in `0x7f.1` or `2130706433`."""
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        raise ValueError("the URL's host ends in a number and is no IPv4 address") from None


def _path(path: str) -> str:
    """Return a path without dot segments (RFC 3986 §5.2.4); empty segments mean something."""
    kept: list[str] = []
    segments = _escaped(path, _IN_PATH).split("/")[1:]
    for at, segment in enumerate(segments):
        if segment not in {".", ".."}:
            kept.append(segment)
            continue
        if segment == ".." and kept:
            kept.pop()
        if at == len(segments) - 1:
            kept.append("")
    return f"/{'/'.join(kept)}"


def _escaped(text: str, allowed: str) -> str:
    """Return a text with escapes where they are needed, and in one spelling (RFC 3986 §6.2.2)."""
    return quote(_ESCAPE.sub(_escape, text), safe=allowed)


def _escape(match: re.Match[str]) -> str:
    if match[1] is None:
        return "%25"
    char = chr(int(match[1], 16))
    return char if char in _UNRESERVED else match[0].upper()
