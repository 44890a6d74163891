"""Limits on callers: how often they may call, and how many of their jobs may be under way."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from fastapi import HTTPException
from hypothesis import given
from hypothesis import strategies as st

from pipeline import metrics, visit
from pipeline.auth import CallerContext
from pipeline.breaker import Breaker
from pipeline.jobs import JobStore, NewJob
from pipeline.mark import Mark
from pipeline.rates import RateLimiter
from pipeline.settings import Settings
from pipeline.shares import Shares, has_room
from pipeline.testing import poll_until

if TYPE_CHECKING:
    from psycopg_pool import ConnectionPool
    from redis import Redis

pytestmark = pytest.mark.req("P-05")

USER = CallerContext(caller_id="user", role="user", may_mark=False)
OTHER = CallerContext(caller_id="other", role="user", may_mark=False)
SERVICE = CallerContext(caller_id="pipeline", role="service", may_mark=True)


class Limited:
    """One instance of a service with a limit."""

    def __init__(self, url: str, rate: str, service: str = "orchestrator") -> None:
        """Limit by the rate."""
        settings = Settings(service, {"PIPELINE_CACHE_URL": url, "PIPELINE_RATE_LIMIT": rate})
        self.metrics = metrics.build(settings)
        self.limiter = RateLimiter(settings, Breaker("cache"), self.metrics)

    def call(self, caller: CallerContext = USER) -> tuple[int, dict[str, str]]:
        """Return the status of a call and the headers that its answer gets."""
        with visit.begin("127.0.0.1") as own:
            try:
                self.limiter.take(caller)
            except HTTPException as error:
                assert own.limited
                return error.status_code, {**own.headers, **(error.headers or {})}
            assert not own.limited
            return 200, dict(own.headers)

    def counted(self, decision: str) -> float:
        """Return how often a decision was made."""
        name, labels = "rate_limit_decisions_total", {"decision": decision, "traffic": "user"}
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
def empty(redis: Redis, redis_url: str) -> Iterator[str]:
    """Return the URL of an empty Redis."""
    assert not redis.keys("*")
    yield redis_url
    redis.config_set("maxmemory", "0")


def test_the_headers_count_down_to_429(empty: str) -> None:
    """Each answer says how many are left; the first too many says none, and when to come back."""
    limited = Limited(empty, "3/minute")
    left = [limited.call()[1]["X-RateLimit-Remaining"] for _ in range(3)]
    assert left == ["2", "1", "0"]
    status, headers = limited.call()
    assert (status, headers["X-RateLimit-Remaining"], headers["X-RateLimit-Limit"]) == (
        429,
        "0",
        "3",
    )
    assert 55 <= int(headers["Retry-After"]) <= 60
    assert headers["Retry-After"] == headers["X-RateLimit-Reset"]
    assert (limited.counted("passed"), limited.counted("rejected")) == (3, 1)


def test_callers_and_services_are_counted_apart(empty: str) -> None:
    """One caller's calls, or those of another service, take nothing from anybody."""
    limited = Limited(empty, "1/minute")
    assert limited.call()[0] == 200
    assert limited.call()[0] == 429
    assert limited.call(OTHER)[0] == 200
    assert Limited(empty, "1/minute", "search").call()[0] == 200


def test_own_services_are_not_limited(empty: str) -> None:
    """What the pipeline itself calls is not counted at all."""
    limited = Limited(empty, "1/minute")
    assert [limited.call(SERVICE) for _ in range(5)] == [(200, {})] * 5


def test_two_instances_let_exactly_the_limit_through(empty: str) -> None:
    """Of 200 calls at once at two instances, exactly the limit passes: no more, no fewer."""
    instances = [Limited(empty, "50/minute"), Limited(empty, "50/minute")]
    with ThreadPoolExecutor(20) as threads:
        calls = [threads.submit(instances[at % 2].call) for at in range(200)]
        found = Counter(one.result(20)[0] for one in calls)
    assert found == {200: 50, 429: 150}


def test_the_window_slides(empty: str) -> None:
    """Two seconds side by side never let more than the limit through within one second."""
    limited = Limited(empty, "5/second")
    passed: list[float] = []

    def enough() -> bool:
        before = time.time()
        if limited.call()[0] == 200:
            passed.append(before)
        return len(passed) == 12

    poll_until(enough, "twelve calls that passed")
    # Each is at least a second after the fifth before it; the clock is read before the call, so
    # a little less is ours.
    assert min(b - a for a, b in zip(passed, passed[5:], strict=False)) > 0.9


def test_without_redis_nobody_is_refused(redis: Redis, empty: str) -> None:
    """A Redis that is full, and one that is not there, let calls pass, and that is counted."""
    limited = Limited(empty, "1/minute")
    redis.config_set("maxmemory", "1")
    assert [limited.call() for _ in range(3)] == [(200, {})] * 3
    assert limited.counted("unavailable") == 3
    gone = Limited("redis://127.0.0.1:1/0", "1/minute")
    assert [gone.call() for _ in range(8)] == [(200, {})] * 8
    assert gone.counted("unavailable") == 8


@pytest.mark.parametrize("rate", ["often", "10", "0/fortnight", "-1/minute"])
def test_a_rate_that_is_none_is_told(empty: str, rate: str) -> None:
    """The service does not start, and says what is wrong and how to write it."""
    with pytest.raises(LookupError, match=r"PIPELINE_RATE_LIMIT is .* write it like 600/minute"):
        Limited(empty, rate)


@given(st.integers(1, 200), st.lists(st.integers(0, 4), max_size=800))
def test_shares_are_fair_and_leave_room(places: int, asking: list[int]) -> None:
    """However callers come, the places suffice, and who has nothing under way has room."""
    under_way: Counter[int] = Counter()
    for caller in asking:
        total = under_way.total()
        if has_room(under_way[caller], total, places):
            under_way[caller] += 1
    assert under_way.total() <= places
    callers = len(under_way)
    # With n callers who ask without end each gets at least places / (n + 1), rounded down.
    while any(has_room(under_way[one], under_way.total(), places) for one in under_way):
        for one in list(under_way):
            if has_room(under_way[one], under_way.total(), places):
                under_way[one] += 1
    if callers == 1:
        assert under_way.total() == (places + 1) // 2
    assert under_way.total() == places or has_room(0, under_way.total(), places)


def _submit(store: JobStore, caller_id: str) -> NewJob:
    job = NewJob(uuid4(), caller_id, "http://example.com/", "corpus", Mark())
    store.insert(job)
    return job


def test_jobs_under_way_are_counted_by_caller(pool: ConnectionPool) -> None:
    """A caller alone gets half of the places; another still has room; ended jobs take none."""
    store, shares = JobStore(pool), Shares(pool, 6)
    for _ in range(3):
        shares.check("greedy")
        _submit(store, "greedy")
    with pytest.raises(HTTPException) as error:
        shares.check("greedy")
    assert (error.value.status_code, error.value.headers) == (429, {"Retry-After": "5"})
    shares.check("modest")
    with pool.connection() as connection:
        connection.execute("UPDATE jobs SET status = 'done'")
    shares.check("greedy")
