"""Health of a service: each dependency is asked, timed, and given up after a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI

from pipeline import health
from pipeline.health import Dependencies
from pipeline.settings import Settings
from tests.pipeline.local import served

pytestmark = pytest.mark.req("H-04")


def _unwell() -> None:
    raise ConnectionError("refused")


@pytest.fixture
def known() -> Iterator[Dependencies]:
    """Return a list of dependencies, empty at first."""
    found = Dependencies()
    yield found
    found.close()


@pytest.fixture
def client(known: Dependencies) -> Iterator[httpx.Client]:
    """Return a client of a service with these dependencies."""
    app = FastAPI()
    health.add(app, Settings("search", {"PIPELINE_INSTANCE": "search-1"}), known)
    with served(app) as url, httpx.Client(base_url=url, trust_env=False) as found:
        yield found


def test_each_dependency_tells_what_it_answered_and_when(
    client: httpx.Client, known: Dependencies
) -> None:
    """Those that are well and those that are not; the service is degraded, and alive."""
    known.add("well", lambda: None)
    known.add("unwell", _unwell)
    answer = client.get("/health")
    assert answer.status_code == 200
    found = answer.json()
    assert (found["status"], found["service"], found["instance"]) == (
        "degraded",
        "search",
        "search-1",
    )
    assert found["dependencies"]["well"]["status"] == "ok"
    assert 0 <= found["dependencies"]["well"]["seconds"] < 0.5
    assert found["dependencies"]["unwell"]["error"] == "ConnectionError: refused"
    assert client.get("/live").json() == {"status": "ok"}


def test_one_that_hangs_takes_a_second_and_no_more(
    client: httpx.Client, known: Dependencies
) -> None:
    """The others are asked meanwhile, and the answer comes in bounded time, again and again."""
    go_on = threading.Event()
    known.add("hangs", go_on.wait)
    known.add("well", lambda: None)
    try:
        begun = time.monotonic()
        found = client.get("/health").json()["dependencies"]
        again = [client.get("/health").json()["dependencies"] for _ in range(4)]
        took = time.monotonic() - begun
    finally:
        go_on.set()
    assert found["hangs"]["error"] == "no answer within 1 s"
    assert found["well"]["status"] == "ok"
    assert again == [found] * 4
    assert 1.0 <= took < 4.0


def test_who_asks_often_asks_no_dependency_more(client: httpx.Client, known: Dependencies) -> None:
    """Within a second the last answers are given again."""
    asked: list[int] = []
    known.add("counted", lambda: asked.append(1))
    for _ in range(20):
        client.get("/health")
        client.get("/ready")
    assert len(asked) <= 2


def test_not_ready_without_what_is_needed(client: httpx.Client, known: Dependencies) -> None:
    """A needed dependency that is missing is 503; one that is not needed changes nothing."""
    known.add("nice", _unwell)
    assert client.get("/ready").json() == {"ready": True, "missing": []}
    other = Dependencies()
    other.add("store", _unwell, needed=True)
    assert other.missing() == ["store"]
    other.close()


def test_not_ready_is_503(client: httpx.Client, known: Dependencies) -> None:
    """The status says it as well as the body."""
    known.add("store", _unwell, needed=True)
    answer = client.get("/ready")
    assert (answer.status_code, answer.json()) == (503, {"ready": False, "missing": ["store"]})
    assert client.get("/health").status_code == 200
