"""Whether what a service depends on answers, and how long that takes; bounded in time."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Literal

from fastapi.responses import JSONResponse
from opentelemetry.instrumentation.utils import suppress_instrumentation
from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import httpx
    from celery import Celery
    from fastapi import FastAPI
    from psycopg_pool import ConnectionPool
    from redis import Redis

    from pipeline.settings import Settings

SECONDS: Final = 1.0
"""How long a dependency may take."""
_AGE: Final = 1.0
_MOST_TEXT: Final = 200
_BRIEF: Final = {"socket_timeout": SECONDS, "socket_connect_timeout": SECONDS}


class DependencyHealth(BaseModel):
    """What a dependency answered, and after how many seconds."""

    status: Literal["ok", "failed"]
    seconds: float
    error: str | None


class Health(BaseModel):
    """How a service is: `degraded` when something that it depends on does not answer."""

    status: Literal["ok", "degraded"]
    service: str
    instance: str
    version: str
    dependencies: dict[str, DependencyHealth]


class Ready(BaseModel):
    """Whether a service takes work, and what it lacks for that."""

    ready: bool
    missing: list[str]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a dependency answered: an error, if any, after so many seconds."""

    seconds: float
    error: str | None

    def model(self) -> DependencyHealth:
        """Return it as /health shows it."""
        return DependencyHealth(
            status="ok" if self.error is None else "failed",
            seconds=round(self.seconds, 6),
            error=self.error,
        )


@dataclass(frozen=True, slots=True)
class Dependency:
    """Something that a service cannot work without; without a needed one it is not ready."""

    ask: Callable[[], Any]
    needed: bool


class Dependencies:
    """Asks all at once, and at most once a second: whoever asks for health asks for no more."""

    def __init__(self) -> None:
        """Begin without any."""
        self._known: dict[str, Dependency] = {}
        self._lock = Lock()
        self._last: dict[str, Answer] = {}
        self._at = float("-inf")
        self._threads: ThreadPoolExecutor | None = None

    def add(self, name: str, ask: Callable[[], Any], *, needed: bool = False) -> None:
        """Know one more; `ask` raises when it is not well, within about a second."""
        self._known[name] = Dependency(ask, needed)

    def look(self) -> Mapping[str, Answer]:
        """Return what each answered within the last second."""
        with self._lock:
            if time.monotonic() - self._at > _AGE:
                self._last, self._at = self._asked(), time.monotonic()
            return self._last

    def missing(self) -> list[str]:
        """Return those that are needed and do not answer."""
        answers = self.look()
        return [n for n, one in self._known.items() if one.needed and answers[n].error is not None]

    def close(self) -> None:
        """Wait for nobody."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

    def _asked(self) -> dict[str, Answer]:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(2 * len(self._known) or 1, "health")
        futures = {name: self._threads.submit(_timed, one.ask) for name, one in self._known.items()}
        done, _ = wait(futures.values(), SECONDS)
        late = Answer(SECONDS, f"no answer within {SECONDS:g} s")
        return {name: one.result() if one in done else late for name, one in futures.items()}


def add(app: FastAPI, settings: Settings, known: Dependencies) -> None:
    """Add /live, /ready and /health, which ask for no key."""

    @app.get("/live")
    async def live() -> dict[str, str]:
        """Say that the process serves, also while all its threads are busy."""
        return {"status": "ok"}

    @app.get(
        "/ready",
        response_model=Ready,
        responses={503: {"model": Ready, "description": "It takes no work"}},
    )
    def ready() -> JSONResponse:
        """Say whether the service takes work: 503 while something that it needs is missing."""
        missing = known.missing()
        found = Ready(ready=not missing, missing=missing)
        return JSONResponse(found.model_dump(), 503 if missing else 200)

    @app.get("/health")
    def health() -> Health:
        """Say how the service and what it depends on are; 200 whatever that is."""
        answers = known.look()
        return Health(
            status="degraded" if any(one.error for one in answers.values()) else "ok",
            service=settings.service_name,
            instance=settings.instance,
            version=settings.version,
            dependencies={name: one.model() for name, one in answers.items()},
        )


def _timed(ask: Callable[[], Any]) -> Answer:
    begun = time.perf_counter()
    error = None
    with suppress_instrumentation():
        try:
            ask()
        except Exception as failed:  # noqa: BLE001 - whatever it is, it is the answer
            error = f"{type(failed).__name__}: {failed}"[:_MOST_TEXT]
    return Answer(time.perf_counter() - begun, error)


def database(pool: ConnectionPool) -> Callable[[], Any]:
    """Return how to ask a database."""

    def ask() -> None:
        with pool.connection(timeout=SECONDS) as connection:
            connection.execute("SELECT 1")

    return ask


def redis(client: Redis) -> Callable[[], Any]:
    """Return how to ask a Redis."""
    return client.ping


def broker(app: Celery) -> Callable[[], Any]:
    """Return how to ask the broker that tasks are published to."""

    def ask() -> None:
        with app.connection_for_write(transport_options=_BRIEF) as connection:
            connection.default_channel.client.ping()

    return ask


def service(client: httpx.Client, url: str, path: str = "/live") -> Callable[[], Any]:
    """Return how to ask another service: whether it is up, not whether those behind it are."""

    def ask() -> None:
        client.get(f"{url}{path}", timeout=SECONDS).raise_for_status()

    return ask
