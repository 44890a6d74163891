"""What is asked over HTTP, within which bounds, and what comes back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from validator.sources.pace import moment


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a source allows one question.

    `timeout` is in seconds for all of it, its retries included, `connect` in seconds for each
    connection; `size` is bytes of a decompressed answer; `attempts` how often it is asked at most;
    `rate` how many requests a second the source may get of us.
    """

    timeout: float = 10.0
    size: int = 256 * 1024 * 1024
    attempts: int = 3
    connect: float = 3.0
    rate: float = 20.0


@dataclass(frozen=True, slots=True)
class Call:
    """One request.

    `also` are statuses other than 2xx that the caller reads himself: not every 404 is an error.
    `busy` tells of such a reply that it is no word of the backend, but of what stands before it:
    then it is an error all the same, and asked again like others.
    `until` ends it in any case, by the clock's `monotonic`: what several requests share.
    """

    url: str
    method: str = "GET"
    params: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    also: frozenset[int] = frozenset()
    busy: Callable[[Reply], bool] | None = None
    until: float = math.inf


@dataclass(frozen=True, slots=True)
class Reply:
    """A good answer, read whole; `media` is the content type without its parameters.

    `sent` is when it was asked for, in Unix seconds; `took` how many seconds its head took.
    """

    status: int
    headers: Mapping[str, str]
    media: str
    body: bytes
    sent: float = 0.0
    took: float = 0.0

    @property
    def has_end(self) -> bool:
        """Whether the answer says where it ends: else a lost connection looks like its end."""
        return (
            self.headers.get("Content-Length", "").strip().isdigit()
            or self.headers.get("Transfer-Encoding", "").strip().lower() == "chunked"
            or self.headers.get("Content-Encoding", "identity").strip().lower() != "identity"
        )

    @property
    def clock_bounds(self) -> tuple[float, float] | None:
        """Return the least and the most seconds by which the server's clock may be ahead of ours.

        From its `Date`, which leaves out parts of a second and is of a moment within the `took`
        seconds. None if it does not say, and for what a cache answers.
        """
        date = moment(self.headers.get("Date", ""))
        if date is None or self.headers.get("Age", "0").strip() != "0":
            return None
        return date - (self.sent + self.took), date + 1.0 - self.sent

    @property
    def clock_offset(self) -> float | None:
        """Return by how many seconds the server's clock is ahead of ours, None if unknown.

        Good to half a second and half of `took`.
        """
        bounds = self.clock_bounds
        return None if bounds is None else sum(bounds) / 2
