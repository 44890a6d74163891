"""The lease for validators: one has it at a time, by the database's clock."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import pytest

from pipeline.testing import poll_until

if TYPE_CHECKING:
    from pipeline.testing import RunningPipeline

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.req("V-11")]


class Leases:
    """The endpoint, as validators call it."""

    def __init__(self, pipeline: RunningPipeline) -> None:
        """Call as the validator."""
        self._client = pipeline.client
        self._url = f"{pipeline.url('orchestrator')}/lease"
        self._key = pipeline.key("validator")

    def ask(self, method: str, holder: str, ttl: float = 30.0) -> httpx.Response:
        """Take (PUT) or renew (PATCH)."""
        body = {"holder": holder, "ttl_seconds": ttl}
        return self._client.request(method, self._url, json=body, headers=self._key)

    def release(self, holder: str) -> httpx.Response:
        """Give it back."""
        return self._client.delete(self._url, params={"holder": holder}, headers=self._key)


@pytest.fixture
def leases(running: RunningPipeline) -> Iterator[Leases]:
    """Return the endpoint with nobody holding the lease, and leave it so."""
    found = Leases(running)
    yield found
    holder = found.ask("PUT", "the-end").json()["holder"]
    assert found.release(holder).status_code == 200


def test_one_has_it_and_the_other_is_told_who(leases: Leases) -> None:
    """A second holder is refused with 409, and may have it once it is given back."""
    taken = leases.ask("PUT", "a")
    assert taken.status_code == 200
    assert taken.json()["holder"] == "a"
    assert 29 < taken.json()["expires_in"] <= 30
    refused = leases.ask("PUT", "b")
    assert (refused.status_code, refused.json()["holder"]) == (409, "a")
    assert leases.release("b").status_code == 409
    assert leases.ask("PATCH", "b").status_code == 409
    assert leases.ask("PUT", "a", 60).json()["expires_in"] > 59
    assert leases.release("a").status_code == 200
    assert leases.ask("PUT", "b").status_code == 200


def test_what_was_given_back_is_not_renewed(leases: Leases) -> None:
    """A renewal that comes late takes nothing: only `PUT` takes."""
    leases.ask("PUT", "a")
    leases.release("a")
    late = leases.ask("PATCH", "a")
    assert (late.status_code, late.json()) == (409, {"holder": None, "expires_in": 0.0})
    assert leases.release("a").status_code == 409


def test_it_runs_out_and_a_gap_is_not_renewed_over(leases: Leases) -> None:
    """Who is not heard of for the time loses it; then it cannot say that it always had it."""
    leases.ask("PUT", "dead", 0.3)
    taken = poll_until(lambda: leases.ask("PUT", "b").status_code == 200, "the lease", 5)
    assert taken
    assert leases.ask("PATCH", "dead").status_code == 409
    leases.release("b")
    leases.ask("PUT", "slow", 0.05)
    poll_until(lambda: leases.ask("PATCH", "slow", 0.05).status_code == 409, "its end", 5)


@pytest.mark.parametrize("before", ["nobody", "somebody who is dead"])
def test_of_many_at_once_one_has_it(leases: Leases, before: str) -> None:
    """However many ask at the same time: one is answered 200, and the others who that is."""
    for _ in range(5):
        if before != "nobody":
            leases.ask("PUT", before, 0.001)
        names = [secrets.token_hex(4) for _ in range(12)]
        with ThreadPoolExecutor(len(names)) as pool:
            answers = list(pool.map(lambda name: leases.ask("PUT", name), names))
        had = [name for name, one in zip(names, answers, strict=True) if one.status_code == 200]
        assert len(had) == 1
        assert {one.json()["holder"] for one in answers} == set(had)
        assert leases.release(had[0]).status_code == 200


@pytest.mark.parametrize("whose", ["user", "service"])
def test_only_validators_may_have_it(running: RunningPipeline, whose: str) -> None:
    """A user or a service can neither take it nor give it back for somebody, nor sweep."""
    url, key = running.url("orchestrator"), running.key(whose)
    for method in ("PUT", "PATCH"):
        answer = running.client.request(method, f"{url}/lease", json={"holder": "x"}, headers=key)
        assert answer.status_code == 403
    assert running.client.delete(f"{url}/lease?holder=x", headers=key).status_code == 403
    assert running.client.delete(f"{url}/synthetic", headers=key).status_code == 403


@pytest.mark.parametrize("ttl", [0, -1, 3601])
def test_a_time_that_is_none_is_refused(running: RunningPipeline, ttl: float) -> None:
    """A lease has an end, and within the hour."""
    url, key = f"{running.url('orchestrator')}/lease", running.key("validator")
    body = {"holder": "x", "ttl_seconds": ttl}
    assert running.client.put(url, json=body, headers=key).status_code == 422
