"""How long to wait before something is tried once more."""

from __future__ import annotations

import random
from typing import Final

_MOST_DOUBLINGS: Final = 60
"""Beyond it the number is that of an outage of centuries, and no float any more."""


def doubled(times: int, first: float, most: float) -> float:
    """Return the seconds after so many failures: `first`, doubled each time, up to `most`."""
    wait: float = first * 2 ** min(times, _MOST_DOUBLINGS)
    return min(most, wait)


def jittered(times: int, first: float, most: float) -> float:
    """Return the same with the jitter that AWS calls equal: many that wait do not come at once.

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    wait = doubled(times, first, most)
    return random.uniform(wait / 2, wait)  # noqa: S311 - no secret
