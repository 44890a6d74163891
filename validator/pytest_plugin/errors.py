"""How a test learns that it failed, and that nothing can be said.

    AssertionError
    ├── NotSeen         telemetry that should be there is not: the sources were asked in full
    └── JobFailed       the job was refused, did not end, or did not end as it should
    Inconclusive        a source or the target could not be asked: neither a pass nor a failure

pytest has no third outcome: an inconclusive test is failed, in words that begin so.
"""

from __future__ import annotations


class NotSeen(AssertionError):  # noqa: N818 - reads as what it says
    """Complete evidence of a job lacks what was asked for."""


class JobFailed(AssertionError):  # noqa: N818 - likewise
    """The job itself did not go as it should."""


class Inconclusive(Exception):  # noqa: N818 - no error of the target, and of the test neither
    """What was asked could not be found out; its message begins with `inconclusive: `."""

    def __init__(self, why: str) -> None:
        """Say why nothing can be said."""
        super().__init__(f"inconclusive: {why}")
