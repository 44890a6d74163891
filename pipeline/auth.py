"""Who calls: an X-API-Key, checked by Membership and cached in Redis for 60 seconds."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

import httpx
from fastapi import HTTPException
from redis.exceptions import RedisError

if TYPE_CHECKING:
    from redis import Redis

CACHE_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose key it is and what it may do."""

    caller_id: str
    role: str
    may_mark: bool

    @property
    def is_service(self) -> bool:
        """Whether the key is one of the pipeline's own services."""
        return self.role == "service"


class Authenticator:
    """Knows callers by their keys."""

    def __init__(self, cache: Redis, client: httpx.Client, membership_url: str) -> None:
        """Ask Membership through the client, and remember its answers in the cache."""
        self._cache = cache
        self._client = client
        self._url = f"{membership_url}/verify"

    def caller(self, key: str | None) -> Caller:
        """Return whose key it is; 401 for a key that is nobody's, 503 when none can say."""
        if not key:
            raise HTTPException(401, "the header X-API-Key is missing")
        name = f"auth:{hashlib.sha256(key.encode()).hexdigest()}"
        known = self._cached(name)
        if known is not None:
            return known
        found = self._ask(key)
        self._remember(name, found)
        return found

    def service(self, key: str | None) -> Caller:
        """Return the calling service; 403 for anybody else."""
        found = self.caller(key)
        if not found.is_service:
            raise HTTPException(403, "only the pipeline's own services may call this")
        return found

    def may_mark(self, key: str | None) -> bool:
        """Tell whether the key's owner may mark traffic as synthetic."""
        try:
            return self.caller(key).may_mark
        except HTTPException:
            return False

    def _ask(self, key: str) -> Caller:
        try:
            answer = self._client.get(self._url, headers={"X-API-Key": key})
        except httpx.HTTPError as error:
            raise HTTPException(503, "Membership cannot be asked") from error
        if answer.status_code == 401:
            raise HTTPException(401, "the key is nobody's")
        if answer.status_code != 200:
            raise HTTPException(503, f"Membership answered {answer.status_code}")
        return Caller(**answer.json())

    def _cached(self, name: str) -> Caller | None:
        try:
            text = self._cache.get(name)
        except RedisError:
            return None
        return Caller(**json.loads(text)) if isinstance(text, str | bytes) else None

    def _remember(self, name: str, caller: Caller) -> None:
        try:
            self._cache.set(name, json.dumps(asdict(caller)), ex=CACHE_SECONDS)
        except RedisError:
            return
