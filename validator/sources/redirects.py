"""Redirects: followed on the same server alone, since all of our credentials would go along."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from validator.sources import faults
from validator.sources.call import Call
from validator.sources.faults import Asked, FaultError
from validator.sources.session import shown


def redirected(response: requests.Response, call: Call, asked: Asked) -> Call:
    """Return the request to where an answer points, on the same server and with the same method."""
    status = response.status_code
    try:
        target = urljoin(response.url or call.url, response.headers["Location"])
    except ValueError:
        target = "http://["  # what `shown` says of it is that it cannot be read
    same = origin(target) == origin(call.url)
    kept = call.method == "GET" or status in {307, 308}
    if not (same and kept) or faults.is_login(shown(target), asked):
        raise FaultError(faults.of_redirect(status, shown(target), asked))
    return replace(call, url=_with_userinfo(target, call.url), params=())


def _with_userinfo(target: str, url: str) -> str:
    """Return `target` with the userinfo of `url`, if it has none of its own."""
    parts = urlsplit(target)
    userinfo, at, _ = urlsplit(url).netloc.rpartition("@")
    if "@" in parts.netloc or not at:
        return target
    return parts._replace(netloc=f"{userinfo}@{parts.netloc}").geturl()


def origin(url: str) -> tuple[str | None, str | None, int | None]:
    """Return the scheme, host and port of a URL."""
    try:
        parsed = urllib3.util.parse_url(url)
    except urllib3.exceptions.LocationParseError:
        return None, None, None
    default = {"http": 80, "https": 443}.get(parsed.scheme or "")
    return parsed.scheme, (parsed.host or "").lower(), parsed.port or default
