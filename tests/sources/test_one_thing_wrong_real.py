"""The same with a Prometheus that runs: each thing that is wrong is named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.backends.prometheus import prometheus
from tests.sources.authority import Authority
from tests.sources.servers import Canned, always, serving
from tests.sources.test_one_thing_wrong import CASES, TENANT, TOKEN, front_of
from validator.clock import SystemClock
from validator.config_sources import PrometheusSettings
from validator.probe import Probe
from validator.sources.build import Builder

pytestmark = pytest.mark.slow

EMPTY = Canned(body=b'{"status":"success","data":{"resultType":"vector","result":[]}}')
CODES = {"tenant": "nothing there"}
"""Where nothing can be planted, an empty tenant shows by what it lacks."""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a Prometheus that scrapes itself."""
    with prometheus(tmp_path_factory.mktemp("prometheus")) as running:
        running.target({"self": [urlsplit(running.url).netloc]})
        clock = SystemClock()
        while not running.query("up == 1"):
            clock.sleep(0.05)
        yield running.url


@pytest.mark.process
@pytest.mark.req("V-13")
@pytest.mark.parametrize("case", list(CASES))
def test_the_one_thing_that_is_wrong_is_named(url: str, tmp_path: Path, case: str) -> None:
    """Of a wrong port, token, tenant, certificate and clock, each is named, and nothing else."""
    wrong, authority = CASES[case], Authority.made(tmp_path)
    with serving(always(EMPTY)) as empty, front_of(url, empty.url, wrong, authority) as front:
        declared: dict[str, Any] = {
            "type": "prometheus",
            "url": front,
            "auth": {"bearer": TOKEN},
            "tenant": TENANT,
            "tls": {"ca": "ca.pem"},
            **dict(wrong.settings),
        }
        settings = PrometheusSettings.model_validate(declared)
        source = Builder(SystemClock(), tmp_path).build("prometheus", settings)
        state = Probe(source, settings, SystemClock()).look()
        source.close()
    expected = CODES.get(case, wrong.code)
    assert [problem.code for problem in state.problems] == ([expected] if expected else [])
    assert TOKEN not in str(state)
