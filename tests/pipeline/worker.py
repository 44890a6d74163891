"""A worker in a process of its own, which runs the scrape task and some that misbehave."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import httpx
from redis import Redis

from pipeline import celery_app
from pipeline.host.ports import hold
from pipeline.settings import Settings
from pipeline.testing import poll_until
from pipeline.workers import base, scrape

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from celery import Celery

NAMES: Final = ("test.runs", "test.raises", "test.dies", "test.lingers")
VISIBILITY: Final = 3


class Worker:
    """One that was started, with its broker and its cache."""

    def __init__(self, env: dict[str, str], log: Path) -> None:
        """Start it; wait with `wait_until_up`."""
        self.settings = Settings("scraper-worker", env)
        self.log = log
        self.redis = Redis.from_url(env["PIPELINE_BROKER_URL"])
        self.cache = Redis.from_url(env["PIPELINE_CACHE_URL"])
        self.metrics_url = f"http://127.0.0.1:{env['PIPELINE_METRICS_PORT']}/metrics"
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.pipeline.worker"],
                env={**os.environ, **env},
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.app = celery_app.make(self.settings)
        celery_app.declare_tasks(self.app)

    def wait_until_up(self) -> None:
        """Wait for its page of metrics."""

        def look() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            try:
                return httpx.get(self.metrics_url, trust_env=False).is_success
            except httpx.HTTPError:
                return False

        poll_until(look, "a worker that is up", 20)

    def send(self, task: str, **told: Any) -> str:
        """Send a task; return its id."""
        return str(self.app.send_task(task, kwargs=told, queue="scrape").id)

    def wait_until_idle(self, seconds: float = 10) -> None:
        """Wait until nothing waits and nothing is in hand."""
        poll_until(
            lambda: not self.redis.exists("scrape", "unacked", "unacked_index"),
            f"an idle worker ({self.process.poll()})",
            seconds,
        )

    def runs(self) -> int:
        """Return how often `test.runs` was run."""
        return int(self.cache.get("runs") or 0)

    def end(self) -> None:
        """End it as a deployment does."""
        self.process.terminate()
        try:
            self.process.wait(10)
        finally:
            self.process.kill()
            self.process.wait()
            self.app.close()
            self.redis.close()
            self.cache.close()


@contextmanager
def worker(broker: str, home: Path, **more: str) -> Iterator[Worker]:
    """Run a worker until the block ends."""
    home.mkdir(exist_ok=True)
    port = hold("metrics", None)
    env = {
        "PIPELINE_BROKER_URL": broker,
        "PIPELINE_CACHE_URL": broker,
        "PIPELINE_METRICS_PORT": str(port.number),
        "PIPELINE_ORCHESTRATOR_URL": "http://127.0.0.1:9",
        "PIPELINE_SERVICE_KEY": "service",
        "PIPELINE_VISIBILITY_SECONDS": str(VISIBILITY),
        "PROMETHEUS_MULTIPROC_DIR": str(home / "metrics"),
        "TMPDIR": str(home),
        **more,
    }
    found = Worker(env, home / "worker.log")
    try:
        found.wait_until_up()
        yield found
    finally:
        found.end()
        port.held.close()


def _register(app: Celery, holder: base.Holder, settings: Settings) -> str:
    queue = scrape.register(app, holder, settings)

    def run(**_told: Any) -> None:
        holder.get().cache.incr("runs")

    def fail(**told: Any) -> None:
        raise ValueError(f"a bug: {told}")

    def die(**_told: Any) -> None:
        holder.get().cache.incr("deaths")
        os.kill(os.getpid(), signal.SIGKILL)

    def linger(**told: Any) -> None:
        until = time.monotonic() + float(told["seconds"])
        while time.monotonic() < until:
            with suppress(Exception):  # as a library that catches everything
                select.select([], [], [], 0.1)

    for name, what in zip(NAMES, (run, fail, die, linger), strict=True):
        app.task(name=name)(what)
    return queue


if __name__ == "__main__":
    sys.exit(base.run(Settings.from_environment("scraper-worker"), _register))
