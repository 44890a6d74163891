"""What `sources` finds out of a source, on a clock that only the test moves."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from validator.config_sources import SourceSettings
from validator.errors import SourceError, SourceFailure
from validator.model import Phase, Sample
from validator.ports import Answer, Probed, Question
from validator.probe import Probe, SourceState
from validator.testing import FakeClock

GOOD = Probed("1.2.3", 0.02, 0.3)


@dataclass
class Store:
    """A source of spans into which control records go; they are visible after `slow` seconds."""

    clock: FakeClock = field(default_factory=FakeClock)
    slow: float = 0.0
    name: str = "tempo"
    kind: str = "tempo"
    lag_budget: float = 3.0
    probed: Probed | SourceFailure = GOOD
    broken: SourceFailure | None = None
    planted: list[str] = field(default_factory=list)
    began: float = 0.0
    asked: int = 0

    def close(self) -> None:
        """Do nothing."""

    def probe(self) -> Probed:
        """Answer, or fail."""
        if isinstance(self.probed, SourceFailure):
            raise SourceError(self.name, self.probed, "http://tempo:3200: refused")
        return self.probed

    def plant(self, trace_id: str) -> None:
        """Take a record, or fail."""
        if self.broken is not None:
            raise SourceError(f"{self.name} (control)", self.broken, "no way in")
        self.planted.append(trace_id)
        self.began = self.clock.time

    def traces(self, question: Question) -> Answer:
        """Show the record when it is time."""
        self.asked += 1
        there = self.clock.time - self.began >= self.slow and question.control in self.planted
        return Answer(control_seen=there)


@dataclass
class Metrics:
    """A source of samples."""

    clock: FakeClock = field(default_factory=FakeClock)
    age: float | None = 12.0
    name: str = "prometheus"
    kind: str = "prometheus"
    lag_budget: float = 75.0

    def close(self) -> None:
        """Do nothing."""

    def samples(self, metrics: frozenset[str]) -> Answer:
        """Return `up` of so many seconds ago."""
        assert metrics == {"up"}
        if self.age is None:
            return Answer()
        up = Sample(
            metric="up",
            name="up",
            type="gauge",
            labels={},
            value=1.0,
            time=self.clock.time - self.age,
            exemplar=None,
            service="a",
            instance="i",
            phase=Phase.AFTER,
            source=self.name,
            seen=self.clock.time,
        )
        return Answer(samples=(up, replace(up, time=self.clock.time - self.age - 30)))


def look(source: Store | Metrics, **settings: Any) -> SourceState:
    """Look at a source that is declared so."""
    declared = cast("SourceSettings", SimpleNamespace(**{"type": source.kind, **settings}))
    return Probe(source, declared, source.clock).look()


def test_a_good_source() -> None:
    """A source that shows its control record is good, and its lag is what that took."""
    source = Store(slow=0.4)
    state = look(source, control=SimpleNamespace(tenant=None))
    assert (state.problems, state.asked, state.version, state.latency) == ((), True, "1.2.3", 0.02)
    assert 0.4 <= state.lag["traces"] < 0.7
    assert source.asked < 8


@pytest.mark.parametrize(
    ("slow", "codes"),
    [
        (2.9, []),
        (3.5, ["slower than declared"]),
        (math.inf, ["control record not visible"]),
    ],
)
def test_lateness_is_told_from_loss(slow: float, codes: list[str]) -> None:
    """What comes after the lag budget is slow; what does not come in two seconds more is lost."""
    source = Store(slow=slow)
    began = source.clock.time
    state = look(source, control=SimpleNamespace(tenant=None), tenant=None)
    assert [problem.code for problem in state.problems] == codes
    assert source.clock.time - began <= source.lag_budget + 2.0


def test_without_a_way_in_nothing_is_claimed() -> None:
    """A source whose way in is not declared is not said to have lost what was never sent."""
    source = Store(slow=math.inf)
    state = look(source, control=None)
    assert (state.problems, state.lag_note) == ((), "not measured: declare `control`")
    assert (source.planted, source.asked) == ([], 0)


@pytest.mark.parametrize(
    ("reads", "writes", "advice"),
    [
        ("a", "b", "written for the tenant `b` (`control`) and read for the tenant `a`"),
        ("a", None, "written for no tenant (`control`) and read for the tenant `a`"),
        ("a", "a", "look whether the tenant `a` is right"),
        (None, None, "look whether no tenant is right"),
    ],
)
def test_a_wrong_tenant_is_named(reads: str | None, writes: str | None, advice: str) -> None:
    """A good answer without the control record leads to the tenants of both ways."""
    source = Store(slow=math.inf)
    state = look(source, tenant=reads, control=SimpleNamespace(tenant=writes))
    assert advice in state.problems[0].advice


@pytest.mark.parametrize(
    ("offset", "latency", "words"),
    [
        (300.0, 0.1, "300 s ahead of"),
        (-300.0, 0.1, "300 s behind"),
        (2.6, 0.1, "3 s ahead of"),
        (2.5, 0.1, ""),
        (-3.0, 1.2, ""),
        (None, 0.1, ""),
    ],
)
def test_a_clock_that_is_off_is_told(offset: float | None, latency: float, words: str) -> None:
    """Two seconds beyond what the header and the way there can tell."""
    state = look(Store(probed=Probed("", latency, offset)), control=SimpleNamespace(tenant=None))
    assert [problem.code for problem in state.problems] == (["clock off"] if words else [])
    assert words in "".join(problem.seen for problem in state.problems)


@pytest.mark.parametrize("failure", list(SourceFailure))
def test_each_failure_has_an_advice(failure: SourceFailure) -> None:
    """Whatever fails is told with its own word, what was seen, and what to do."""
    source = Store(probed=failure)
    state = look(source, control=SimpleNamespace(tenant=None))
    (problem,) = state.problems
    assert (problem.code, problem.seen) == (failure.value, "http://tempo:3200: refused")
    assert problem.advice
    assert not state.asked


def test_a_way_in_that_fails_is_not_the_source() -> None:
    """When the control endpoint fails the source was asked, and it is said whose failure it is."""
    source = Store(broken=SourceFailure.REFUSED)
    state = look(source, control=SimpleNamespace(tenant=None))
    assert state.asked
    assert state.problems[0].seen == "tempo (control): no way in"


def test_the_age_of_the_newest_sample() -> None:
    """Metrics are as old as the newest of what every target has."""
    assert look(Metrics()).lag == {"metrics": 12.0}
    assert [problem.code for problem in look(Metrics(age=90)).problems] == ["slower than declared"]


def test_no_age_is_measured_by_a_clock_that_is_off() -> None:
    """A clock that is off is told once, and not again as slowness."""

    class Off(Metrics):
        def probe(self) -> Probed:
            """Be five minutes ahead."""
            return Probed("", 0.1, 300.0)

    state = look(Off(age=290))
    assert [problem.code for problem in state.problems] == ["clock off"]
    assert (state.lag, state.lag_note) == ({}, "not measured: its clock is off")


def test_an_empty_tenant_is_a_problem() -> None:
    """Metrics without anything are good answers that nothing can be judged by."""
    (problem,) = look(Metrics(age=None), tenant="x").problems
    assert problem.code == "nothing there"
    assert "look whether the tenant `x` is right" in problem.advice
    assert look(Metrics(age=None, kind="scrape")).problems == ()
