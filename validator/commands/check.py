"""`obs-validator check`: run suites and say what they came to."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from validator.commands.options import Seconds, config_option, report_options, write_reports


@click.command()
@click.argument("suites", nargs=-1)
@config_option
@report_options
@click.option("--target", default="", help="Send the jobs to this target of the configuration.")
@click.option("--ring", type=click.IntRange(1, 3), help="Only the suites of this ring.")
@click.option("--deadline", type=Seconds(), help="How long a job may take, over the suite's own.")
@click.option(
    "--second-look",
    type=Seconds(),
    help="Look at each run once more after this time, and revise its verdicts if more has come.",
)
@click.option(
    "--expect-version",
    default="",
    help="Judge nothing until each required service shows this `service.version`.",
)
@click.option(
    "--expect-within",
    type=Seconds(),
    default=600.0,
    show_default="10m",
    help="How long to run again until the expected version shows.",
)
@click.option("--job-id", default="", help="Judge this existing job instead of sending one.")
@click.option("--trace-id", default="", help="Judge the job of this trace instead of sending one.")
@click.option(
    "--save-evidence",
    type=click.Path(path_type=Path, file_okay=False),
    help="Store what was gathered here, for `replay`.",
)
def check(**options: Any) -> None:
    """Send synthetic jobs through the target, gather what they leave, and judge it.

    SUITES are names of suites or files; without any, all suites of the configuration run.

    \b
    Examples:
      obs-validator check
      obs-validator check pipeline -o report.html -o junit.xml
      obs-validator check --ring 2 --format json > report.json
      obs-validator check pipeline --job-id 7f3c2a1e
      obs-validator check --expect-version 1.4.2 --second-look 30s
    """  # noqa: D301 - click reads \b as such
    from validator.commands._check import run  # noqa: PLC0415 - heavy

    runs, interrupted = run(**options)
    from validator.report import FORMATS, exit_code  # noqa: PLC0415

    if options["format_"] != "console":
        click.echo(FORMATS[options["format_"]](runs), nl=False)
    write_reports(runs, options["outputs"])
    code = exit_code(runs)
    if interrupted:
        click.echo("obs-validator: interrupted", err=True)
        code = code or 3
    sys.exit(code)
