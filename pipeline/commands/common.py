"""What the commands have in common: where the parts of a pipeline are, and how things are shown."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

state_dir = click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".pipeline"),
    show_default=True,
    help="Where the pipeline keeps its logs, ports and keys.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


class Addresses:
    """Where the parts of a pipeline are, and the key of its services."""

    def __init__(self, state: Path) -> None:
        """Look in the environment first, then in the state directory."""
        self._file = state / "pipeline.json"
        self._description: dict[str, Any] | None = None

    def server(self, variable: str, name: str) -> str:
        """Return the URL of a server."""
        return os.environ.get(variable) or str(self._described()["servers"][name]["url"])

    def orchestrator(self) -> str:
        """Return the URL of the orchestrator."""
        given = os.environ.get("PIPELINE_ORCHESTRATOR_URL")
        return given or str(self._described()["services"]["orchestrator"]["url"])

    def key(self) -> str:
        """Return the key of the services."""
        given = os.environ.get("PIPELINE_SERVICE_KEY")
        return given or str(self._described()["keys"]["service"])

    def _described(self) -> dict[str, Any]:
        if self._description is None:
            try:
                self._description = json.loads(self._file.read_text())
            except OSError:
                fail(
                    f"no pipeline is running in {self._file.parent}: give its --state-dir, or the"
                    " environment variables of its services (PIPELINE_DATABASE_URL, …)"
                )
        return self._description


def show(names: Iterable[str], rows: Sequence[Sequence[str]]) -> None:
    """Show rows as a table."""
    from rich.console import Console  # noqa: PLC0415 - heavy
    from rich.table import Table  # noqa: PLC0415 - heavy
    from rich.text import Text  # noqa: PLC0415 - heavy

    if not rows:
        click.echo("none")
        return
    table = Table(box=None, pad_edge=False)
    for name in names:
        table.add_column(name, no_wrap=name in {"id", "job"}, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    # What reads a pipe wants a line for a row, however long it is.
    Console(highlight=False, width=None if sys.stdout.isatty() else 300).print(table)


def fail(message: str) -> NoReturn:
    """Say what cannot be done, and end."""
    click.echo(f"error: {message}", err=True)
    sys.exit(1)
