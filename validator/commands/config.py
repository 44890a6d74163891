"""`obs-validator config`: look at the configuration without running anything."""

from __future__ import annotations

from pathlib import Path

import click

from validator.commands.options import config_option


@click.group()
def config() -> None:
    """Look at the configuration."""


@config.command("check")
@config_option
def config_check(config_path: Path) -> None:
    """Load the configuration and every suite, and say what they are, or all that is wrong."""
    from checks import CHECKS  # noqa: PLC0415 - heavy
    from validator.config import environment, load_settings  # noqa: PLC0415
    from validator.loader import load_suites  # noqa: PLC0415

    settings = load_settings(config_path, environment())
    suites = load_suites(settings, CHECKS)
    click.echo(f"{config_path}: good")
    click.echo(f"targets: {', '.join(settings.targets)}")
    click.echo(f"sources: {', '.join(settings.sources)}")
    for suite in suites:
        kinds = ", ".join(spec.name for spec in suite.checks)
        click.echo(f"suite {suite.name} (ring {suite.ring}, {suite.target}): {kinds}")
