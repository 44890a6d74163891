"""Whole runs whose metrics a real Prometheus scrapes: counted, not counted, or down."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from prometheus_client import Counter, Histogram

from tests.backends.grafana_proxy import TOKEN, grafana
from tests.backends.prometheus import Exporter, Prometheus, prometheus
from tests.sources.servers import Canned, serving
from validator.app import App
from validator.clock import SystemClock
from validator.config import load_settings
from validator.model import Run, Status, Verdict
from validator.suite import CheckSpec, Suite

pytestmark = [pytest.mark.process, pytest.mark.slow]

CONFIG = """\
targets:
  api: {{submit: {{http: {{url: "{target}/jobs", job_id: id}}}}}}
sources:
  prometheus:
    type: prometheus
    url: "{url}/api/datasources/proxy/uid/P18"
    auth: {{bearer: {token}}}
    lag_budget: 1500ms
suites: [x.yaml]
"""


@dataclass
class Silent:
    """An observer that takes no note."""

    runs: list[Run] = field(default_factory=list)

    def on_event(self, run_id: str, suite: str, event: str, detail: str) -> None:
        """Leave it."""

    def on_run(self, run: Run) -> None:
        """Remember it."""
        self.runs.append(run)


@dataclass
class World:
    """A target that counts each job in several families, each broken in a way of its own."""

    server: Prometheus
    exporter: Exporter
    target: str
    folder: Path

    def verdict(self, metric: str) -> tuple[Verdict, Run, int]:
        """Run a job; return what is judged of the metric, the run, and how much was asked."""
        params = {"metric": metric, "label": "operation", "values": ["read", "write"]}
        check = CheckSpec("metric_labels", "m", params, "a test", "required", "s.yaml:1")
        suite = Suite("s", 2, "api", {}, 30.0, 0.3, 0.05, False, (check,), "s.yaml")  # noqa: FBT003
        with grafana({"P18": self.server.url}) as served:
            path = self.folder / "obs-validator.yaml"
            path.write_text(CONFIG.format(target=self.target, url=served.url, token=TOKEN))
            with App(load_settings(path, {})) as app:
                (run,) = app.check([suite], Silent())
            asked = len(served.requests)
        (verdict,) = (one for one in run.verdicts if one.check == "metric_labels")
        return verdict, run, asked


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Start it once for all tests."""
    exporter = Exporter().start()
    registry, labels = exporter.registry, ["traffic", "operation"]
    good = Histogram("good_seconds", "Good.", labels, registry=registry)
    halved = Counter("halved", "Only reads.", labels, registry=registry)
    bare = Counter("bare", "No label.", ["traffic"], registry=registry)
    for before in (good.labels("synthetic", "write").observe, good.labels("other", "read").observe):
        before(0.1)
    halved.labels("synthetic", "write").inc()

    def work(handler: BaseHTTPRequestHandler) -> Canned:
        del handler
        for operation in ("read", "write"):
            good.labels("synthetic", operation).observe(0.2)
        halved.labels("synthetic", "read").inc()
        bare.labels("synthetic").inc()
        return Canned(body=json.dumps({"id": "job-1"}).encode())

    folder = tmp_path_factory.mktemp("prometheus")
    with prometheus(folder, interval="500ms") as server, serving(work) as target:
        server.target({"embedding": [exporter.instance]})
        scraped(server, 1)
        yield World(server, exporter, target.url, folder)
    exporter.stop()


def scraped(server: Prometheus, up: int) -> None:
    """Wait until the target was scraped, or could not be."""
    pause, clock = threading.Event(), SystemClock()
    deadline = clock.monotonic() + 30
    while not server.query(f"up == {up}"):
        assert clock.monotonic() < deadline
        pause.wait(0.03)


@contextmanager
def down(world: World) -> Iterator[None]:
    """Have the page not answer."""
    world.exporter.stop()
    scraped(world.server, 0)
    try:
        yield
    finally:
        world.exporter.start()
        scraped(world.server, 1)


@pytest.mark.req("V-05", "V-12")
@pytest.mark.parametrize(
    ("metric", "status", "code", "most"),
    [
        ("good_seconds", Status.PASS, "ok", 10),
        ("halved", Status.FAIL, "not_increased", 10),
        ("bare", Status.FAIL, "label_missing", 10),
        ("good_secs", Status.FAIL, "metric_missing", 12),
    ],
)
def test_what_a_job_counts_is_judged(
    world: World, metric: str, status: Status, code: str, most: int
) -> None:
    """Twice: what the run before counted is nobody else's.

    It takes ten requests at most; two are to say why a metric is missing.
    """
    for _ in range(2):
        verdict, run, asked = world.verdict(metric)
        assert (verdict.status, verdict.code) == (status, code), (verdict, run.findings)
        assert asked <= most, asked
        assert run.finished - run.started < 10


@pytest.mark.req("V-13")
def test_a_target_that_is_down_makes_it_inconclusive(world: World) -> None:
    """Nothing is said of a metric that was never seen, while its page cannot be read."""
    with down(world):
        verdict, run, _ = world.verdict("good_secs")
    assert verdict.status is Status.INCONCLUSIVE, verdict
    told = " ".join(run.evidence.sources[0].findings)
    assert f"embedding at {world.exporter.instance} is down" in told
