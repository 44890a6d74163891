"""Promises of the summary: the exit code, the counts, and that formats load lazily."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from tests.report import samples
from validator.model import Run, Status
from validator.report import FORMATS, exit_code
from validator.report.summary import MEANING, counts, outcome, sentence

P, F, I, B, O = (  # noqa: E741 - the table below is read by its letters
    Status.PASS,
    Status.FAIL,
    Status.INCONCLUSIVE,
    Status.BLOCKED,
    Status.PENDING,
)


def run_of(*statuses: Status) -> Run:
    """Return a run with these verdicts."""
    verdicts = tuple(samples.verdict("check", status, "said") for status in statuses)
    return samples.run("r", verdicts, samples.evidence())


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        ((P,), 0),
        ((P, P, B), 0),
        ((F,), 1),
        ((P, F), 1),
        ((F, I), 1),
        ((I, F, B), 1),
        ((I,), 3),
        ((P, I), 3),
        ((B, I), 3),
        ((P, O), 3),
        ((B,), 2),
        ((), 2),
    ],
    ids=lambda value: "".join(item.value[0] for item in value) if isinstance(value, tuple) else "",
)
def test_the_exit_code(statuses: tuple[Status, ...], code: int) -> None:
    """A fail outranks what is inconclusive, blocked changes nothing, no pass is no success."""
    assert exit_code([run_of(*statuses)]) == code
    assert exit_code([run_of(status) for status in statuses]) == code
    assert MEANING[code] in sentence([run_of(*statuses)])


def test_nothing_ran() -> None:
    """No run at all is exit code 2."""
    assert exit_code([]) == 2
    assert sentence([]) == "none in 0 runs: exit code 2, nothing was judged"


def test_an_interrupted_run_is_no_success() -> None:
    """Passes of a run that was stopped are not the whole of it; a fail stays one."""
    assert exit_code([replace(run_of(P), interrupted=True)]) == 3
    assert exit_code([replace(run_of(P, F), interrupted=True)]) == 1


def test_counts_and_sentence() -> None:
    """Each status is counted over all runs, and the sentence names those that there are."""
    runs = [samples.GOOD, samples.LOST, samples.BLOCKED, samples.INCONCLUSIVE]
    assert counts(runs) == {P: 6, F: 2, I: 1, B: 1, O: 0}
    assert sentence(runs) == (
        "6 passed, 2 failed, 1 inconclusive, 1 blocked in 4 runs: exit code 1, a check failed"
    )
    assert [outcome(run) for run in runs] == [P, F, F, I]


@pytest.mark.process
def test_formats_are_imported_when_rendered() -> None:
    """Naming the formats loads neither rich nor Jinja2, so that the command starts quickly."""
    code = (
        "import sys; from validator.report import FORMATS, exit_code; "
        "print(sorted({'rich', 'jinja2', 'pydantic'} & set(sys.modules)))"
    )
    shown = subprocess.run(  # what a fresh interpreter loads
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert shown.stdout.strip() == "[]"


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_takes_any_runs(name: str) -> None:
    """No run, one, all of them, hostile ones: each format renders, and the same each time."""
    for runs in ([], [samples.HOSTILE], list(samples.RUNS.values())):
        text = FORMATS[name](runs)
        assert text.endswith("\n")
        assert text == FORMATS[name](runs)
        text.encode("utf-8")
