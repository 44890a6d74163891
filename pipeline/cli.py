"""The command line: running a pipeline, breaking and mending it, and operating it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from pipeline import faults
from pipeline.commands.common import as_json, state_dir
from pipeline.commands.dlq import dlq
from pipeline.commands.jobs import republish, stuck
from pipeline.host import control
from pipeline.host.errors import HostError, tail

_UP_SECONDS: Final = 180.0


@click.group()
def pipeline() -> None:
    """Run the reference pipeline on this machine, and break its instrumentation."""


@pipeline.command()
@click.option("--detach", is_flag=True, help="Return once it is up, and leave it running.")
@click.option("--end-with-parent", is_flag=True, help="End when the process that started it does.")
@click.option("--no-restart", is_flag=True, help="Leave down what ends by itself.")
@state_dir
def up(*, detach: bool, end_with_parent: bool, no_restart: bool, state_dir: Path) -> None:
    """Start the pipeline; ends with Ctrl-C and takes everything with it."""
    state = state_dir.absolute()
    if detach and end_with_parent:
        raise click.UsageError("--detach outlives its parent: leave out --end-with-parent")
    if detach:
        _detach(state, ("--no-restart",) if no_restart else ())
        return
    from pipeline.host.supervisor import StoppedError, Supervisor  # noqa: PLC0415 - heavy

    try:
        with Supervisor(state, _say, restart=not no_restart) as supervisor:
            if end_with_parent:
                supervisor.end_with_parent()
            seconds = supervisor.start()
            _say(f"pipeline is up after {seconds:.1f} s: {state / 'pipeline.json'}")
            supervisor.run()
    except StoppedError:
        _say("pipeline is down")
    except HostError as error:
        _fail(error)


@pipeline.command()
@state_dir
def down(state_dir: Path) -> None:
    """End the pipeline that was started in the state directory."""
    state = state_dir.absolute()
    try:
        control.ask(state, {"op": "down"})
        control.wait_until_free(state)
    except HostError as error:
        _fail(error)
    _say("pipeline is down")


@pipeline.command()
@as_json
@state_dir
def status(*, as_json: bool, state_dir: Path) -> None:
    """Tell how each process is, how often it was started again, and which switches are on."""
    answer = _asked(state_dir, {"op": "status"})
    if as_json:
        _say(json.dumps(answer, indent=2))
    else:
        for name, process in answer["processes"].items():
            _say(_line(name, process))
        _say(f"switches on: {', '.join(answer['faults']) or 'none'}")
    if any(process["state"] != "healthy" for process in answer["processes"].values()):
        sys.exit(1)


@pipeline.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--kill", is_flag=True, help="With SIGKILL instead of in order.")
@state_dir
def stop(*, names: tuple[str, ...], kill: bool, state_dir: Path) -> None:
    """End processes and leave them down, until `start`."""
    _asked(state_dir, {"op": "stop", "names": list(names), "kill": kill})
    _say(f"stopped: {', '.join(names)}")


@pipeline.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@state_dir
def start(*, names: tuple[str, ...], state_dir: Path) -> None:
    """Start processes that are down, and return when they are healthy."""
    answer = _asked(state_dir, {"op": "start", "names": list(names)})
    _say(f"started: {', '.join(names)} (after {answer['seconds']} s)")


@pipeline.command("break")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@state_dir
def break_(names: tuple[str, ...], state_dir: Path) -> None:
    """Have exactly these switches on, and return when all is healthy again."""
    _set(state_dir, _known(names))


@pipeline.command()
@click.argument("names", nargs=-1, metavar="[NAME...]")
@state_dir
def mend(names: tuple[str, ...], state_dir: Path) -> None:
    """Turn these switches off, or all of them if none is named."""
    wrong = set(_known(names))
    if not wrong:
        _set(state_dir, ())
        return
    on = _asked(state_dir, {"op": "status"})["faults"]
    _set(state_dir, tuple(name for name in on if name not in wrong))


@pipeline.command()
def switches() -> None:
    """List the switches that break the instrumentation."""
    for name, fault in faults.FAULTS.items():
        _say(f"{name}\n    {fault.title}. {fault.in_life}")
        _say(f"    starts anew: {', '.join(fault.affects)}")


for command in (stuck, republish, dlq):
    pipeline.add_command(command)


def _set(state_dir: Path, names: tuple[str, ...]) -> None:
    answer = _asked(state_dir, {"op": "faults", "names": list(names)})
    _say(f"switches on: {', '.join(answer['faults']) or 'none'} (after {answer['seconds']} s)")


def _asked(state_dir: Path, request: dict[str, Any]) -> dict[str, Any]:
    try:
        return control.ask(state_dir.absolute(), request)
    except HostError as error:
        _fail(error)


def _line(name: str, process: dict[str, Any]) -> str:
    line = f"{name:<17} {process['state']:<9} pid {process['pid']:<7} port {process['port']:<5}"
    if process["restarts"]:
        line += f" restarts {process['restarts']}"
    if process["restart_in"] is not None:
        line += f" again in {process['restart_in']:.1f} s"
    return line.rstrip()


def _known(names: tuple[str, ...]) -> tuple[str, ...]:
    wrong = faults.unknown(names)
    if wrong:
        raise click.BadParameter(wrong, param_hint="NAME")
    return names


def _detach(state: Path, options: tuple[str, ...]) -> None:
    """Start a supervisor in a session of its own and wait until the pipeline is up."""
    state.mkdir(parents=True, exist_ok=True)
    log = state / "supervisor.log"
    with log.open("wb") as out:
        child = subprocess.Popen(
            [sys.executable, "-m", "pipeline", "up", *options, "--state-dir", str(state)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    deadline = time.monotonic() + _UP_SECONDS
    while time.monotonic() < deadline:
        if child.poll() is not None:
            _fail(HostError(f"the pipeline did not start:\n{tail(log)}"))
        if b"pipeline is up" in log.read_bytes():
            _say(f"{log.read_text().strip()} (supervisor {child.pid})")
            return
        control.pause()
    child.terminate()
    _fail(HostError(f"the pipeline was not up within {_UP_SECONDS:g} s:\n{tail(log)}"))


def _say(line: str) -> None:
    click.echo(line)
    sys.stdout.flush()


def _fail(error: HostError) -> NoReturn:
    click.echo(f"error: {error}", err=True)
    sys.exit(1)
