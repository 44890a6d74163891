"""A real Prometheus that scrapes what a test exposes, and a real Alertmanager behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIServer

import prometheus_client
import requests
from prometheus_client import CollectorRegistry

from tests.backends.process import free_port, installed, running
from validator.sources.http import make_session

FAST = "200ms"


@dataclass
class Exporter:
    """A `/metrics` page in this process, whose registry a test fills."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    port: int = field(default_factory=free_port)
    _server: WSGIServer | None = None

    @property
    def instance(self) -> str:
        """Return host and port."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> Exporter:
        """Serve the page, again on the same port if it had been stopped."""
        self._server, self._thread = prometheus_client.start_http_server(
            self.port, addr="127.0.0.1", registry=self.registry
        )
        return self

    def stop(self) -> None:
        """Serve it no more; stopping twice is stopping once."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = None


@dataclass
class Prometheus:
    """A running Prometheus; its targets may be changed."""

    url: str
    folder: Path
    session: requests.Session

    def target(self, jobs: Mapping[str, Sequence[str]]) -> None:
        """Have it scrape these instances by their job's name, as soon as it has seen the file.

        The file is watched, and read again every 100 ms in any case.
        """
        groups = [{"targets": list(at), "labels": {"job": job}} for job, at in jobs.items()]
        path = self.folder / "targets.json"
        path.with_suffix(".new").write_text(json.dumps(groups))
        path.with_suffix(".new").rename(path)

    def query(self, promql: str) -> list[Any]:
        """Return an instant vector."""
        answer = self.session.get(f"{self.url}/api/v1/query", params={"query": promql}, timeout=5)
        found: list[Any] = answer.json()["data"]["result"]
        return found


@contextmanager
def prometheus(
    folder: Path,
    *,
    interval: str = FAST,
    rules: str = "",
    alertmanager: str = "",
    features: str = "exemplar-storage",
    prefix: str = "",
) -> Iterator[Prometheus]:
    """Run a Prometheus with nothing to scrape yet; `alertmanager` is host and port."""
    command = installed("prometheus")
    port = free_port()
    (folder / "rules.yml").write_text(rules or "groups: []\n")
    (folder / "targets.json").write_text("[]")
    managers = f"[{{static_configs: [{{targets: ['{alertmanager}']}}]}}]" if alertmanager else "[]"
    (folder / "prometheus.yml").write_text(
        f"global: {{scrape_interval: {interval}, scrape_timeout: {interval}, "
        f"evaluation_interval: {interval}}}\n"
        f"alerting: {{alertmanagers: {managers}}}\n"
        "rule_files: [rules.yml]\n"
        "scrape_configs:\n"
        "- job_name: file\n"
        "  file_sd_configs: [{files: [targets.json], refresh_interval: 100ms}]\n"
    )
    url = f"http://127.0.0.1:{port}{prefix}"
    arguments = (
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=data",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--web.external-url={url}",
        "--rules.alert.resend-delay=200ms",
        *([f"--enable-feature={features}"] if features else []),
    )
    with running([command, *arguments], folder, f"{url}/-/ready"), make_session() as session:
        session.trust_env = False
        yield Prometheus(url, folder, session)


@contextmanager
def alertmanager(folder: Path, config: str) -> Iterator[str]:
    """Run an Alertmanager of its own without a cluster; gives its URL."""
    command = installed("prometheus-alertmanager")
    port = free_port()
    (folder / "alertmanager.yml").write_text(config)
    arguments = (
        "--config.file=alertmanager.yml",
        "--storage.path=alerts",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    )
    url = f"http://127.0.0.1:{port}"
    with running([command, *arguments], folder, f"{url}/-/ready"):
        yield url
