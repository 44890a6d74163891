"""Why a page could not be had: the codes that jobs and callers are told, and whether to try again.

A FetchError is permanent or transient; of the transient ones some have timed out.
"""

from __future__ import annotations

from typing import Final

CODES: Final = {
    "invalid_url": "the page's address, or that of a redirect, is none that is fetched",
    "address_refused": "its host has an address that is not public",
    "dns": "its host has no address (permanent), or the resolver cannot say (transient)",
    "unreachable": "no connection, or one that was closed before the answer was whole",
    "timeout": "it took too long",
    "tls": "no trusted connection: the certificate, or the protocol",
    "protocol": "what answered is no HTTP",
    "robots_denied": "its robots.txt keeps us out",
    "robots_unreachable": "its robots.txt cannot be had, which RFC 9309 takes for a no",
    "too_many_redirects": "it leads from page to page",
    "too_large": "it is larger than the limit",
    "unsupported_content_type": "it is neither HTML nor plain text",
    "unsupported_content_encoding": "it is compressed in a way that was not asked for",
    "unreadable": "its HTML takes too long to read, or too much memory",
    "time_limit": "the worker's limit for a task was over before it was had and read",
}
"""Every code but `http_NNN`, which is the status of the answer."""


class FetchError(Exception):
    """A page that could not be had."""

    def __init__(self, code: str, message: str) -> None:
        """Keep the code by which the job's error is known."""
        super().__init__(message)
        self.code = code
        self.asked = False
        """Whether the server had been asked: what goes wrong before that is no page's own."""

    @property
    def label(self) -> str:
        """The code as a metric's label: statuses are told apart by their first digit only."""
        return f"{self.code[:6]}xx" if self.code.startswith("http_") else self.code


class TransientError(FetchError):
    """It may be had later."""


class TimedOutError(TransientError):
    """It may be had by who has more time."""


class PermanentError(FetchError):
    """It will not be had."""
