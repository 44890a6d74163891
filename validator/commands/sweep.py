"""`obs-validator sweep`: remove what killed validators have left."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from validator.commands.options import config_option


@click.command()
@click.argument("targets", nargs=-1)
@config_option
def sweep(targets: tuple[str, ...], config_path: Path) -> None:
    """Make the `sweep` request of targets, and print what they answer.

    TARGETS are names of the configuration; without any, all that have such a request. `check`
    does the same before its first run.

    \b
    Exit codes: 0 swept; 2 no target has a `sweep`; 3 a target could not be asked.
    """  # noqa: D301 - click reads \b as such
    from validator.commands._sweep import run  # noqa: PLC0415 - heavy

    failed = False
    for name, answer, error in run(targets, config_path):
        failed = failed or bool(error)
        click.echo(f"{name}: {error or answer}", err=bool(error))
    sys.exit(3 if failed else 0)
