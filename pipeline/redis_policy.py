"""Whether a Redis keeps what it is given: one that evicts loses tasks and forgets limits."""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING, Final

from opentelemetry.instrumentation.utils import suppress_instrumentation
from redis import Redis
from redis.exceptions import ConnectionError as NotConnectedError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as TooSlowError

if TYPE_CHECKING:
    from pipeline.settings import Settings

WANTED: Final = "noeviction"
_SECONDS: Final = 5.0
_STEP: Final = 0.1
_NAME: Final = "maxmemory-policy"


class EvictingRedisError(LookupError):
    """A Redis may evict keys, or does not say whether; the message tells how to mend it."""


def require(settings: Settings, variable: str) -> None:
    """Refuse to run with a Redis that may evict; one that is just starting is waited for."""
    url = settings.need(variable)
    client = Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2)
    where = f"{variable} ({_without_password(client)})"
    try:
        with suppress_instrumentation():
            policy = _waited_for(client)
    except (NotConnectedError, TooSlowError, ResponseError) as error:
        raise EvictingRedisError(
            f"{settings.name} cannot see whether the Redis of {where} evicts keys: {error};"
            f" it has to answer CONFIG GET {_NAME} or INFO memory"
        ) from error
    finally:
        client.close()
    if policy != WANTED:
        raise EvictingRedisError(
            f"{settings.name} does not run with the Redis of {where}: its {_NAME} is {policy}, so"
            f" that it drops what it was given when it is full. Mend it with"
            f" `redis-cli CONFIG SET {_NAME} {WANTED}`, and in its configuration"
        )


def policy_of(client: Redis) -> str:
    """Return the policy; where CONFIG is forbidden, as hosted servers have it, INFO tells."""
    try:
        found = client.config_get(_NAME)
    except ResponseError:
        found = {}
    value = found.get(_NAME) or client.info("memory").get("maxmemory_policy")
    if value is None:
        raise ResponseError("neither tells")
    return value.decode() if isinstance(value, bytes) else str(value)


def _waited_for(client: Redis) -> str:
    until = time.monotonic() + _SECONDS
    while True:
        try:
            return policy_of(client)
        except (NotConnectedError, TooSlowError):
            if time.monotonic() > until:
                raise
            select.select([], [], [], _STEP)


def _without_password(client: Redis) -> str:
    known = client.connection_pool.connection_kwargs
    return f"{known.get('host', known.get('path', '?'))}:{known.get('port', '')}".rstrip(":")
