"""A collector and its readers, as tests of the sources need them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
import requests
from google.protobuf.message import Message

from validator.clock import SystemClock
from validator.ports import Question
from validator.sources.collector.client import RemoteCollectorSource
from validator.sources.collector.limits import Limits
from validator.sources.collector.server import Collector, Listen
from validator.sources.collector.source import CollectorSource
from validator.sources.http import Bounds, Http, make_session

PROTOBUF = {"Content-Type": "application/x-protobuf"}


def http(name: str, bounds: Bounds | None = None) -> Http:
    """Return an HTTP client for a source."""
    return Http(name, make_session(), SystemClock(), bounds or Bounds(timeout=5.0))


def ask(
    *trace_ids: str,
    job_id: str = "",
    keys: tuple[str, ...] = ("job.id",),
    since: float = 0.0,
    control: str = "",
) -> Question:
    """Return a question."""
    return Question(job_id, keys, frozenset(trace_ids), since, 4e9, control)


@dataclass
class Rig:
    """A running collector, and means to send to it and to read it."""

    collector: Collector
    session: requests.Session = field(default_factory=make_session)
    closing: list[Callable[[], None]] = field(default_factory=list)

    def post(self, signal: str, body: bytes, **headers: str) -> requests.Response:
        """Send a body as it is."""
        sent = {**PROTOBUF, **{name.replace("_", "-"): value for name, value in headers.items()}}
        url = f"{self.collector.endpoint}/v1/{signal}"
        return self.session.post(url, data=body, headers=sent, timeout=60)

    def send(self, signal: str, message: Message) -> requests.Response:
        """Send a request, which must be taken."""
        response = self.post(signal, message.SerializeToString())
        assert response.status_code == 200, response.content
        return response

    def local(self) -> CollectorSource:
        """Return a source that reads in process."""
        source = CollectorSource("local", self.collector, http("local"), 1.0)
        self.closing.append(source.close)
        return source

    def remote(self) -> RemoteCollectorSource:
        """Return a source that reads through the API."""
        source = RemoteCollectorSource("remote", self.collector.endpoint, http("remote"), 1.0)
        self.closing.append(source.close)
        return source

    def get(self, path: str) -> requests.Response:
        """Ask the read API."""
        return self.session.get(self.collector.endpoint + path, timeout=30)


RigMaker = Callable[[Limits], Rig]


@pytest.fixture
def make_rig() -> Iterator[RigMaker]:
    """Start collectors with limits of the test's choice."""
    rigs: list[Rig] = []

    def make(limits: Limits) -> Rig:
        collector = Collector(SystemClock(), Listen(http_port=0, grpc_port=0), limits, ["job.id"])
        collector.start()
        rigs.append(Rig(collector))
        return rigs[-1]

    yield make
    for rig in rigs:
        for close in rig.closing:
            close()
        rig.session.close()
        rig.collector.stop()


@pytest.fixture
def rig(make_rig: RigMaker) -> Rig:
    """Start a collector with the usual limits."""
    return make_rig(Limits())
