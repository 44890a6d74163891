"""What is known beforehand of a run of the verdict lag, and when its verdicts could be given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import pairwise
from typing import Any

from validator.model import Status
from validator.suite import CheckSpec

SETTLE = 0.4
"""The declared settle time, seconds. Less than the default of 2 s only so that runs are short."""
LAG_BUDGET = 1.2
"""The declared lag budget of the source, seconds."""

GOOD = "good"
SERVICE = "missing service"
CONTEXT = "lost context"
ATTRIBUTE = "missing attribute"
FINAL = "missing attribute on the root"


class Due(Enum):
    """What a verdict waits for, by the rules of judging."""

    END = auto()
    """The job's end: it is the target's word alone."""
    SPAN = auto()
    """The first service's span: nothing that may still come can change it."""
    SPANS_SETTLED = auto()
    """The settle time after the last span and the job's end."""
    LINES_SETTLED = auto()
    """The settle time after the last log line and the job's end."""
    BUDGET = auto()
    """The lag budget after the job's end: something is missing, and may come until then."""


Expected = Mapping[str, tuple[Status, Due]]

_GOOD: Expected = {
    "job_outcome": (Status.PASS, Due.END),
    "connected": (Status.PASS, Due.SPANS_SETTLED),
    "some_root": (Status.PASS, Due.SPAN),
    "every_root": (Status.PASS, Due.SPANS_SETTLED),
    "rows": (Status.PASS, Due.SPANS_SETTLED),
    "lines": (Status.PASS, Due.LINES_SETTLED),
}
_WAITING: Expected = {**_GOOD, "every_root": (Status.PASS, Due.BUDGET)}

EXPECTED: Mapping[str, Expected] = {
    GOOD: _GOOD,
    SERVICE: {
        **_WAITING,
        "connected": (Status.FAIL, Due.BUDGET),
        "rows": (Status.BLOCKED, Due.BUDGET),
    },
    CONTEXT: {
        **_WAITING,
        "connected": (Status.FAIL, Due.BUDGET),
        "rows": (Status.PASS, Due.BUDGET),
    },
    ATTRIBUTE: {**_GOOD, "rows": (Status.FAIL, Due.SPANS_SETTLED)},
    FINAL: {**_GOOD, "every_root": (Status.FAIL, Due.SPAN)},
}
"""Of each scenario the status of each check, and what that verdict waits for."""


def scenario(number: int) -> str:
    """Return the scenario of a run: good ones and broken ones alternate."""
    broken = (SERVICE, CONTEXT, ATTRIBUTE, FINAL)
    return broken[number // 2 % len(broken)] if number % 2 else GOOD


def checks() -> tuple[CheckSpec, ...]:
    """Return the checks of every run."""
    connected = {"services": ["api", "worker", "store"]}
    connected["edges"] = ["api -> worker", "worker -> store"]
    root = {"service": "api", "name": "POST /jobs"}
    return (
        _spec("connected_trace", "connected", connected),
        _spec("span_attributes", "some_root", {"spans": root, "require": ["job.id"], "on": "any"}),
        _spec("span_attributes", "every_root", {"spans": root, "require": ["app.user"]}),
        _spec("span_attributes", "rows", {"spans": {"service": "store"}, "require": ["db.rows"]}),
        _spec("log_fields", "lines", {"require": ["job.id"], "min_matches": 3}),
    )


def _spec(kind: str, name: str, params: Mapping[str, Any]) -> CheckSpec:
    return CheckSpec(kind, name, params, "what the benchmark breaks", "required", "(bench)")


@dataclass(frozen=True, slots=True)
class Sighting:
    """When something could first be read: after the last look without it, by the first with it.

    Seconds on the machine's monotonic clock, which its processes share.
    """

    after: float
    by: float


@dataclass(frozen=True, slots=True)
class Witnessed:
    """What the observer saw of one job; `first` is the first service's span."""

    end: Sighting
    first: Sighting
    spans: tuple[Sighting, ...]
    lines: tuple[Sighting, ...]

    def could(self, due: Due) -> float:
        """Return the earliest time at which a verdict that waits for `due` could be given.

        The earliest that the observer allows: of each piece the last look without it counts. The
        lag is so never measured too small, and only what is certainly too early is called so.
        """
        if due is Due.END:
            return self.end.after
        if due is Due.SPAN:
            return self.first.after
        if due is Due.BUDGET:
            return self.end.after + LAG_BUDGET
        pieces = self.spans if due is Due.SPANS_SETTLED else self.lines
        return max(self.end.after, *(piece.after for piece in pieces)) + SETTLE

    def in_time(self) -> bool:
        """Whether the evidence itself kept to the declared times, which a busy machine may break.

        If not, another verdict than the expected one may be right, and the run shows nothing.
        """
        for pieces in (self.spans, self.lines):
            times = [self.end.after, *sorted(piece.by for piece in pieces)]
            late = [time for time in times if time >= self.end.after]
            gaps = [b - a for a, b in pairwise(late)]
            if late[-1] > self.end.after + LAG_BUDGET or any(gap >= SETTLE for gap in gaps):
                return False
        return True


@dataclass(frozen=True, slots=True)
class Given:
    """A verdict as the run loop announced it."""

    at: float
    check: str
    status: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run comes to: the lag of each right verdict, and what each false one was."""

    lags: Mapping[str, float]
    false: tuple[str, ...]


def examine(
    expected: Expected,
    seen: Witnessed,
    given: Sequence[Given],
    record: Mapping[str, str],
) -> Outcome:
    """Hold what was announced, and the verdicts of record, against what is known of the run.

    A verdict is false when it is another than expected at any time, when it was never given, and
    when it was given before it could be: whoever guesses well is still guessing.
    """
    lags: dict[str, float] = {}
    false: list[str] = []
    for check, (status, due) in expected.items():
        mine = [one for one in given if one.check == check]
        words = [one.status for one in mine]
        lag = mine[0].at - seen.could(due) if mine else 0.0
        if words != [status.value] or record.get(check) != status.value:
            said = ", then ".join(words) or "nothing"
            false.append(f"{check}: {said}, of record {record.get(check)}, not {status.value}")
        elif lag < 0:
            false.append(f"{check}: {status.value} {-lag * 1000:.0f} ms before it could be known")
        else:
            lags[check] = lag
    unknown = {*record, *(one.check for one in given)} - {*expected}
    return Outcome(lags, (*false, *(f"{check}: not in the suite" for check in sorted(unknown))))
