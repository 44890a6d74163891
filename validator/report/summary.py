"""What all runs together come to: counts, the exit code, and what it means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from validator.model import Run, Status

MEANING: Final[Mapping[int, str]] = {
    0: "every check that could be judged passed",
    1: "a check failed",
    2: "nothing was judged",
    3: "a check is inconclusive, so this is no pass",
}
"""The exit codes of a command that judges, and what they mean."""

_WORDS: Final[Mapping[Status, str]] = {
    Status.PASS: "passed",
    Status.FAIL: "failed",
    Status.INCONCLUSIVE: "inconclusive",
    Status.BLOCKED: "blocked",
    Status.PENDING: "undecided",
}


def counts(runs: Sequence[Run]) -> dict[Status, int]:
    """Count the verdicts of each status."""
    found = Counter(verdict.status for run in runs for verdict in run.verdicts)
    return {status: found[status] for status in Status}


def exit_code(runs: Sequence[Run]) -> int:
    """Return 1 if anything failed, else 3 if anything is open, else 2 if nothing passed, else 0.

    Only required verdicts count; advisory and quarantined ones are told and decide nothing. A
    blocked verdict never changes the code. A run that was interrupted, or a verdict that is
    still pending, is as inconclusive as one that says so.
    """
    found = Counter(v.status for run in runs for v in run.verdicts if v.level == "required")
    if found[Status.FAIL]:
        return 1
    interrupted = any(run.interrupted for run in runs)
    if found[Status.INCONCLUSIVE] or found[Status.PENDING] or interrupted:
        return 3
    return 0 if found[Status.PASS] else 2


def outcome(run: Run) -> Status:
    """Return what one run comes to."""
    code = exit_code([run])
    return {0: Status.PASS, 1: Status.FAIL}.get(code, Status.INCONCLUSIVE)


def counted(runs: Sequence[Run]) -> str:
    """Return the counts in words: `3 passed, 1 failed`; statuses that nothing has are left out."""
    found = counts(runs)
    return ", ".join(f"{found[key]} {word}" for key, word in _WORDS.items() if found[key]) or "none"


def sentence(runs: Sequence[Run]) -> str:
    """Return the line at a report's end."""
    code = exit_code(runs)
    number = f"{len(runs)} run" if len(runs) == 1 else f"{len(runs)} runs"
    return f"{counted(runs)} in {number}: exit code {code}, {MEANING[code]}"
