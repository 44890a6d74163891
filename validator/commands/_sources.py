"""What `sources` does, apart from its command line."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import click

from validator.app import App
from validator.config import Settings, environment, load_settings
from validator.probe import Probe, Problem, SourceState
from validator.report.sources import HEAD, lines, remarks, render_json, row, sentence
from validator.waiting import until_done

_AT_ONCE = 32


def asked(config_path: Path, format_: str) -> tuple[SourceState, ...]:
    """Ask all sources, say what they showed, and return it."""
    settings = load_settings(config_path, environment())
    with App(settings) as app:
        states = tuple(redacted(state, settings.redact) for state in ask(app, settings))
    if format_ == "json":
        click.echo(render_json(states), nl=False)
    elif sys.stdout.isatty():
        _table(states)
    else:
        click.echo("\n".join(lines(states)))
    return states


def ask(app: App, settings: Settings) -> Sequence[SourceState]:
    """Ask all sources at once; what they showed is in the order of the configuration."""
    interrupted = threading.Event()
    pool = ThreadPoolExecutor(min(len(app.sources), _AT_ONCE), "sources")
    try:
        futures = [
            pool.submit(
                Probe(source, settings.sources[source.name], app.clock, interrupted.is_set).look
            )
            for source in app.sources
        ]
        until_done(futures)
        return [future.result() for future in futures]
    finally:
        interrupted.set()  # without effect when all have answered
        pool.shutdown(wait=False, cancel_futures=True)


def redacted(state: SourceState, redact: Callable[[str], str]) -> SourceState:
    """Return what a source showed without any secret of the configuration."""
    problems = tuple(
        Problem(one.code, redact(one.seen), redact(one.advice)) for one in state.problems
    )
    notes = tuple(redact(note) for note in state.notes)
    return replace(state, version=redact(state.version), problems=problems, notes=notes)


def _table(states: Sequence[SourceState]) -> None:
    """Print a table for a terminal, and below it what is to be said."""
    from rich import box  # noqa: PLC0415 - for a terminal alone
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from validator.report.console import console_for  # noqa: PLC0415

    console = console_for(sys.stdout)
    table = Table(*HEAD, box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for state in states:
        cells = [Text(cell) for cell in row(state)]
        cells[2].stylize("bold red" if state.problems else "bold green")
        table.add_row(*cells)
    console.print(table, soft_wrap=False)
    console.print()
    for state in states:
        for label, text in remarks(state):
            style = "bold" if label else "dim"
            console.print(Text.assemble((f"{label}: " if label else "  ", style), text))
    good = not any(state.problems for state in states)
    console.print(Text(sentence(states), "bold green" if good else "bold yellow"))
