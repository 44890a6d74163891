"""The same with backends that run: each thing that is wrong is named."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.backends.loki import loki
from tests.backends.prometheus import prometheus
from tests.sources import jaeger_process
from tests.sources.authority import Authority
from tests.sources.servers import Canned, Script, always, serving
from tests.sources.test_one_thing_wrong import CASES, TENANT, TOKEN, front_of
from validator.clock import SystemClock
from validator.config_sources import JaegerSettings, LokiSettings, PrometheusSettings, TempoSettings
from validator.probe import Probe
from validator.sources.build import Builder

pytestmark = [pytest.mark.slow, pytest.mark.process]

Settings = JaegerSettings | LokiSettings | PrometheusSettings | TempoSettings


@dataclass(frozen=True)
class Real:
    """A backend that runs: its kind, where it is, what else to declare, and an empty one's answer.

    `codes` are those that name a case otherwise than with the built-in collector.
    """

    kind: str
    settings: type[Settings]
    url: str
    empty: Script
    declared: Mapping[str, Any]
    codes: Mapping[str, str]


@contextmanager
def _prometheus(folder: Path) -> Iterator[Real]:
    """Run a Prometheus that scrapes itself: an empty tenant shows by what it lacks."""
    with prometheus(folder) as running:
        running.target({"self": [urlsplit(running.url).netloc]})
        clock = SystemClock()
        while not running.query("up == 1"):
            clock.sleep(0.05)
        nothing = always(
            Canned(body=b'{"status":"success","data":{"resultType":"vector","result":[]}}')
        )
        yield Real(
            "prometheus", PrometheusSettings, running.url, nothing, {}, {"tenant": "nothing there"}
        )


@contextmanager
def _loki(folder: Path) -> Iterator[Real]:
    with loki(folder) as url:
        nothing = always(
            Canned(body=b'{"status":"success","data":{"resultType":"streams","result":[]}}')
        )
        yield Real("loki", LokiSettings, url, nothing, _planting(f"{url}/otlp"), {})


@contextmanager
def _jaeger(folder: Path) -> Iterator[Real]:
    program = jaeger_process.binary()
    if program is None:
        pytest.skip(f"no Jaeger: neither on the PATH nor in {jaeger_process.CACHE}")
    with jaeger_process.running(program, folder / "log") as running:
        missing = b'{"error":{"httpCode":404,"message":"trace not found"}}'
        nobody = Canned(404, missing, "text/plain; charset=utf-8")

        def nothing(handler: BaseHTTPRequestHandler) -> Canned:
            no_services = Canned(body=b'{"data":null,"errors":null}')
            return nobody if "/traces/" in handler.path else no_services

        yield Real("jaeger", JaegerSettings, running.url, nothing, _planting(running.otlp), {})


@contextmanager
def _tempo(_folder: Path) -> Iterator[Real]:
    url, otlp = os.environ.get("TEMPO_URL", ""), os.environ.get("TEMPO_OTLP_URL", "")
    if not (url and otlp):
        pytest.skip("no Tempo: TEMPO_URL and TEMPO_OTLP_URL name none")
    nothing = always(Canned(body=b'{"trace":{},"metrics":{},"message":""}'))
    yield Real("tempo", TempoSettings, url, nothing, _planting(otlp), {})


def _planting(way_in: str) -> Mapping[str, Any]:
    """Have control records go in by their own way, for a tenant of the right name."""
    return {"control": {"url": way_in, "tenant": TENANT}, "lag_budget": "1s"}


BACKENDS: Mapping[str, Callable[[Path], AbstractContextManager[Real]]] = {
    "prometheus": _prometheus,
    "loki": _loki,
    "jaeger": _jaeger,
    "tempo": _tempo,
}


@pytest.fixture(scope="module", params=list(BACKENDS))
def real(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Real]:
    """Run a backend."""
    with BACKENDS[request.param](tmp_path_factory.mktemp(request.param)) as running:
        yield running


@pytest.mark.req("V-13")
@pytest.mark.parametrize("case", list(CASES))
def test_the_one_thing_that_is_wrong_is_named(real: Real, tmp_path: Path, case: str) -> None:
    """Of a wrong port, token, tenant, certificate and clock, each is named, and nothing else."""
    wrong, authority = CASES[case], Authority.made(tmp_path)
    with (
        serving(real.empty) as empty,
        front_of(real.url, empty.url, wrong, authority) as front,
    ):
        declared: dict[str, Any] = {
            "type": real.kind,
            "url": front,
            "auth": {"bearer": TOKEN},
            "tenant": TENANT,
            "tls": {"ca": "ca.pem"},
            **real.declared,
            **dict(wrong.settings),
        }
        settings = real.settings.model_validate(declared)
        source = Builder(SystemClock(), tmp_path).build("backend", settings)
        state = Probe(source, settings, SystemClock()).look()
        source.close()
    expected = real.codes.get(case, wrong.code)
    assert [problem.code for problem in state.problems] == ([expected] if expected else [])
    assert TOKEN not in str(state)
