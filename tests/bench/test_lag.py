"""The instrument of the verdict lag: what it must not overlook."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import pytest

from bench import lag
from bench.lag_observer import Listed, Watch, read_back, written
from bench.lag_runs import series
from bench.lag_truth import (
    EXPECTED,
    GOOD,
    LAG_BUDGET,
    SERVICE,
    SETTLE,
    Due,
    Given,
    Sighting,
    Witnessed,
    examine,
    scenario,
)
from validator.testing import FakeClock

pytestmark = pytest.mark.untraced


def at(time: float) -> Sighting:
    """Return what a perfect observer saw."""
    return Sighting(time, time)


SEEN = Witnessed(
    end=at(11.0), first=at(10.1), spans=(at(10.1), at(11.2)), lines=(at(10.1), at(11.1))
)


def given(scenario: str, late: float = 0.01) -> list[Given]:
    """Return the right verdicts of a scenario, each `late` seconds after it could be given."""
    return [
        Given(SEEN.could(due) + late, check, status.value)
        for check, (status, due) in EXPECTED[scenario].items()
    ]


def record(scenario: str) -> dict[str, str]:
    """Return the right verdicts of record."""
    return {check: status.value for check, (status, _) in EXPECTED[scenario].items()}


def test_half_of_the_runs_are_broken() -> None:
    """Good runs and broken ones alternate, and every way of breaking has its turn."""
    names = [scenario(number) for number in range(200)]
    assert names.count(GOOD) == 100
    assert {names.count(name) for name in EXPECTED if name != GOOD} == {25}


@pytest.mark.parametrize("name", list(EXPECTED))
def test_right_verdicts_in_time_have_their_lag(name: str) -> None:
    """The lag is counted from when a verdict could be given, not from the job's end."""
    outcome = examine(EXPECTED[name], SEEN, given(name, 0.03), record(name))
    assert outcome.false == ()
    assert outcome.lags == pytest.approx(dict.fromkeys(EXPECTED[name], 0.03))


def test_when_a_verdict_could_be_given() -> None:
    """Each kind of verdict waits for something else."""
    assert [SEEN.could(due) for due in Due] == pytest.approx(
        [11.0, 10.1, 11.2 + SETTLE, 11.1 + SETTLE, 11.0 + LAG_BUDGET]
    )


def test_a_verdict_too_early_is_false() -> None:
    """Who guesses right before it can be known is fast, and wrong all the same."""
    early = [
        replace(one, at=one.at - 0.2) if one.check == "connected" else one for one in given(SERVICE)
    ]
    outcome = examine(EXPECTED[SERVICE], SEEN, early, record(SERVICE))
    assert outcome.false == ("connected: fail 190 ms before it could be known",)
    assert "connected" not in outcome.lags


def test_another_verdict_is_false_also_if_it_is_corrected() -> None:
    """Somebody may have acted on the first one."""
    wrong = Given(SEEN.could(Due.SPANS_SETTLED), "connected", "pass")
    outcome = examine(EXPECTED[SERVICE], SEEN, [wrong, *given(SERVICE)], record(SERVICE))
    assert len(outcome.false) == 1
    assert outcome.false[0].startswith("connected: pass, then fail")


def test_a_verdict_never_given_or_of_another_record_is_false() -> None:
    """What was announced and what is on record both count."""
    silent = [one for one in given(GOOD) if one.check != "lines"]
    other = {**record(GOOD), "rows": "inconclusive"}
    false = examine(EXPECTED[GOOD], SEEN, silent, other).false
    assert [one.split(":")[0] for one in false] == ["rows", "lines"]


def test_evidence_later_than_declared_makes_a_run_void() -> None:
    """A busy machine that breaks the declared times shows nothing about the loop."""
    assert SEEN.in_time()
    steady = tuple(at(11.0 + SETTLE * 0.75 * step) for step in range(6))
    assert replace(SEEN, spans=steady[:4]).in_time()
    late = replace(SEEN, spans=steady)
    assert steady[-1].by > 11.0 + LAG_BUDGET
    gap = replace(SEEN, lines=(at(10.1), at(11.0 + SETTLE)))
    assert not late.in_time()
    assert not gap.in_time()


@dataclass
class FakeEyes:
    """A collector and a target whose contents follow a script; looking takes no time."""

    clock: FakeClock
    spans: dict[str, float]
    lines: dict[str, float]
    ends: float
    asked: list[str] = field(default_factory=list)

    def jobs(self) -> Iterable[Listed]:
        """Return the one job."""
        status = "done" if self.clock.time >= self.ends else "running"
        return [Listed("j", ("t",), next(iter(self.spans)), (*self.spans,), (*self.lines,), status)]

    def version(self) -> int:
        """Return how many pieces are there."""
        return len(self.readable((), "traces") | self.readable((), "logs"))

    def readable(self, jobs: Iterable[Listed], signal: str) -> set[str]:
        """Return the pieces that are there by now."""
        del jobs
        pieces = self.spans if signal == "traces" else self.lines
        return {piece for piece, since in pieces.items() if self.clock.time >= since}


@pytest.mark.parametrize("delay", [0.0, 0.2])
def test_the_observer_brackets_what_it_sees(delay: float) -> None:
    """A source that shows everything 200 ms later is seen to do so, to within one look."""
    clock = FakeClock(100.0)
    spans = {"a": 100.101 + delay, "b": 100.303 + delay}
    eyes = FakeEyes(clock, spans, {"l": 100.202 + delay}, ends=100.25)
    watch = Watch(eyes, lambda: clock.time)
    for _ in range(200):
        watch.look_at_target()
        watch.look_at_collector()
        clock.sleep(0.004)
    seen = read_back(written(watch.witnessed()))["j"]
    times = [*zip(seen.spans, spans.values(), strict=True), (seen.end, 100.25)]
    times.append((seen.lines[0], 100.202 + delay))
    for sighting, true in times:
        assert sighting.after < true <= sighting.by
        assert sighting.by - sighting.after == pytest.approx(0.004)
    assert seen.first == seen.spans[0]


def test_what_is_not_seen_whole_is_not_told() -> None:
    """A job of which a piece never came says nothing of when it could be judged."""
    clock = FakeClock(100.0)
    eyes = FakeEyes(clock, {"a": 100.0, "b": 999.0}, {"l": 100.0}, ends=100.1)
    watch = Watch(eyes, lambda: clock.time)
    for _ in range(50):
        watch.look_at_target()
        watch.look_at_collector()
        clock.sleep(0.004)
    assert watch.witnessed() == {}


@pytest.mark.process
def test_latency_in_the_source_shows_in_the_figure() -> None:
    """A real run with 200 ms put into the source: no verdict that needs it is quicker."""
    told = lag.told(series(1, lanes=1, remote=False, delay=0.2))
    assert told.false == ()
    if not told.void:
        assert min(told.by_due[Due.SPANS_SETTLED.name]) >= 0.2
        assert min(told.by_due[Due.LINES_SETTLED.name]) >= 0.2
