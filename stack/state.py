"""What is known of a stack that is up: stack.json, and stack.env for a shell."""

from __future__ import annotations

import contextlib
import fcntl
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from stack.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from stack.servers import Ports


@dataclass(frozen=True, slots=True)
class Up:
    """A server that is up: its address, and where it takes OTLP over HTTP, without `/v1/…`.

    `program`, `pid` and `log` are None for one that others run.
    """

    url: str
    otlp: str | None
    ports: Ports
    program: str | None = None
    pid: int | None = None
    log: str | None = None


@dataclass(slots=True)
class State:
    """What came up, and of the rest why it did not, in one line each."""

    servers: dict[str, Up] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    pipeline: str | None = None
    """The state directory of the pipeline that exports to the stack."""


def read(folder: Path) -> State | None:
    """Return the state of the stack that was brought up in `folder`, if it was to the end."""
    try:
        found = json.loads((folder / "stack.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    servers = {name: Up(**server) for name, server in found["servers"].items()}
    return State(servers, found["missing"], found["variables"], found["pipeline"])


def write(folder: Path, state: State) -> None:
    """Write both files, each at once or not at all; they have keys, so they are their owner's."""
    _replace(folder / "stack.env", "".join(f"{k}={v}\n" for k, v in state.variables.items()))
    _replace(folder / "stack.json", json.dumps(asdict(state), indent=2) + "\n")


def forget(folder: Path) -> None:
    """Remove both files."""
    for name in ("stack.json", "stack.env"):
        (folder / name).unlink(missing_ok=True)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Be the only one that changes the stack in `folder`; raises `StackError` if somebody is."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackError(f"somebody is bringing the stack in {folder} up or down") from None
        yield


def variables_of(servers: Mapping[str, Up], traces: str | None) -> dict[str, str]:
    """Return the variables by which others find the stack; `traces` takes the pipeline's spans."""
    found = {f"STACK_{name.upper()}_URL": server.url for name, server in servers.items()}
    if traces is not None:
        found["STACK_TRACES_TYPE"] = traces
        found["STACK_TRACES_URL"] = servers[traces].url
        found["STACK_TRACES_OTLP_URL"] = f"{servers[traces].otlp}"
        found["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = f"{servers[traces].otlp}/v1/traces"
    if "loki" in servers:
        found["STACK_LOGS_OTLP_URL"] = f"{servers['loki'].otlp}"
        found["OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"] = f"{servers['loki'].otlp}/v1/logs"
    return found


def _replace(path: Path, text: str) -> None:
    new = path.with_suffix(f"{path.suffix}.new")
    new.touch(mode=0o600)
    new.write_text(text, encoding="utf-8")
    new.replace(path)
