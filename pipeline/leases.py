"""Leases: whose turn it is, decided by one statement in PostgreSQL and by its clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg_pool import ConnectionPool

_ASKED = "clock_timestamp() + %(seconds)s * interval '1 second'"
_TAKE = (
    "INSERT INTO leases (name, holder, expires_at)"  # noqa: S608 - a constant
    f" VALUES (%(name)s, %(holder)s, {_ASKED})"
    f" ON CONFLICT (name) DO UPDATE SET holder = EXCLUDED.holder, expires_at = {_ASKED}"
    " WHERE leases.holder = EXCLUDED.holder OR leases.expires_at <= clock_timestamp()"
)
_RENEW = (
    f"UPDATE leases SET expires_at = {_ASKED}"  # noqa: S608 - a constant
    " WHERE name = %(name)s AND holder = %(holder)s AND expires_at > clock_timestamp()"
)
_RELEASE = (
    "DELETE FROM leases"
    " WHERE name = %(name)s AND holder = %(holder)s AND expires_at > clock_timestamp()"
)
_LOOK = (
    "SELECT holder, extract(epoch FROM expires_at - clock_timestamp())::float8 FROM leases"
    " WHERE name = %(name)s AND expires_at > clock_timestamp()"
)


@dataclass(frozen=True, slots=True)
class Held:
    """Whether what was asked was done, and who has the lease now, for how many seconds more."""

    done: bool
    holder: str | None
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return it as the API answers it."""
        return {"holder": self.holder, "expires_in": round(self.seconds, 3)}


class Leases:
    """The table of leases; each method is one transaction."""

    def __init__(self, pool: ConnectionPool) -> None:
        """Use the pool's connections."""
        self._pool = pool

    def take(self, name: str, holder: str, seconds: float) -> Held:
        """Take a lease that is free or has run out; that of the holder itself is renewed."""
        return self._change(_TAKE, name, holder, seconds)

    def renew(self, name: str, holder: str, seconds: float) -> Held:
        """Renew a lease that the holder has had without a gap; one that ran out is not renewed."""
        return self._change(_RENEW, name, holder, seconds)

    def release(self, name: str, holder: str) -> Held:
        """Give a lease back, if the holder still has it."""
        return self._change(_RELEASE, name, holder, 0)

    def _change(self, statement: str, name: str, holder: str, seconds: float) -> Held:
        values = {"name": name, "holder": holder, "seconds": seconds}
        with self._pool.connection() as connection:
            done = connection.execute(statement.encode(), values).rowcount == 1
            return _looked(connection, values, done=done)


def _looked(connection: Connection[Any], values: dict[str, Any], *, done: bool) -> Held:
    row = connection.execute(_LOOK.encode(), values).fetchone()
    return Held(done, *row) if row else Held(done, None, 0.0)
