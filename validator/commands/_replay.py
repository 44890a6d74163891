"""What `replay` does, apart from its command line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from checks import CHECKS
from validator.config import environment, load_settings
from validator.errors import ConfigError
from validator.evidence_io import load_runs
from validator.expect import as_then
from validator.judge import Judge
from validator.judging import verdicts_of_record
from validator.loader import load_suites
from validator.model import Run, Verdict


def judged_again(directory: Path, config_path: Path) -> tuple[tuple[Run, ...], tuple[str, ...]]:
    """Return the stored runs with new verdicts, and in what these differ from the old ones."""
    settings = load_settings(config_path, environment())
    suites = {suite.name: suite for suite in load_suites(settings, CHECKS)}
    stored = load_runs(directory)
    if not stored:
        raise ConfigError(f"{directory}: no stored run in it; `check --save-evidence` makes them")
    runs: list[Run] = []
    changes: list[str] = []
    for run in stored:
        if run.suite not in suites:
            raise ConfigError(
                f"{directory}: run {run.id} is of the suite `{run.suite}`, unknown now"
            )
        suite = as_then(suites[run.suite], run)
        judge = Judge(CHECKS, suite.checks, suite.gate)
        again = replace(run, verdicts=verdicts_of_record(judge, run.evidence))
        changes += differences(run, again)
        runs.append(again)
    return tuple(runs), tuple(changes)


def differences(then: Run, now: Run) -> list[str]:
    """Say in what the verdicts of two judgements of one run differ."""
    old = {verdict.name: verdict for verdict in then.verdicts}
    new = {verdict.name: verdict for verdict in now.verdicts}
    where = f"{now.suite} {now.id}"
    said = []
    for name in dict.fromkeys([*old, *new]):
        before, after = old.get(name), new.get(name)
        if before is None and after is not None:
            said.append(f"{where}: {name}: new, {after.status}")
        elif after is None and before is not None:
            said.append(f"{where}: {name}: was {before.status}, is no longer in the suite")
        elif before is not None and after is not None and before != after:
            said.append(f"{where}: {name}: {_difference(before, after)}")
    return said


def _difference(before: Verdict, after: Verdict) -> str:
    if before.status is not after.status:
        return f"was {before.status} ({before.code}), is {after.status} ({after.code})"
    if before.code != after.code:
        return f"{after.status} as before, for another reason: {before.code}, now {after.code}"
    return f"{after.status} as before, in other words: {after.summary}"
