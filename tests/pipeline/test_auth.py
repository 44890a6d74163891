"""Who calls: what Membership says is believed for sixty seconds, and no longer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from fastapi import HTTPException
from redis import Redis
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from structlog.testing import capture_logs

from pipeline import visit
from pipeline.auth import Authenticator, CallerContext, Membership, fingerprint
from pipeline.breaker import Breaker, Limits, State
from pipeline.cache import Cache
from pipeline.services import stubs
from pipeline.settings import Settings
from tests.pipeline import servers
from tests.pipeline.clock import Clock
from tests.pipeline.local import served

if TYPE_CHECKING:
    from starlette.requests import Request

pytestmark = pytest.mark.req("P-04")

KEYS = {
    "PIPELINE_USER_KEY": "user-key",
    "PIPELINE_VALIDATOR_KEY": "validator-key",
    "PIPELINE_SERVICE_KEY": "service-key",
}


class Unwell:
    """A Membership that answers what it is told to, and counts how often it is asked."""

    def __init__(self) -> None:
        """Begin with a failure."""
        self.answer: Response = PlainTextResponse("out of order", 500)
        self.asked = 0

    async def verify(self, _request: Request) -> Response:
        """Answer."""
        self.asked += 1
        return self.answer


@pytest.fixture
def clock() -> Clock:
    """Return the time of the authenticator and the breaker."""
    return Clock()


@pytest.fixture(scope="module")
def membership() -> Iterator[str]:
    """Return the URL of the stub."""
    with served(stubs.membership(Settings("membership", KEYS))) as url:
        yield url


class Asking:
    """An authenticator, and what is around it."""

    def __init__(self, redis: Redis, url: str, clock: Clock) -> None:
        """Ask at the URL."""
        self.client = httpx.Client(trust_env=False)
        self.breaker = Breaker("membership", Limits(5, 30), clock=clock)
        self.redis = redis
        cache = Cache(redis, Breaker("cache", clock=clock))
        membership = Membership(self.client, url, self.breaker)
        self.auth = Authenticator(cache, membership, clock)

    def status(self, key: str | None) -> int:
        """Return 200 for a key that is somebody's, or the status of the refusal."""
        try:
            self.auth.caller(key)
        except HTTPException as error:
            return error.status_code
        return 200


@pytest.fixture
def asking(redis: Redis, membership: str, clock: Clock) -> Iterator[Asking]:
    """Return an authenticator that asks the stub."""
    found = Asking(redis, membership, clock)
    yield found
    found.client.close()


@pytest.fixture
def unwell() -> Unwell:
    """Return a Membership that is out of order."""
    return Unwell()


@pytest.fixture
def refused(redis: Redis, unwell: Unwell, clock: Clock) -> Iterator[Asking]:
    """Return an authenticator that asks the one that is out of order."""
    with served(Starlette(routes=[Route("/verify", unwell.verify)])) as url:
        found = Asking(redis, url, clock)
        yield found
        found.client.close()


def _verified(url: str) -> int:
    answer: dict[str, int] = httpx.get(f"{url}/seen").json()
    return answer["verified"]


def _change(url: str, method: str, **given: Any) -> None:
    httpx.request(method, f"{url}/keys", json=given).raise_for_status()


@pytest.mark.parametrize(
    ("key", "caller_id", "role", "may_mark"),
    [
        ("user-key", "user", "user", False),
        ("validator-key", "obs-validator", "validator", True),
        ("service-key", "pipeline", "service", True),
    ],
)
def test_a_key_gives_the_whole_context(
    asking: Asking, key: str, caller_id: str, role: str, may_mark: bool
) -> None:
    """Every field is Membership's, the first time and from the cache."""
    for _ in range(2):
        found = asking.auth.caller(key)
        assert (found.caller_id, found.role, found.may_mark) == (caller_id, role, may_mark)
        assert found.is_service is (role == "service")


@pytest.mark.parametrize("key", [None, "", "nobody", "two words", "schlüssel", "k" * 513, "a\nb"])
def test_what_is_nobodys_key_is_401(asking: Asking, key: str | None) -> None:
    """However it is written; and none of it counts as a failure of Membership."""
    for _ in range(6):
        assert asking.status(key) == 401
    assert asking.breaker.state is State.CLOSED


def test_membership_is_asked_once_a_minute(asking: Asking, membership: str, clock: Clock) -> None:
    """Within sixty seconds the cache answers; being asked does not make it younger."""
    before = _verified(membership)
    for _ in range(6):
        assert asking.status("user-key") == 200
        clock.now += 9.9
    assert _verified(membership) == before + 1
    clock.now += 0.6
    assert asking.status("user-key") == 200
    assert _verified(membership) == before + 2


def test_a_revoked_key_is_refused_after_sixty_seconds(
    asking: Asking, membership: str, clock: Clock
) -> None:
    """The moved clock proves the bound: 59.9 s after it is still taken, at 60 it is not."""
    _change(membership, "POST", key="short-lived", caller_id="c", role="user", may_mark=False)
    assert asking.status("short-lived") == 200
    _change(membership, "DELETE", key="short-lived")
    clock.now += 59.9
    assert asking.status("short-lived") == 200
    clock.now += 0.1
    assert asking.status("short-lived") == 401


def test_an_entry_from_the_future_is_not_believed(
    asking: Asking, membership: str, clock: Clock
) -> None:
    """A clock that was put back does not lengthen the minute."""
    assert asking.status("user-key") == 200
    before = _verified(membership)
    clock.now -= 3600
    assert asking.status("user-key") == 200
    assert _verified(membership) == before + 1


def test_keys_are_kept_as_hashes_and_for_a_minute(asking: Asking) -> None:
    """Redis has the hash of a key, never the key, and forgets it by itself."""
    asking.auth.caller("user-key")
    (name,) = asking.redis.keys("*")
    assert name == f"auth:{fingerprint('user-key')}".encode()
    assert "user-key" not in str(asking.redis.get(name))
    assert 59 <= asking.redis.ttl(name) <= 60


def test_no_key_is_logged(refused: Asking) -> None:
    """Whatever goes wrong, the key is in no log line and in no answer."""
    with capture_logs() as lines:
        for _ in range(6):
            with pytest.raises(HTTPException) as error:
                refused.auth.caller("a-secret-key")
    assert "a-secret-key" not in f"{lines}{error.value.detail}"


@pytest.mark.parametrize(
    "kept",
    [b"", b"null", b"[]", b"\xff\xfe", b'{"caller": {"caller_id": "x"}, "at": 1}', b'{"at": NaN}'],
)
def test_a_spoilt_cache_entry_is_asked_anew(asking: Asking, kept: bytes) -> None:
    """What cannot be understood in the cache is as if it were not there."""
    asking.redis.set(f"auth:{fingerprint('user-key')}", kept)
    assert asking.auth.caller("user-key").caller_id == "user"


def test_without_the_cache_membership_answers(asking: Asking, membership: str) -> None:
    """A Redis that takes no writes, and one that takes no commands, refuse nobody."""
    asking.redis.config_set("maxmemory", "1")
    try:
        assert asking.status("user-key") == 200
    finally:
        asking.redis.config_set("maxmemory", "0")
    before = _verified(membership)
    assert asking.status("user-key") == 200
    assert _verified(membership) == before + 1


def test_a_cache_that_is_full_is_still_read(asking: Asking, membership: str) -> None:
    """However often it takes no more, who is known stays known."""
    assert asking.status("user-key") == 200
    asking.redis.config_set("maxmemory", "1")
    try:
        for _ in range(6):
            assert asking.status("validator-key") == 200
        before = _verified(membership)
        assert asking.status("user-key") == 200
        assert _verified(membership) == before
    finally:
        asking.redis.config_set("maxmemory", "0")


def test_a_cache_that_is_away_is_left_alone_for_a_while(tmp_path: Path) -> None:
    """Nothing is known and nothing kept; each call of a server that hangs would take seconds."""
    with servers.redis(tmp_path / "gone") as url:
        pass
    breaker = Breaker("cache", Limits(2, 30))
    gone = Redis.from_url(url, retry=None, socket_connect_timeout=1)
    cache = Cache(gone, breaker)
    cache.put("a", b"1", 60)
    assert cache.get("a") is None
    assert breaker.state is State.OPEN
    cache.put("a", b"1", 60)
    assert cache.get("a") is None
    gone.close()


def test_five_failures_open_the_breaker(refused: Asking, unwell: Unwell, clock: Clock) -> None:
    """Five keys that nobody knows fail with 503; the sixth is refused at once, without a call."""
    assert [refused.status(f"key-{at}") for at in range(5)] == [503] * 5
    assert unwell.asked == 5
    with pytest.raises(HTTPException) as error:
        refused.auth.caller("key-5")
    assert (error.value.status_code, error.value.headers) == (503, {"Retry-After": "30"})
    assert unwell.asked == 5
    unwell.answer = PlainTextResponse("unknown", 401)
    clock.now += 30
    assert refused.status("key-6") == 401
    assert refused.breaker.state is State.CLOSED


def test_known_keys_are_served_while_membership_is_down(
    refused: Asking, unwell: Unwell, clock: Clock
) -> None:
    """Keys in the cache are served on, with the breaker open too; the minute holds for them."""
    known = CallerContext(caller_id="user", role="user", may_mark=False)
    unwell.answer = PlainTextResponse(known.model_dump_json())
    assert refused.status("known") == 200
    unwell.answer = PlainTextResponse("", 500)
    for at in range(6):
        assert refused.status(f"key-{at}") == 503
    assert refused.breaker.state is State.OPEN
    assert refused.status("known") == 200
    clock.now += 60
    assert refused.status("known") == 503


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "null",
        "no JSON",
        json.dumps({"caller_id": "x", "role": "user"}),
        json.dumps({"caller_id": "", "role": "user", "may_mark": False}),
        json.dumps({"caller_id": "x", "role": "king", "may_mark": False}),
        json.dumps({"caller_id": "x", "role": "user", "may_mark": "yes"}),
        " " * 70_000,
    ],
)
def test_nonsense_of_membership_is_503(refused: Asking, unwell: Unwell, answer: str) -> None:
    """What is no caller is nobody's permission, and counts as a failure."""
    unwell.answer = PlainTextResponse(answer)
    assert [refused.status("any") for _ in range(5)] == [503] * 5
    assert refused.breaker.state is State.OPEN


def test_one_request_asks_once(refused: Asking, unwell: Unwell) -> None:
    """The gate's question and the endpoint's are one: a failure is not counted twice."""
    with visit.begin("127.0.0.1"):
        assert refused.auth.may_mark("any") is False
        assert refused.status("any") == 503
        assert refused.status("another") == 503
    assert unwell.asked == 2
    assert refused.status("any") == 503
    assert unwell.asked == 3


def test_only_services_are_services(asking: Asking) -> None:
    """Anybody else's key is 403 where a service's is asked for."""
    assert asking.auth.service("service-key").is_service
    for key in ("user-key", "validator-key"):
        with pytest.raises(HTTPException) as error:
            asking.auth.service(key)
        assert error.value.status_code == 403
