"""The edge of the stack: the nginx configuration that is shipped, before a real pipeline."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest

from pipeline.host import ports
from pipeline.testing import poll_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.testing import RunningPipeline

NGINX = shutil.which("nginx")
SHIPPED = Path(__file__).parents[2] / "stack" / "config" / "nginx.conf"

pytestmark = [
    pytest.mark.process,
    pytest.mark.req("P-05"),
    pytest.mark.skipif(NGINX is None, reason="there is no nginx on this machine"),
]


class Edge:
    """The edge: where it is, and what it has logged."""

    def __init__(self, url: str, log: Path) -> None:
        """Look at its output."""
        self.client = httpx.Client(base_url=url, trust_env=False)
        self._log = log

    def lines(self) -> list[dict[str, Any]]:
        """Return the lines of its access log."""
        found = self._log.read_text()
        return [json.loads(line) for line in found.splitlines() if line.startswith("{")]


@pytest.fixture
def edge(whole: RunningPipeline, tmp_path: Path) -> Iterator[Edge]:
    """Return nginx before the pipeline; of the shipped file only addresses and paths are others."""
    with before(whole, tmp_path) as found:
        yield found


@contextmanager
def before(whole: RunningPipeline, tmp_path: Path, *others: tuple[str, str]) -> Iterator[Edge]:
    """Run nginx before the pipeline; `others` are what more is not as it is shipped."""
    port = ports.hold("edge", None)
    log = tmp_path / "access.log"
    text = SHIPPED.read_text().replace("/tmp/", f"{tmp_path}/")  # noqa: S108 - of its container
    for shipped, here in (
        ("listen 8080;", f"listen 127.0.0.1:{port.number};"),
        ("http://pipeline:8001", whole.url("orchestrator")),
        ("access_log /dev/stdout", f"access_log {log}"),
        *others,
    ):
        assert text.count(shipped) == 1
        text = text.replace(shipped, here)
    (tmp_path / "nginx.conf").write_text(text)
    with (tmp_path / "error.log").open("w") as errors:
        process = subprocess.Popen(
            [str(NGINX), "-c", str(tmp_path / "nginx.conf"), "-g", "daemon off;"], stderr=errors
        )
    found = Edge(port.url, log)
    try:
        poll_until(lambda: _is_up(found, process, tmp_path), "nginx up")
        yield found
    finally:
        found.client.close()
        process.send_signal(signal.SIGQUIT)
        process.wait(10)
        port.held.close()


def _is_up(edge: Edge, process: subprocess.Popen[bytes], folder: Path) -> bool:
    assert process.poll() is None, (folder / "error.log").read_text()
    try:
        return edge.client.get("/live").status_code == 200
    except httpx.TransportError:
        return False


def flooded(edge: Edge, path: str, key: dict[str, str]) -> list[int]:
    """Post 200 times, as fast as it goes; return the statuses."""
    with ThreadPoolExecutor(8) as threads:
        return list(
            threads.map(lambda _: edge.client.post(path, headers=key).status_code, range(200))
        )


def test_who_floods_it_is_refused_at_the_edge(edge: Edge, whole: RunningPipeline) -> None:
    """429, `limit_req_status: REJECTED` in its log, and the service behind it is not asked."""
    path = f"/jobs/{uuid4()}"
    key = {"X-API-Key": f"flood-{uuid4()}"}
    got = flooded(edge, path, key)
    rejected = got.count(429)
    passed = len(got) - rejected
    assert rejected > 0
    assert passed >= 40
    lines = poll_until(
        lambda: (
            found
            if len(found := [one for one in edge.lines() if one["uri"] == path]) == len(got)
            else None
        ),
        "its lines",
    )
    told = [one["limit_req_status"] for one in lines if one["status"] == 429]
    assert told == ["REJECTED"] * rejected
    behind = poll_until(
        lambda: (
            found
            if len(found := [x for x in whole.lines("orchestrator") if x.get("uri") == path])
            >= passed
            else None
        ),
        "the lines behind it",
    )
    assert len(behind) == passed
    assert "flood-" not in json.dumps(lines)


def test_another_caller_and_polls_are_served_meanwhile(edge: Edge, whole: RunningPipeline) -> None:
    """The limit is each key's own, and a job is submitted, followed and done through the edge."""
    flood = {"X-API-Key": f"flood-{uuid4()}"}
    assert 429 in flooded(edge, "/x", flood)
    key = whole.key("user")
    page = whole.description()["urls"]["article"]
    body = {"url": f"{page}?nonce={uuid4()}", "corpus_name": "edge"}
    submitted = edge.client.post("/jobs", json=body, headers=key)
    assert submitted.status_code == 202
    job = f"/jobs/{submitted.json()['job_id']}"
    poll_until(lambda: edge.client.get(job, headers=key).json()["status"] == "done", "the job done")


def test_made_up_keys_are_no_way_round_it(whole: RunningPipeline, tmp_path: Path) -> None:
    """Nobody has looked whose they are: each request with another has its address's limit."""
    few = ("zone=addresses burst=500", "zone=addresses burst=5")
    slow = ("zone=addresses:10m rate=100r/s", "zone=addresses:10m rate=1r/s")
    with before(whole, tmp_path, few, slow) as edge:
        got = [
            edge.client.get("/jobs/", headers={"X-API-Key": f"made-up-{uuid4()}"}).status_code
            for _ in range(30)
        ]
    assert set(got) == {401, 429}
    assert got.count(401) < 20


@pytest.mark.req("P-04")
def test_nobody_outside_reports_how_a_job_went(edge: Edge, whole: RunningPipeline) -> None:
    """Not even with a service's key; nor does anybody see the metrics."""
    key = whole.key("service")
    body = {"stage": "scraping", "status": "success"}
    answer = edge.client.post(f"/jobs/{uuid4()}/complete", json=body, headers=key)
    assert answer.status_code == 403
    for path in ("/metrics", "/metrics%0a", "/metrics%0d%0a", "/metrics%20"):
        assert edge.client.get(path).status_code == 404
    for path in ("complete", "complete%0a"):
        found = edge.client.post(f"/jobs/{uuid4()}/{path}", json=body, headers=key)
        assert found.status_code == 403
