"""`obs-validator sources`: ask each source whether it can be relied on."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from validator.commands.options import config_option


@click.command()
@config_option
@click.option(
    "-f",
    "--format",
    "format_",
    type=click.Choice(["console", "json"]),
    default="console",
    show_default=True,
    help="What is written to standard output.",
)
def sources(config_path: Path, format_: str) -> None:
    """Ask each source of the configuration one harmless question, all of them at once.

    Says whether it is there, its version, how long it took, its ingest lag (of a control record
    that is written to it, where there is a way in; of metrics, the age of the newest sample), how
    far its clock is off, and what to do about each failure.

    Exit code 0: all is well; 3: a source could not be asked, or cannot be relied on; 2: the
    configuration is wrong.
    """
    from validator.commands._sources import asked  # noqa: PLC0415 - heavy
    from validator.report.sources import exit_code  # noqa: PLC0415

    states = asked(config_path, format_)
    sys.exit(exit_code(states))
