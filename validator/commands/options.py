"""Options that several commands take, and how their texts are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import click

from validator.model import Run

Command = TypeVar("Command", bound=Callable[..., object])

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_FORMATS = ("console", "json", "junit", "markdown", "html")
_SUFFIXES = {
    ".json": "json",
    ".xml": "junit",
    ".md": "markdown",
    ".html": "html",
    ".txt": "console",
}


class Seconds(click.ParamType[float]):
    """A duration with its unit: `30s`, `500ms`, `2m`."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return seconds."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)", str(value).strip())
        if not match or float(match[1]) == 0:
            self.fail(f"`{value}` is no duration; write `30s`, `500ms` or `2m`", param, ctx)
        return float(match[1]) * _UNITS[match[2]]


class Output(click.ParamType[tuple[str, Path]]):
    """A file for a report; its suffix, or a `FORMAT:` before it, says in which format."""

    name = "[format:]file"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Path]:
        """Return the format and the path."""
        if isinstance(value, tuple):
            return value
        head, colon, tail = str(value).partition(":")
        if colon and head in _FORMATS:
            return head, Path(tail)
        path = Path(str(value))
        if path.suffix not in _SUFFIXES:
            known = ", ".join(_SUFFIXES)
            self.fail(f"`{value}`: end it in {known}, or write FORMAT:FILE", param, ctx)
        return _SUFFIXES[path.suffix], path


def _existing(_ctx: click.Context, _param: click.Parameter, path: Path) -> Path:
    """Say what to do about a configuration that is not there."""
    if not path.exists():
        raise click.UsageError(
            f"there is no {path}; `obs-validator init` writes one, or name yours with --config"
        )
    return path


def config_option(command: Command) -> Command:
    """Add `--config`."""
    return click.option(
        "-c",
        "--config",
        "config_path",
        type=click.Path(path_type=Path, dir_okay=False),
        callback=_existing,
        default=Path("obs-validator.yaml"),
        show_default=True,
        help="The configuration file.",
    )(command)


def report_options(command: Command) -> Command:
    """Add `--format` and `--output`."""
    command = click.option(
        "-f",
        "--format",
        "format_",
        type=click.Choice(_FORMATS),
        default="console",
        show_default=True,
        help="What is written to standard output.",
    )(command)
    return click.option(
        "-o",
        "--output",
        "outputs",
        type=Output(),
        multiple=True,
        help="Also write a report to a file: .json, .xml (JUnit), .md, .html; may be repeated.",
    )(command)


def write_reports(runs: Sequence[Run], outputs: Sequence[tuple[str, Path]]) -> None:
    """Write each report; a file that cannot be written is a usage error, after the others."""
    from validator.report import FORMATS  # noqa: PLC0415 - the command line starts without it

    failed = []
    for name, path in outputs:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(FORMATS[name](runs), encoding="utf-8")
        except OSError as error:
            failed.append(f"{path}: {error.strerror}")
    if failed:
        raise click.UsageError(f"cannot write {'; '.join(failed)}")
