"""`/enqueue`: taken up to the depth of the queue, refused in words, told to its caller alone."""

from __future__ import annotations

import base64
import json
import os
import signal
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import pytest
from fastapi import FastAPI, HTTPException
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from pipeline.enqueued import (
    ENDED_SECONDS,
    PUBLISHING,
    PUBLISHING_SECONDS,
    Enqueued,
    Register,
)
from pipeline.mark import Mark
from pipeline.payloads import OF_TASK
from pipeline.services import enqueue
from pipeline.settings import Settings
from pipeline.workers.callbacks import Keeper
from tests.pipeline import servers
from tests.pipeline.asgi import Asking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pipeline import web

pytestmark = [pytest.mark.process, pytest.mark.req("P-05", "P-09")]

PAGE = {"url": "http://site.test/a"}
DEPTH = 5


class Keys:
    """Knows callers by their keys, as the authenticator does; nobody else's is taken."""

    def caller(self, key: str | None) -> Any:
        """Return whose key it is."""
        if key not in {"anna", "bela", "service"}:
            raise HTTPException(401, "the key is nobody's")
        return SimpleNamespace(caller_id=key)

    def service(self, key: str | None) -> Any:
        """Return the calling service."""
        if key != "service":
            raise HTTPException(403, "only services")
        return self.caller(key)


class Service:
    """A service with /enqueue alone, its broker and its cache."""

    def __init__(
        self, broker: str, cache: Redis, add: Callable[[web.Web], None], name: str
    ) -> None:
        """Make it."""
        env = {"PIPELINE_BROKER_URL": broker, "PIPELINE_MAX_QUEUE_DEPTH": str(DEPTH)}
        settings = Settings(name, env)
        keys = Keys()
        known = SimpleNamespace(settings=settings, cache=cache, auth=keys, admit=keys.caller)
        self.app = FastAPI()
        self.base = SimpleNamespace(service=known, app=self.app, closing=[])
        self.register = Register(cache, name)
        add(cast("web.Web", self.base))

    def of(self, key: str) -> Asking:
        """Return a client with somebody's key."""
        return Asking(self.app, **{"X-API-Key": key})

    def close(self) -> None:
        """Close what it has opened."""
        for close in self.base.closing:
            close()


@pytest.fixture(scope="module")
def broker_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the URL of a broker that may be full while the cache is not."""
    with servers.redis(tmp_path_factory.mktemp("broker") / "server") as found:
        yield found


@pytest.fixture
def broker(broker_url: str) -> Iterator[Redis]:
    """Return a client of the broker, which is empty."""
    with servers.client(broker_url) as found:
        yield found


@pytest.fixture
def scraper(broker: Redis, broker_url: str, redis: Redis) -> Iterator[Service]:
    """Return the scraper."""
    assert broker.dbsize() == 0
    found = Service(broker_url, redis, enqueue.add_scrape, "scraper")
    yield found
    found.close()


@pytest.fixture
def embedding(broker: Redis, broker_url: str, redis: Redis) -> Iterator[Service]:
    """Return the embedding service."""
    assert broker.dbsize() == 0
    found = Service(broker_url, redis, enqueue.add_embed, "embedding-api")
    yield found
    found.close()


def told(broker: Redis, queue: str) -> list[dict[str, Any]]:
    """Return what the tasks of a queue are told; each fits what its worker expects."""
    found = []
    for item in broker.lrange(queue, 0, -1):
        whole = json.loads(item)
        _, kwargs, _ = json.loads(base64.b64decode(whole["body"]))
        OF_TASK[whole["headers"]["task"]].model_validate(kwargs)
        found.append(kwargs)
    return found


def test_a_page_is_taken_and_told_to_its_caller(scraper: Service, broker: Redis) -> None:
    """202 with the job's id; queued until it has ended, then with the text; 404 for others."""
    answer = scraper.of("anna").post("/enqueue", json=PAGE)
    assert answer.status_code == 202
    job_id = answer.json()["job_id"]
    assert answer.json() == {"job_id": job_id, "status": "queued"}
    assert told(broker, "scrape") == [{**PAGE, "job_id": job_id, "sink": "cache"}]
    path = f"/enqueue/{job_id}"
    assert scraper.of("anna").get(path).json()["status"] == "queued"
    keeper = Keeper(scraper.register, job_id, Mark())
    keeper.report("started", "scraping", "success")
    keeper.report("final", "scraping", "success", content="words", source_url=PAGE["url"])
    assert scraper.of("anna").get(path).json() == {
        "job_id": job_id,
        "status": "done",
        "content": "words",
        "source_url": PAGE["url"],
        "error_code": None,
        "error_message": None,
    }
    assert scraper.of("bela").get(path).status_code == 404
    assert scraper.of("anna").get(f"/enqueue/{uuid4()}").status_code == 404
    assert scraper.of("nobody").get(path).status_code == 401


def test_a_failure_is_told_by_its_code_for_an_hour(scraper: Service, redis: Redis) -> None:
    """What a page was refused for is there; afterwards it is forgotten."""
    job_id = scraper.of("anna").post("/enqueue", json=PAGE).json()["job_id"]
    keeper = Keeper(scraper.register, job_id, Mark())
    keeper.report("final", "scraping", "failed", error_code="http_403", error_message="no")
    found = scraper.of("anna").get(f"/enqueue/{job_id}").json()
    assert (found["status"], found["error_code"]) == ("failed", "http_403")
    assert ENDED_SECONDS - 60 < int(redis.ttl(f"enqueued:scraper:{job_id}")) <= ENDED_SECONDS
    redis.flushdb()
    keeper.report("final", "scraping", "success", content="late")
    assert scraper.of("anna").get(f"/enqueue/{job_id}").status_code == 404


def test_the_same_task_again_is_taken_once(scraper: Service, broker: Redis) -> None:
    """Under an id of the caller's own: the same is not queued twice, another is 409."""
    body = {**PAGE, "job_id": str(uuid4())}
    answers = [scraper.of("anna").post("/enqueue", json=body) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    other = scraper.of("anna").post("/enqueue", json={**body, "url": "http://site.test/b"})
    assert other.status_code == 409
    assert scraper.of("bela").post("/enqueue", json=body).status_code == 409
    assert len(told(broker, "scrape")) == 1


def test_what_was_not_published_is_published_by_who_asks_again(
    scraper: Service, broker: Redis, redis: Redis
) -> None:
    """A service that ends between its entry and the broker has told nobody that it took it."""
    body = {**PAGE, "job_id": str(uuid4())}
    path = f"/enqueue/{body['job_id']}"
    assert scraper.of("anna").post("/enqueue", json=body).status_code == 202
    entry = f"enqueued:scraper:{body['job_id']}"
    kept = json.loads(cast("bytes", redis.get(entry)))
    redis.set(entry, json.dumps({**kept, "status": PUBLISHING}))
    broker.delete("scrape")
    assert scraper.of("anna").get(path).json()["status"] == "queued"
    other = {**body, "url": "http://site.test/b"}
    assert scraper.of("anna").post("/enqueue", json=other).status_code == 409
    for _ in range(2):
        assert scraper.of("anna").post("/enqueue", json=body).status_code == 202
        assert len(told(broker, "scrape")) == 1
    assert int(redis.ttl(entry)) > PUBLISHING_SECONDS


def test_an_end_that_comes_before_the_publisher_knows_stays(redis: Redis) -> None:
    """A worker may be faster than who is still to note that the broker has the task."""
    register = Register(redis, "scraper")
    register.begin("job", Enqueued("anna", "digest"))
    assert register.end("job", "done", {"stage": "scraping"})
    register.published("job")
    found = register.get("job")
    assert found
    assert (found.status, found.result) == ("done", {"stage": "scraping"})
    assert int(redis.ttl("enqueued:scraper:job")) <= ENDED_SECONDS


def test_chunks_are_for_services_alone(embedding: Service, broker: Redis) -> None:
    """The body is that of /embed; a user's key is refused."""
    body = {
        "job_id": str(uuid4()),
        "corpus_name": "corpus",
        "source_url": "",
        "chunks": ["One.", "Two."],
    }
    assert embedding.of("anna").post("/enqueue", json=body).status_code == 403
    answer = embedding.of("service").post("/enqueue", json=body)
    assert answer.status_code == 202
    assert told(broker, "embed") == [{**body, "sink": "cache"}]
    keeper = Keeper(embedding.register, str(body["job_id"]), Mark())
    keeper.report("final", "embedding", "success")
    found = embedding.of("service").get(f"/enqueue/{body['job_id']}").json()
    assert found["status"] == "done"


def test_no_more_is_taken_than_may_wait(scraper: Service, broker: Redis) -> None:
    """Of many at once not one more than there is room for; the others come later.

    It may be one less: a task that was just published counts twice until its place is given back.
    """
    answers = scraper.of("anna").many(30, "POST", "/enqueue", json=PAGE)
    codes = [answer.status_code for answer in answers]
    taken = codes.count(202)
    assert codes.count(429) == 30 - taken
    assert 0 < taken == broker.llen("scrape") <= DEPTH
    for _ in range(DEPTH - taken):
        assert scraper.of("anna").post("/enqueue", json=PAGE).status_code == 202
    assert scraper.of("anna").post("/enqueue", json=PAGE).status_code == 429
    assert broker.llen("scrape") == DEPTH
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert int(refused.headers["Retry-After"]) > 0
    assert "queue_full" in refused.json()["detail"]
    assert broker.zcard("places:scrape") == 0
    broker.rpop("scrape")
    assert scraper.of("anna").post("/enqueue", json=PAGE).status_code == 202


def test_a_place_of_who_died_is_given_back(scraper: Service, broker: Redis) -> None:
    """One that was never given back counts until its time is over."""
    broker.zadd("places:scrape", {f"dead-{number}": time.time() + 60 for number in range(DEPTH)})
    assert scraper.of("anna").post("/enqueue", json=PAGE).status_code == 429
    broker.zadd("places:scrape", {f"dead-{number}": time.time() - 1 for number in range(DEPTH)})
    assert scraper.of("anna").post("/enqueue", json=PAGE).status_code == 202


def test_a_full_broker_is_said(scraper: Service, broker: Redis) -> None:
    """500 with the reason; nothing is kept of it, so that the same is taken when there is room."""
    body = {**PAGE, "job_id": str(uuid4())}
    broker.config_set("maxmemory", 1)
    try:
        answer = scraper.of("anna").post("/enqueue", json=body)
    finally:
        broker.config_set("maxmemory", 0)
    assert answer.status_code == 500
    assert answer.json()["detail"].startswith("broker_full: the broker's memory is full")
    assert scraper.of("anna").post("/enqueue", json=body).status_code == 202
    assert len(told(broker, "scrape")) == 1


def test_a_broker_that_hangs_or_is_gone_is_said(redis: Redis, tmp_path: Path) -> None:
    """503 and when to come again, within seconds; the same task is taken when it is back."""
    body = {**PAGE, "job_id": str(uuid4())}
    with servers.redis(tmp_path / "own") as url, servers.client(url) as own:
        scraper = Service(url, redis, enqueue.add_scrape, "scraper")
        pid = int(own.info()["process_id"])
        begun = time.monotonic()
        os.kill(pid, signal.SIGSTOP)
        try:
            hanging = scraper.of("anna").post("/enqueue", json=body)
        finally:
            os.kill(pid, signal.SIGCONT)
        assert time.monotonic() - begun < 6
        assert scraper.of("anna").post("/enqueue", json=body).status_code == 202
    gone = scraper.of("anna").post("/enqueue", json=PAGE)
    for answer in (hanging, gone):
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert answer.json()["detail"].startswith("broker_unavailable: ")
    scraper.close()


def test_a_cache_that_is_gone_is_said(broker_url: str, broker: Redis) -> None:
    """Without it nobody could be told of the end: the task is not taken."""
    away = Redis(port=9, socket_timeout=1, retry=Retry(NoBackoff(), 0))
    scraper = Service(broker_url, away, enqueue.add_scrape, "scraper")
    answer = scraper.of("anna").post("/enqueue", json=PAGE)
    assert (answer.status_code, broker.llen("scrape")) == (503, 0)
    assert answer.json()["detail"].startswith("the cache cannot be asked: ")
    scraper.close()
