"""The supervisor: starts the pipeline's processes, changes them, and ends with them.

It has one thread, so that it can fork, and so that the kernel ends its children with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import shutil
import signal
import time
from typing import TYPE_CHECKING, Any, Final, Self

from pipeline import faults
from pipeline.host import control, embedded, health, layout
from pipeline.host.errors import HostError, tail
from pipeline.host.processes import Forked, Process, end, fork, signal_at_parents_death

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from types import FrameType, TracebackType

GRACE_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.5


class StoppedError(Exception):
    """The supervisor was told to stop."""


class Supervisor:
    """One running pipeline."""

    def __init__(self, state: Path, say: Callable[[str], None]) -> None:
        """Work in the state directory, and say what happens."""
        self._say = say
        self._state = state
        self._faults: frozenset[str] = frozenset()
        self._processes: dict[str, Process] = {}
        self._told: set[int] = set()
        self._lock = _lock(state)
        _clear(state)
        self._layout = layout.Layout.make(state)
        self._control = control.listen(state)

    def __enter__(self) -> Self:
        """Begin to listen to signals."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, _stop)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End every process; from here on signals change nothing."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        (self._state / "pipeline.json").unlink(missing_ok=True)
        own = [p for name, p in self._processes.items() if name not in layout.SERVERS]
        end(own, signal.SIGTERM, GRACE_SECONDS)
        servers = [p for name, p in self._processes.items() if name in layout.SERVERS]
        end(servers, signal.SIGINT, GRACE_SECONDS)
        note = self._state / "postgres.home"
        if note.exists():
            shutil.rmtree(note.read_text(), ignore_errors=True)
            note.unlink()
        self._control.close()
        (self._state / "control.sock").unlink(missing_ok=True)
        self._lock.close()

    def end_with_parent(self) -> None:
        """Have the kernel tell us to stop when the process that started us has ended."""
        signal_at_parents_death(signal.SIGTERM)
        if os.getppid() == 1:  # it ended before the kernel was told: no signal will come
            raise StoppedError

    def start(self) -> float:
        """Start everything; return the seconds until all of it was healthy."""
        begun = time.monotonic()
        postgres = embedded.prepare_postgres(self._state)
        making = embedded.init_postgres(postgres, self._layout.log("initdb"))
        self._processes["initdb"] = making
        for name in ("broker", "cache"):
            port = self._layout.ports[name]
            self._processes[name] = embedded.start_redis(name, port, self._layout.log(name))
        from pipeline.host import catalogue, database  # noqa: PLC0415 - initdb works meanwhile

        self._main_of = catalogue.main_of
        database.wait_for_initdb(making)
        del self._processes["initdb"]
        self._processes["postgres"] = embedded.start_postgres(
            postgres, self._layout.ports["postgres"], self._layout.log("postgres")
        )
        servers = {name: self._processes[name] for name in layout.SERVERS}
        urls = {"broker": self._layout.ports["broker"], "cache": self._layout.ports["cache"]}
        health.wait_for(servers, database.ServersUp(self._layout.database_url, urls))
        database.create(self._layout.database_url)
        self._start_again(layout.ALL)
        return time.monotonic() - begun

    def run(self) -> None:
        """Serve the control socket until told to stop."""
        while True:
            ready, _, _ = select.select([self._control], [], [], _LOOK_SECONDS)
            self._look()
            if ready and self._serve(self._control):
                return

    def set_faults(self, wanted: frozenset[str]) -> float:
        """Have exactly these switches on; return the seconds that it took."""
        begun = time.monotonic()
        changed = faults.affected(wanted ^ self._faults)
        self._faults = wanted
        self._start_again([name for name in layout.ALL if name in changed])
        return time.monotonic() - begun

    def _start_again(self, names: Iterable[str]) -> None:
        """Start processes, those that run already anew, and wait until they are healthy."""
        chosen = list(names)
        running = [self._processes[name] for name in chosen if name in self._processes]
        end(running, signal.SIGTERM, GRACE_SECONDS)
        for name in chosen:
            port = self._layout.ports[name]
            what = Forked(
                name=name,
                main=self._main_of(name),
                env=self._layout.env_of(name, faults.of_service(self._faults, name)),
                log=self._layout.log(name),
                listener=None if name in layout.WORKERS else port.listener(),
            )
            self._processes[name] = fork(what)
        health.wait_for({name: self._processes[name] for name in chosen}, self._healthy)
        pids = {name: process.pid for name, process in self._processes.items()}
        self._layout.write(pids, self._faults)

    def _healthy(self, name: str) -> bool:
        path = "/metrics" if name in layout.WORKERS else "/health"
        return health.answers(self._layout.ports[name], path)

    def _look(self) -> None:
        """Tell, once, of processes that have ended by themselves."""
        for name, process in self._processes.items():
            if process.ended() and process.pid not in self._told:
                self._told.add(process.pid)
                self._say(f"{name} ended ({process.exit_code})\n{tail(process.log)}")

    def _serve(self, listener: socket.socket) -> bool:
        """Serve one client; tell whether it asked for the end."""
        connection, _ = listener.accept()
        with connection:
            try:
                request = control.receive(connection)
                if request.get("op") == "down":
                    control.reply(connection, {"down": True})
                    return True
                control.reply(connection, self._answer(request))
            except (HostError, OSError, ValueError) as error:
                control.reply(connection, {"error": str(error)})
        return False

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if request.get("op") == "faults":
            names = tuple(map(str, request.get("names", ())))
            wrong = faults.unknown(names)
            if wrong:
                raise HostError(wrong)
            seconds = self.set_faults(frozenset(names))
            return {"faults": sorted(self._faults), "seconds": round(seconds, 3)}
        if request.get("op") == "status":
            return {"processes": self._status(), "faults": sorted(self._faults)}
        raise HostError(f"the supervisor does not know {request.get('op')!r}")

    def _status(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for name, process in self._processes.items():
            alive = not process.ended()
            healthy = alive and (name in layout.SERVERS or self._healthy(name))
            state = "healthy" if healthy else "unhealthy" if alive else "ended"
            port = self._layout.ports[name].number
            found[name] = {"state": state, "pid": process.pid, "port": port}
        return found


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise StoppedError


def _lock(state: Path) -> Any:
    """Take the state directory for this supervisor alone."""
    state.mkdir(parents=True, exist_ok=True)
    file = (state / "lock").open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise HostError(f"a pipeline is already running in {state}") from None
    return file


def _clear(state: Path) -> None:
    """Remove what an earlier start has left, and nothing else."""
    for name in ("pipeline.json", "pipeline.env", "control.sock"):
        (state / name).unlink(missing_ok=True)
    for name in ("logs", "metrics", "tmp"):
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(state / name)
        (state / name).mkdir()
