"""What `demo` does, apart from its command line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import click

from checks import CHECKS
from validator import demo
from validator.app import Interrupted
from validator.clock import SystemClock
from validator.demo import GOOD, Break, Shown
from validator.loader import load_suites
from validator.model import Run, Status, Verdict
from validator.report.html import render
from validator.report.lines import joined, run_lines
from validator.sources.collector.limits import Limits
from validator.sources.collector.server import Collector, Listen


def play(output: Path) -> int:
    """Play all of it; return 0 if it went as it should, else 1."""
    clock = SystemClock()
    began = clock.monotonic()
    collector = Collector(clock, Listen("127.0.0.1", 0, None), Limits(), ("job.id", "job_id"))
    collector.start()
    shown: list[Shown] = []
    try:
        click.echo("starting the pipeline: PostgreSQL, Redis, 5 services, 2 workers, 3 stubs")
        with demo.stage(collector, clock) as (pipeline, variables):
            click.echo(f"healthy after {clock.monotonic() - began:.1f} s\n")
            with demo.app_for(collector, variables) as app:
                suites = sorted(load_suites(app.settings, CHECKS), key=lambda suite: suite.name)
                for part in demo.show(app, pipeline, suites, _announce):
                    shown.append(part)
                    _go_on(part)
                    _tell(part)
    except KeyboardInterrupt as interrupt:
        unjudged = interrupt.runs if isinstance(interrupt, Interrupted) else ()
        _write(output, shown, "interrupted", unjudged)
        raise
    except BaseException:
        _write(output, shown, "broken off")
        raise
    finally:
        collector.stop()
    _write(output, shown)
    return _end(shown, clock.monotonic() - began, output)


def _go_on(part: Shown) -> None:
    """End the whole where a run was interrupted: it has been cleaned up; now for the rest."""
    if any(run.interrupted for run in part.runs):
        raise KeyboardInterrupt


def _announce(broken: Break) -> None:
    title = broken.title if broken is GOOD else f"broken on purpose: {broken.title}"
    click.secho(f"── {title}", bold=True)


def _tell(part: Shown) -> None:
    good = part.title == "good"
    for run in part.runs:
        chosen = run.verdicts if good else _failures(run)
        if chosen:
            click.echo(joined(run_lines(replace(run, verdicts=chosen, findings=()))))
            click.echo()
    if part.wrong:
        for line in part.wrong:
            click.secho(f"   NOT AS IT SHOULD BE: {line}", fg="red", bold=True)
    else:
        said = "all checks pass" if good else f"caught by {_names(part.runs)}, and by no other"
        click.secho(f"   as it should be: {said} ({part.seconds:.1f} s)\n", fg="green")


def _failures(run: Run) -> tuple[Verdict, ...]:
    return tuple(v for v in run.verdicts if v.status is Status.FAIL)


def _names(runs: Iterable[Run]) -> str:
    return ", ".join(
        f"{run.suite}/{v.name}" for run in runs for v in run.verdicts if v.status is Status.FAIL
    )


def _write(
    output: Path, shown: Sequence[Shown], ended: str = "", unjudged: Iterable[Run] = ()
) -> None:
    """Write all runs into one page, which says above them whether all went as it should.

    `ended` says how it ended, if not by itself; `unjudged` are runs of a part that is not whole.
    """
    runs = [
        replace(run, suite=run.suite if part.title == "good" else f"{run.suite} [{part.title}]")
        for part in shown
        for run in part.runs
    ]
    runs += [replace(run, suite=f"{run.suite} [interrupted]") for run in unjudged]
    if runs:
        held, said = _outcome(shown)
        title = f"demonstration, {ended}" if ended else "demonstration"
        status = Status.PASS if held and not ended else Status.FAIL
        text = render(runs, (status, f"{title}: {said}"))
        output.write_text(text, encoding="utf-8")


def _outcome(shown: Sequence[Shown]) -> tuple[bool, str]:
    """Return whether all went as it should, and how many breaks were caught."""
    held = sum(not part.wrong for part in shown) == len(demo.BREAKS) + 1
    caught = sum(not part.wrong for part in shown if part.title != "good")
    said = f"{caught} of {len(demo.BREAKS)} breaks caught by the right check and no other"
    return held, said if held else f"{said}: not as it should be"


def _end(shown: Sequence[Shown], seconds: float, output: Path) -> int:
    held, said = _outcome(shown)
    click.secho(f"{said}, in {seconds:.0f} s", fg="green" if held else "red", bold=True)
    click.echo(f"report: {output.absolute().as_uri()}")
    return 0 if held else 1
