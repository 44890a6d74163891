"""`obs-validator replay`: judge stored evidence again, with today's suites."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from validator.commands.options import config_option, report_options, write_reports


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, exists=True, file_okay=False))
@config_option
@report_options
def replay(**options: Any) -> None:
    """Judge the evidence that `check --save-evidence DIRECTORY` stored, with today's suites.

    Nothing is asked of any backend. What differs from the verdicts of then is said; with the
    same suites nothing does.
    """
    from validator.commands._replay import judged_again  # noqa: PLC0415 - heavy
    from validator.report import FORMATS, exit_code  # noqa: PLC0415

    runs, changes = judged_again(options["directory"], options["config_path"])
    click.echo(FORMATS[options["format_"]](runs), nl=options["format_"] == "console")
    for change in changes:
        click.echo(change, err=True)
    if not changes:
        click.echo("no verdict differs from those of then", err=True)
    write_reports(runs, options["outputs"])
    sys.exit(exit_code(runs))
