"""`obs-validator explain`: the page of a kind of check."""

from __future__ import annotations

import sys

import click

from validator.resources import folder


@click.command()
@click.argument("kind", required=False)
def explain(kind: str | None) -> None:
    """Explain CHECK: its parameters, an example, and the incident it would catch.

    Without a name, list the kinds.
    """
    from checks import CHECKS  # noqa: PLC0415 - heavy
    from validator.errors import ConfigError  # noqa: PLC0415
    from validator.yamlfile import nearest  # noqa: PLC0415

    if kind is None:
        for name in CHECKS:
            click.echo(f"{name:18} {_first_sentence(name)}")
        return
    if kind not in CHECKS:
        raise ConfigError(f"there is no check `{kind}`{nearest(kind, CHECKS)}")
    text = page(kind)
    if sys.stdout.isatty():
        from rich.console import Console  # noqa: PLC0415
        from rich.markdown import Markdown  # noqa: PLC0415

        Console().print(Markdown(text))
    else:
        click.echo(text)


def page(kind: str) -> str:
    """Return the page of a kind, in Markdown."""
    return (folder("docs/checks") / f"{kind}.md").read_text(encoding="utf-8")


def _first_sentence(kind: str) -> str:
    lines = [line for line in page(kind).splitlines() if line and not line.startswith("#")]
    return lines[0].partition(". ")[0].rstrip(".")
