"""`obs-validator schema`: JSON Schemas for editors and for those who read reports."""

from __future__ import annotations

import json

import click


@click.command()
@click.argument("what", type=click.Choice(["config", "suite", "report", "sources"]))
def schema(what: str) -> None:
    """Print the JSON Schema (draft 2020-12) of the configuration, a suite, or a JSON report.

    `report` is that of check, replay and demo; `sources` that of `sources --format json`.

    \b
    In an editor with the YAML language server:
      # yaml-language-server: $schema=suite.schema.json
    """  # noqa: D301 - click reads \b as such
    if what == "config":
        from validator.config import config_schema  # noqa: PLC0415 - heavy

        found = config_schema()
    elif what == "suite":
        from checks import CHECKS  # noqa: PLC0415
        from validator.loader import suite_schema  # noqa: PLC0415

        found = suite_schema(CHECKS)
    elif what == "sources":
        from validator.report.sources import sources_schema  # noqa: PLC0415

        found = sources_schema()
    else:
        from validator.report.schema import report_schema  # noqa: PLC0415

        found = report_schema()
    click.echo(json.dumps(found, indent=2, sort_keys=True))
