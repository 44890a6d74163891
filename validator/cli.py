"""The command line: `obs-validator`. Commands are imported when they are called for."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from types import FrameType
from typing import Any, NoReturn

import click

from validator import __version__
from validator.errors import ConfigError, ValidatorError

_COMMANDS = {
    "check": ("validator.commands.check", "Send synthetic jobs and judge what they leave."),
    "replay": ("validator.commands.replay", "Judge stored evidence again."),
    "sweep": ("validator.commands.sweep", "Remove what killed validators have left."),
    "collector": ("validator.commands.collector", "Run the built-in OTLP collector alone."),
    "init": ("validator.commands.init", "Write a configuration and a first suite of your own."),
    "explain": ("validator.commands.explain", "Explain a kind of check."),
    "sources": ("validator.commands.sources", "Ask each source whether it can be relied on."),
    "config": ("validator.commands.config", "Look at the configuration."),
    "schema": ("validator.commands.schema", "Print a JSON Schema for editors and consumers."),
    "demo": ("validator.commands.demo", "Show it all on a pipeline of this machine."),
    "pipeline": ("pipeline.cli", "Run the reference pipeline."),
}
"""Each command: the module that has it under its own name, and its line in the help."""

_EPILOG = """\b
Exit codes of check, replay and demo:
  0  every required check passed
  1  a check failed
  2  the configuration or the command line is wrong, or nothing ran
  3  inconclusive: a backend could not be asked, or the run was interrupted

\b
Begin with:
  obs-validator demo          the whole of it on this machine
  obs-validator init          a configuration for your own API
"""


class _Lazy(click.Group):
    """A group that imports a command when it is called, and not for its own help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a command; one that is not installed says what to install."""
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module, _ = _COMMANDS[cmd_name]
        try:
            found: click.Command = getattr(import_module(module), cmd_name)
        except ModuleNotFoundError as missing:
            extra = f"pip install 'obs-validator[pipeline]' ({missing.name} is missing)"
            raise click.UsageError(f"`{cmd_name}` needs the reference pipeline: {extra}") from None
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest command when there is no such one."""
        import difflib  # noqa: PLC0415 - only for a mistake

        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in _COMMANDS:
            near = difflib.get_close_matches(name, _COMMANDS, 1)
            hint = f" Did you mean `{near[0]}`?" if near else ""
            raise click.UsageError(f"there is no command `{name}`.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; when who reads it has gone, click and rich would exit with 1.

        That is the code of a failed check, and nobody knows whether one did.
        """
        try:
            return super().invoke(ctx)
        except (BrokenPipeError, SystemExit) as end:
            if not any(isinstance(one, BrokenPipeError) for one in (end, end.__context__)):
                raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(3)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table without importing anything."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(
    cls=_Lazy,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="obs-validator")
def cli() -> None:
    """Prove that the telemetry of a job pipeline can be trusted.

    Sends synthetic jobs through an instrumented pipeline, gathers the traces, logs and metrics
    that they leave, judges them by declared suites, and says what it saw.
    """


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; a user's mistake ends in a sentence and a code, not in a trace."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code: Any = cli.main(args, prog_name="obs-validator", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = 2
    except click.exceptions.Exit as end:
        code = end.exit_code
    except ConfigError as error:
        click.echo(f"obs-validator: {error}", err=True)
        code = 2
    except ValidatorError as error:
        click.echo(f"obs-validator: {error}", err=True)
        code = 3
    except (KeyboardInterrupt, click.Abort):
        click.echo("obs-validator: interrupted", err=True)
        code = 3
    sys.exit(code if isinstance(code, int) else 0)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Treat SIGTERM as Ctrl-C: what runs is ended, cleaned up and reported."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
