"""What `check` does, apart from its command line."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from checks import CHECKS
from validator.app import App, Existing, with_overrides
from validator.config import Settings, environment, load_settings
from validator.errors import ConfigError
from validator.evidence_io import save_run
from validator.expect import expecting, unmet
from validator.loader import load_suites
from validator.model import Run
from validator.report.progress import ConsoleObserver
from validator.suite import Suite
from validator.yamlfile import nearest

_PAUSE = 5.0
"""Seconds between two looks whether the expected version runs: a deployment takes minutes."""

_TRACE_ID = re.compile(r"[0-9a-f]{24,32}")


def run(  # noqa: PLR0913 - one parameter an option of the command line
    *,
    suites: Sequence[str],
    config_path: Path,
    target: str,
    ring: int | None,
    deadline: float | None,
    job_id: str,
    trace_id: str,
    save_evidence: Path | None,
    second_look: float | None,
    expect_version: str,
    expect_within: float,
    format_: str,
    outputs: object,
) -> tuple[tuple[Run, ...], bool]:
    """Load, run, store; return the runs, and whether an interrupt kept others from being made.

    The reports on standard output are the observer's or the caller's.
    """
    del outputs
    settings = load_settings(config_path, environment())
    chosen = choose(settings, suites, ring)
    if target and target not in settings.targets:
        raise ConfigError(_unknown("target", target, list(settings.targets)))
    chosen = with_overrides(chosen, target=target, deadline=deadline)
    existing = _existing(job_id, trace_id)
    if expect_version:
        chosen = expecting(chosen, expect_version)
    to_stdout = format_ == "console"
    observer = ConsoleObserver(sys.stdout if to_stdout else sys.stderr, reports=to_stdout)
    made: dict[str, Run] = {}
    interrupted = False
    with App(settings) as app, observer:
        until = app.clock.monotonic() + (0.0 if existing else expect_within)
        try:
            while chosen:
                done = app.check(chosen, observer, existing, second_look)
                made |= {run.suite: run for run in done}
                if any(run.interrupted for run in done):
                    break
                chosen = _again(chosen, done, late=app.clock.monotonic() + _PAUSE > until)
                if chosen:
                    app.clock.sleep(_PAUSE)
        except KeyboardInterrupt as early:
            made |= {run.suite: run for run in getattr(early, "runs", ())}
            interrupted = True
    runs = tuple(made.values())
    if save_evidence is not None:
        for one in runs:
            click.echo(f"evidence: {save_run(kept(one, settings), save_evidence)}", err=True)
    return runs, interrupted


def _again(suites: Iterable[Suite], done: Sequence[Run], *, late: bool) -> tuple[Suite, ...]:
    """Return the suites to run again, since another version than the one expected did the job."""
    others = {} if late else unmet(done)
    for name, seen in others.items():
        click.echo(f"{name}: {seen}; again in {_PAUSE:g} s", err=True)
    return tuple(suite for suite in suites if suite.name in others)


def choose(settings: Settings, wanted: Sequence[str], ring: int | None) -> tuple[Suite, ...]:
    """Return the suites of these names or files, or all, and of them those of the ring.

    One that is named twice is one; two of one name are a `ConfigError`, since runs are known by it.
    """
    files = [name for name in dict.fromkeys(wanted) if name.endswith((".yaml", ".yml"))]
    names = [name for name in dict.fromkeys(wanted) if name not in files]
    found: tuple[Suite, ...] = ()
    if names or not files:
        every = load_suites(settings, CHECKS)
        known = {suite.name: suite for suite in every}
        for name in names:
            if name not in known:
                raise ConfigError(_unknown("suite", name, list(known)))
        found = tuple(known[name] for name in names) if names else every
    if files:
        found = _joined(found, load_suites(settings, CHECKS, files, Path.cwd()))
    found = tuple(suite for suite in found if ring is None or suite.ring == ring)
    if not found:
        raise ConfigError(f"no suite of ring {ring} in {settings.path}: nothing would run")
    return found


def _joined(named: Iterable[Suite], of_files: Iterable[Suite]) -> tuple[Suite, ...]:
    found = {suite.name: suite for suite in named}
    for suite in of_files:
        other = found.setdefault(suite.name, suite)
        if Path(other.path).resolve() != Path(suite.path).resolve():
            raise ConfigError(
                f'{suite.path}:1: the suite "{suite.name}" is in {other.path} already'
            )
    return tuple(found.values())


def _unknown(what: str, name: str, known: list[str]) -> str:
    return f"there is no {what} `{name}`{nearest(name, known)}"


def _existing(job_id: str, trace_id: str) -> Existing | None:
    if not job_id and not trace_id:
        return None
    normal = trace_id.lower()
    if normal and (not _TRACE_ID.fullmatch(normal) or not int(normal, 16)):
        raise click.UsageError(
            f"--trace-id {trace_id}: a trace id is 32 hex digits (some tools drop leading zeros)"
        )
    return Existing(job_id, normal.rjust(32, "0") if normal else "")


def kept(run: Run, settings: Settings) -> Run:
    """Return the run as it may be stored: a real job's evidence only as far as it is allowed."""
    from validator.privacy import filtered  # noqa: PLC0415 - only where evidence is stored

    return filtered(run, settings.privacy.allow_attributes) if run.evidence.job.existing else run
