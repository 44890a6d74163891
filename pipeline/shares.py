"""How many jobs may be under way, and how many of them one caller's.

Dynamic thresholds (Choudhury and Hahne, IEEE/ACM Transactions on Networking 6(2), 1998): a caller
may have as many as there are places free. One alone gets half of them, two get a third each, and
there is always room for one more, who need not wait until somebody else's are done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastapi import HTTPException

from pipeline import visit

if TYPE_CHECKING:
    from psycopg_pool import ConnectionPool

DEFAULT: Final = 10_000
_RETRY_SECONDS: Final = 5
_UNDER_WAY: Final = (
    "SELECT count(*), count(*) FILTER (WHERE caller_id = %s) FROM jobs"
    " WHERE status NOT IN ('done', 'failed')"
)


def has_room(mine: int, total: int, places: int) -> bool:
    """Tell whether a caller with so many jobs under way may have one more."""
    return mine < places - total


class Shares:
    """The places for jobs that are under way."""

    def __init__(self, pool: ConnectionPool, places: int) -> None:
        """Count the jobs in the database. Jobs submitted at one moment may be a few too many."""
        self._pool = pool
        self._places = places

    def check(self, caller_id: str) -> None:
        """Raise 429 when there is no room for one more job of the caller."""
        with self._pool.connection() as connection:
            row = connection.execute(_UNDER_WAY, (caller_id,)).fetchone()
        total, mine = row or (0, 0)
        if has_room(mine, total, self._places):
            return
        own = visit.current()
        if own is not None:
            own.limited = True
        what = f"{mine} of your jobs are under way, {total} of all callers': that is your share"
        raise HTTPException(429, what, {"Retry-After": str(_RETRY_SECONDS)})
