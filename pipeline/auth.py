"""Who calls: an X-API-Key, checked by Membership and cached in Redis for 60 seconds.

Keys are known by their hash alone: none is stored, and none is logged.
"""

from __future__ import annotations

import hashlib
import math
import re
import time
from typing import TYPE_CHECKING, Final, Literal

import httpx
from fastapi import HTTPException
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline import visit
from pipeline.breaker import OpenError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.breaker import Breaker
    from pipeline.cache import Cache

CACHE_SECONDS: Final = 60.0
"""How old an answer of Membership may be: a key that was revoked before is refused."""
MEMBERSHIP_SECONDS: Final = 2.0
_MOST_BYTES: Final = 65_536
_KEY: Final = re.compile(r"[\x21-\x7e]{1,512}")


class CallerContext(BaseModel):
    """Whose key it is and what it may do, as Membership answers it."""

    model_config = ConfigDict(frozen=True, strict=True)

    caller_id: str = Field(min_length=1, max_length=200)
    role: Literal["user", "validator", "service"]
    may_mark: bool

    @property
    def is_service(self) -> bool:
        """Whether the key is one of the pipeline's own services."""
        return self.role == "service"


class MembershipError(Exception):
    """Membership cannot be asked, or answers what cannot be understood."""


class _Known(BaseModel):
    """A caller as the cache has it; `at` is the time of Membership's answer, in Unix seconds."""

    caller: CallerContext
    at: float = Field(allow_inf_nan=False)


class Membership:
    """Asks Membership whose a key is, unless it has failed again and again."""

    def __init__(self, client: httpx.Client, url: str, breaker: Breaker) -> None:
        """Ask at the base URL, through the client and the breaker."""
        self._client = client
        self._url = f"{url}/verify"
        self._breaker = breaker

    def whose(self, key: str) -> CallerContext:
        """Return whose key it is; 401 for a key that is nobody's, 503 when none can say."""
        try:
            with self._breaker.call(MembershipError):
                return self._ask(key)
        except OpenError as error:
            wait = {"Retry-After": str(max(1, math.ceil(error.seconds)))}
            raise HTTPException(503, "Membership is not asked for a while", wait) from error
        except MembershipError as error:
            raise HTTPException(503, f"Membership cannot be asked: {error}") from error

    def _ask(self, key: str) -> CallerContext:
        given = {"X-API-Key": key}
        try:
            with self._client.stream(
                "GET", self._url, headers=given, timeout=MEMBERSHIP_SECONDS
            ) as answer:
                status, body = answer.status_code, _read(answer)
        except (httpx.HTTPError, ValueError) as error:
            raise MembershipError(type(error).__name__) from error
        if status == 401:
            raise HTTPException(401, "the key is nobody's")
        if status != 200:
            raise MembershipError(f"it answered {status}")
        try:
            return CallerContext.model_validate_json(body)
        except ValidationError as error:
            raise MembershipError("it answered what is no caller") from error


class Authenticator:
    """Knows callers by their keys."""

    def __init__(
        self,
        cache: Cache,
        membership: Membership,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Ask Membership, and remember its answers in the cache; the clock gives Unix seconds."""
        self._cache = cache
        self._membership = membership
        self._clock = clock

    def caller(self, key: str | None) -> CallerContext:
        """Return whose key it is; 401 for a key that is nobody's, 503 when none can say.

        Found out once for a request: its gate has asked before its endpoint does.
        """
        own = visit.current()
        if own is None:
            return self._found(key)
        if own.key != key or (own.caller is None and own.refused is None):
            own.key, own.caller, own.refused = key, None, None
            try:
                own.caller = self._found(key)
            except HTTPException as error:
                own.refused = error
        if own.caller is None:
            raise own.refused or HTTPException(401)
        return own.caller

    def service(self, key: str | None) -> CallerContext:
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

    def _found(self, key: str | None) -> CallerContext:
        if not key:
            raise HTTPException(401, "the header X-API-Key is missing")
        if not _KEY.fullmatch(key):  # which could not be sent on
            raise HTTPException(401, "the key is nobody's")
        name = f"auth:{fingerprint(key)}"
        begun = time.perf_counter()
        known = self._cached(name)
        if known is not None:
            _note("hit", begun)
            return known
        # Before it is asked: the answer is not younger than the question.
        at = self._clock()
        found = self._membership.whose(key)
        kept = _Known(caller=found, at=at).model_dump_json().encode()
        self._cache.put(name, kept, CACHE_SECONDS)
        _note("miss", begun)
        return found

    def _cached(self, name: str) -> CallerContext | None:
        text = self._cache.get(name)
        if text is None:
            return None
        try:
            known = _Known.model_validate_json(text)
        except ValidationError:
            return None
        # Of an age that is absolute: being asked for does not make it younger. One from the
        # future is of a clock that was put back.
        return known.caller if 0 <= self._clock() - known.at < CACHE_SECONDS else None


def _note(cache: str, begun: float) -> None:
    """Have the access log tell how long it took: whose traffic it is, is not known yet."""
    own = visit.current()
    if own is not None:
        own.auth = cache, time.perf_counter() - begun


def fingerprint(key: str) -> str:
    """Return the hash that stands for a key wherever it is kept."""
    return hashlib.sha256(key.encode()).hexdigest()


def _read(answer: httpx.Response) -> bytes:
    found = b""
    for part in answer.iter_bytes():
        found += part
        if len(found) > _MOST_BYTES:
            raise ValueError(f"the answer has more than {_MOST_BYTES} bytes")
    return found
