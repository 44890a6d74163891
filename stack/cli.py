"""The command line: `up`, `down`, `status`, `build` and `scrape`."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import click

from stack import golang, pipeline, processes, state
from stack.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

KEPT: Final = ("lock", "logs")
"""What `down` leaves in the state directory."""

state_dir = click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".stack"),
    show_default=True,
    help="Where the stack keeps its data, logs and addresses.",
)


@click.group()
def stack() -> None:
    """Run the real backends on this machine, without containers and without root."""


@stack.command()
@click.option("--no-pipeline", is_flag=True, help="Only the backends.")
@click.option(
    "--traces",
    type=click.Choice(["tempo", "jaeger"]),
    envvar="STACK_TRACES",
    help="Who takes the pipeline's spans; Tempo if it is there, else Jaeger.",
)
@state_dir
def up(*, no_pipeline: bool, traces: str | None, state_dir: Path) -> None:
    """Bring up what this machine can have of the stack, and leave it running."""
    folder = state_dir.resolve()
    with _told(), state.alone(folder):
        found = state.read(folder)
        if found is not None and not _gone(folder, found):
            _say(f"the stack is up already: {folder / 'stack.json'}")
            return
        _end(folder)
        signal.signal(signal.SIGTERM, _stop)
        try:
            _bring_up(folder, traces, with_pipeline=not no_pipeline)
        except BaseException:
            _end(folder)
            raise


@stack.command()
@state_dir
def down(state_dir: Path) -> None:
    """End everything that was started in the state directory, also after a crash."""
    folder = state_dir.resolve()
    with _told(), state.alone(folder):
        ended = _end(folder)
        _say(f"the stack is down ({ended} processes ended)" if ended else "no stack was up")


@stack.command()
@state_dir
def status(state_dir: Path) -> None:
    """Tell what is up, where, and what is not; 1 if something has ended by itself."""
    folder = state_dir.resolve()
    found = state.read(folder)
    if found is None:
        left = len(processes.running(folder))
        _fail(f"no stack is up in {folder}" + (f", but {left} processes are left" if left else ""))
    gone = _gone(folder, found)
    for name, server in found.servers.items():
        how = "ended" if name in gone else "up" if server.pid else "of others"
        _say(f"{name:<13} {how:<9} {server.url}")
    _missing(found)
    if gone:
        sys.exit(1)


@stack.command()
def build() -> None:
    """Build the programs that are built, unless they are in the cache."""
    with _told():
        for program in (golang.jaeger(), golang.loki()):
            _say(f"{program.name:<13} {golang.built(program, _say)}")


@stack.command()
@click.argument("name")
@click.argument("pipeline_state", type=click.Path(exists=True, path_type=Path))
@state_dir
def scrape(name: str, pipeline_state: Path, state_dir: Path) -> None:
    """Have Prometheus scrape another pipeline, by its state directory, as NAME."""
    with _told():
        if state.read(state_dir.resolve()) is None:
            raise StackError(f"no stack is up in {state_dir}")
        pipeline.scrape(state_dir.resolve(), f"pipeline-{name}", pipeline_state)


def _bring_up(folder: Path, traces: str | None, *, with_pipeline: bool) -> None:
    from stack.up import Bringing  # noqa: PLC0415 - heavy

    found = Bringing(folder, _say).run(traces)
    if with_pipeline:
        found.variables.update(pipeline.start(folder, found.variables))
        found.pipeline = str(folder / "pipeline")
        _say(f"{'pipeline':<13} {found.pipeline}")
    state.write(folder, found)
    _missing(found)
    _say(f"the stack is up: set -a; . {folder / 'stack.env'}; set +a")


def _end(folder: Path) -> int:
    """End what runs of the stack and remove what it has stored; return how many processes."""
    began = len(processes.running(folder))
    pipeline.end(folder)
    processes.end_all(folder)
    state.forget(folder)
    for path in folder.iterdir():
        if path.name not in KEPT:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return began


def _gone(folder: Path, found: state.State) -> set[str]:
    """Return the servers of ours that have ended."""
    running = set(processes.running(folder))
    return {
        name
        for name, server in found.servers.items()
        if server.pid is not None and server.pid not in running
    }


def _missing(found: state.State) -> None:
    for name, why in found.missing.items():
        _say(f"{name:<13} not brought up: {why}")


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Tell an error of ours in words and end with 1."""
    try:
        yield
    except StackError as error:
        _fail(str(error))


def _stop(_number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(143)


def _say(line: str) -> None:
    click.echo(line)
    sys.stdout.flush()


def _fail(words: str) -> NoReturn:
    click.echo(f"error: {words}", err=True)
    sys.exit(1)
