"""A Redis that evicts is refused at the start, in words that tell how to mend it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from pipeline import clients, redis_policy
from pipeline.host.ports import hold
from pipeline.redis_policy import EvictingRedisError
from pipeline.settings import Settings
from tests.pipeline import servers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.process, pytest.mark.req("P-09")]


def settings(url: str) -> Settings:
    """Return the settings of a process whose Redis servers are at the URL."""
    return Settings("search", {"PIPELINE_CACHE_URL": url, "PIPELINE_BROKER_URL": url})


@pytest.fixture
def evicting(redis: Redis) -> Iterator[Redis]:
    """Return a client of a Redis that evicts."""
    redis.config_set("maxmemory-policy", "allkeys-lru")
    yield redis
    redis.config_set("maxmemory-policy", "noeviction")


@pytest.fixture
def hosted(redis: Redis, redis_url: str) -> Iterator[str]:
    """Return the URL of a Redis whose clients may not ask for its configuration."""
    redis.acl_setuser(
        "tenant", enabled=True, passwords="+secret", keys="*", commands=["+@all", "-config"]
    )
    yield redis_url.replace("redis://", "redis://tenant:secret@")
    redis.acl_deluser("tenant")


def test_a_redis_that_keeps_everything_is_taken(redis: Redis, redis_url: str) -> None:
    """It says so when it is asked for its configuration."""
    assert redis_policy.policy_of(redis) == "noeviction"
    clients.cache(settings(redis_url)).close()


def test_a_redis_that_evicts_is_refused(evicting: Redis, redis_url: str) -> None:
    """With what is wrong, where, and the command that mends it; no password is shown."""
    assert evicting.ping()
    with pytest.raises(EvictingRedisError) as refused:
        clients.cache(settings(redis_url))
    said = str(refused.value)
    port = redis_url.rsplit(":", 1)[1].split("/", maxsplit=1)[0]
    assert f"search does not run with the Redis of PIPELINE_CACHE_URL (127.0.0.1:{port})" in said
    assert "its maxmemory-policy is allkeys-lru" in said
    assert "redis-cli CONFIG SET maxmemory-policy noeviction" in said


def test_a_hosted_redis_is_read_by_what_it_tells(hosted: str, redis: Redis) -> None:
    """Where CONFIG is forbidden INFO tells the policy: a good one is taken, another refused."""
    tenant = Redis.from_url(hosted)
    with pytest.raises(ResponseError):
        tenant.config_get("maxmemory-policy")
    clients.cache(settings(hosted)).close()
    redis.config_set("maxmemory-policy", "volatile-ttl")
    try:
        with pytest.raises(EvictingRedisError, match="is volatile-ttl") as refused:
            clients.cache(settings(hosted))
    finally:
        redis.config_set("maxmemory-policy", "noeviction")
        tenant.close()
    assert "secret" not in str(refused.value)


def test_a_redis_that_tells_nothing_is_refused(hosted: str, redis: Redis) -> None:
    """Nobody knows whether it keeps what it is given."""
    redis.acl_setuser(
        "tenant",
        enabled=True,
        passwords="+secret",
        keys="*",
        commands=["+@all", "-config", "-info"],
    )
    with pytest.raises(EvictingRedisError, match=r"cannot see whether the Redis of .* evicts keys"):
        clients.cache(settings(hosted))


def test_a_redis_that_is_only_starting_is_waited_for(tmp_path: Path) -> None:
    """A restart of both at once is no reason to refuse."""
    port = hold("redis", None)
    port.held.close()
    url = f"redis://127.0.0.1:{port.number}/0"
    opened: list[Redis] = []
    opening = threading.Thread(target=lambda: opened.append(clients.cache(settings(url))))
    opening.start()
    with servers.redis(tmp_path / "redis", str(port.number)):
        opening.join(10)
        assert len(opened) == 1
        opened[0].close()


@pytest.mark.slow
def test_a_redis_that_is_not_there_is_told(tmp_path: Path) -> None:
    """Somebody who starts a service by hand sees why it does not run."""
    with pytest.raises(EvictingRedisError, match="Connection refused"):
        clients.cache(settings("redis://127.0.0.1:9/0"))
    assert tmp_path


REFUSED = """\
import os, sys
from pipeline.host.catalogue import main_of

for name in sys.argv[1:]:
    if os.fork() == 0:
        try:
            main_of(name)(None)
        finally:
            sys.excepthook(*sys.exc_info())
            os._exit(7)
    os.wait()
"""


@pytest.mark.slow
def test_no_process_runs_with_a_redis_that_evicts(
    evicting: Redis, redis_url: str, tmp_path: Path
) -> None:
    """Services and workers end at once, each with the reason in its log."""
    assert evicting.ping()
    names = ["search", "orchestrator", "scraper-worker"]
    known = ("MEMBERSHIP", "EMBEDDING_API", "CHUNKING", "ORCHESTRATOR")
    env = {
        **os.environ,
        **{f"PIPELINE_{other}_URL": "http://127.0.0.1:9" for other in known},
        "PIPELINE_CACHE_URL": redis_url,
        "PIPELINE_BROKER_URL": redis_url,
        "PIPELINE_SERVICE_KEY": "service",
        "PIPELINE_METRICS_PORT": "0",
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "metrics"),
    }
    command = [sys.executable, "-c", REFUSED, *names]
    ended = subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    for name in names:
        assert f"EvictingRedisError: {name} does not run with the Redis of" in ended.stderr
    assert ended.stderr.count("its maxmemory-policy is allkeys-lru") == len(names)
