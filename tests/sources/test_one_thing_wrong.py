"""One thing wrong at a time with a backend behind TLS, a token and tenants: it is named.

`look` takes any backend's URL: a front stands before it that can be made wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.sources.authority import Authority
from tests.sources.conftest import RigMaker
from tests.sources.fronted import Front, fronted
from validator.clock import SystemClock
from validator.config_sources import Connection, RemoteCollectorSettings
from validator.ports import Source
from validator.probe import Probe, SourceState
from validator.sources.build import Builder
from validator.sources.collector.client import RemoteCollectorSource
from validator.sources.collector.limits import Limits
from validator.sources.control import Control
from validator.sources.http import Bounds, Http, make_session

TOKEN, TENANT = "right-token", "team-a"


class WithControl(RemoteCollectorSettings):
    """A collector whose way in is another than its way out, as that of Tempo or Loki is."""

    control: Connection


class Store(RemoteCollectorSource):
    """The same as a source."""

    control: Control

    def plant(self, trace_id: str) -> None:
        """Send a record by the way in."""
        self.control.plant(trace_id)


def collector(settings: WithControl, folder: Path) -> Source:
    """Return the source that `settings` describe."""
    http = Builder(SystemClock(), folder)._http("store", settings, settings.timeout)
    way_in = Http("store (control)", make_session(), SystemClock(), Bounds())
    source = Store("store", settings.url, http, settings.lag_budget)
    source.control = Control(settings.control.url, way_in)
    return source


@dataclass(frozen=True)
class Wrong:
    """What to make wrong: of the front, of the settings, and the word and words that name it.

    The `words` are a pattern: a `Date` has whole seconds, so an offset read from it may be one off.
    """

    code: str = ""
    words: str = ""
    front: tuple[tuple[str, Any], ...] = ()
    expired: bool = False
    settings: tuple[tuple[str, Any], ...] = ()


CASES = {
    "nothing": Wrong(),
    "port": Wrong(
        "cannot connect", "Connection refused", settings=(("url", "https://127.0.0.1:1"),)
    ),
    "token": Wrong(
        "refused", "the credentials were not accepted", settings=(("auth", {"bearer": "wrong"}),)
    ),
    "no token": Wrong("refused", "declare `auth`", settings=(("auth", None),)),
    "tenant": Wrong(
        "control record not visible",
        "read for the tenant `team-b`: make both the same",
        settings=(("tenant", "team-b"),),
    ),
    "certificate": Wrong("cannot connect", "has expired: renew it on the server", expired=True),
    "clock": Wrong("clock off", r"is (299|300|301) s ahead of", front=(("ahead", 300.0),)),
    "clock behind": Wrong("clock off", r"is (299|300|301) s behind", front=(("ahead", -300.0),)),
}


@contextmanager
def front_of(url: str, empty: str, wrong: Wrong, authority: Authority) -> Iterator[str]:
    """Stand before a backend, and before an empty one that every other tenant sees."""
    tls = authority.server(expired=wrong.expired)
    front = replace(Front(TOKEN, tls, {TENANT: url}, empty), **dict(wrong.front))
    with fronted(front) as served:
        yield served.url


def look(source: Source, settings: WithControl) -> SourceState:
    """Ask a source as `obs-validator sources` does."""
    try:
        return Probe(source, settings, SystemClock()).look()
    finally:
        source.close()


@pytest.mark.req("V-13")
@pytest.mark.parametrize("case", list(CASES))
def test_the_one_thing_that_is_wrong_is_named(
    make_rig: RigMaker, tmp_path: Path, case: str
) -> None:
    """Of a wrong port, token, tenant, certificate and clock, each is named, and nothing else."""
    wrong, authority = CASES[case], Authority.made(tmp_path)
    full, empty = (make_rig(Limits()).collector.endpoint for _ in range(2))
    with ExitStack() as stack:
        url = stack.enter_context(front_of(full, empty, wrong, authority))
        declared: dict[str, Any] = {
            "type": "remote_collector",
            "url": url,
            "auth": {"bearer": TOKEN},
            "tenant": TENANT,
            "tls": {"ca": "ca.pem"},
            "control": {"url": full, "tenant": TENANT},
            "lag_budget": "500ms",
            **dict(wrong.settings),
        }
        settings = WithControl.model_validate(declared)
        state = look(collector(settings, tmp_path), settings)
    assert {problem.code for problem in state.problems} == ({wrong.code} - {""})
    assert re.search(wrong.words, " ".join(f"{one.seen}; {one.advice}" for one in state.problems))
    assert TOKEN not in str(state)
