"""The supervisor: starts the pipeline's processes, again if they end, and ends with them.

It has one thread, so that it can fork, and so that the kernel ends its children with it.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import time
from typing import TYPE_CHECKING, Any, Final, Self

from pipeline import faults
from pipeline.host import control, embedded, health, layout
from pipeline.host import state as directory
from pipeline.host.errors import HostError, tail
from pipeline.host.processes import Forked, Process, end, fork, how, signal_at_parents_death
from pipeline.host.restarts import Restarts
from pipeline.host.wakeup import Wakeup

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from types import FrameType, TracebackType

GRACE_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.5


_ALIVE: Final = dict.fromkeys(layout.WORKERS, "/metrics") | dict.fromkeys(layout.STUBS, "/health")
"""Where a process says that it is up, if not at /live: /health asks others, too."""


class StoppedError(Exception):
    """The supervisor was told to stop."""


class Supervisor:
    """One running pipeline."""

    def __init__(self, state: Path, say: Callable[[str], None], *, restart: bool = True) -> None:
        """Work in the state directory, and say what happens."""
        self._say = say
        self._state = state
        self._restart = restart
        self._faults: frozenset[str] = frozenset()
        self._processes: dict[str, Process] = {}
        self._restarts: dict[str, Restarts] = {}
        self._told: set[int] = set()
        self._lock = directory.lock(state)
        directory.clear(state)
        self._layout = layout.Layout.make(state)
        self._control = control.listen(state)
        self._wakeup = Wakeup()

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
        self._wakeup.close()
        self._lock.close()

    def end_with_parent(self) -> None:
        """Have the kernel tell us to stop when the process that started us has ended."""
        signal_at_parents_death(signal.SIGTERM)
        if os.getppid() == 1:  # it ended before the kernel was told: no signal will come
            raise StoppedError

    def start(self) -> float:
        """Start everything; return the seconds until all of it was healthy."""
        begun = time.monotonic()
        self._postgres = embedded.prepare_postgres(self._state)
        making = embedded.init_postgres(self._postgres, self._layout.log("initdb"))
        self._processes["initdb"] = making
        for name in layout.REDIS:
            self._begin(name)
        from pipeline.host import catalogue, database  # noqa: PLC0415 - initdb works meanwhile

        self._main_of = catalogue.main_of
        database.wait_for_initdb(making)
        del self._processes["initdb"]
        self._begin("postgres")
        ports = {name: self._layout.ports[name] for name in layout.REDIS}
        self._server_up = database.ServersUp(self._layout.database_url, ports)
        self._wait_for(layout.SERVERS)
        database.create(self._layout.database_url)
        self._start_again(layout.ALL)
        return time.monotonic() - begun

    def run(self) -> None:
        """Serve the control socket, and start again what ends, until told to stop."""
        control_end, wakeup_end = self._control.fileno(), self._wakeup.fileno()
        while True:
            ready, _, _ = select.select([control_end, wakeup_end], [], [], self._pause())
            self._wakeup.clear()
            self._look()
            if control_end in ready and self._serve(self._control):
                return

    def set_faults(self, wanted: frozenset[str]) -> float:
        """Have exactly these switches on; return the seconds that it took."""
        begun = time.monotonic()
        changed = faults.affected(wanted ^ self._faults)
        self._faults = wanted
        running = [n for n in layout.ALL if n in changed and not self._restarts[n].held]
        self._start_again(running)
        return time.monotonic() - begun

    def hold_down(self, names: Iterable[str], *, kill: bool) -> None:
        """End processes, in order or not, and leave them down until somebody starts them."""
        chosen = list(names)
        for name in chosen:
            self._restarts[name].hold()
        self._end(chosen, kill=kill)

    def start_held(self, names: Iterable[str]) -> float:
        """Start processes that are down; return the seconds until they were healthy."""
        begun = time.monotonic()
        down = [name for name in names if self._processes[name].ended()]
        for name in down:
            self._begin(name)
        self._wait_for(down)
        self._describe()
        return time.monotonic() - begun

    def _start_again(self, names: Iterable[str]) -> None:
        """Start processes, those that run already anew, and wait until they are healthy."""
        chosen = list(names)
        self._end([name for name in chosen if name in self._processes], kill=False)
        for name in chosen:
            self._begin(name)
        self._wait_for(chosen)
        self._describe()

    def _begin(self, name: str, *, again: bool = False) -> None:
        """Start one process; its health is not waited for."""
        log = self._layout.log(name)
        if name == "postgres":
            self._processes[name] = embedded.start_postgres(
                self._postgres, self._layout.ports[name], log
            )
        elif name in layout.REDIS:
            port, data = self._layout.ports[name], self._state / name
            self._processes[name] = embedded.start_redis(name, port, log, data)
        else:
            self._processes[name] = fork(self._forked(name, log))
        now = time.monotonic()
        self._restarts.setdefault(name, Restarts(now)).begun(now, again=again)

    def _forked(self, name: str, log: Path) -> Forked:
        port = self._layout.ports[name]
        return Forked(
            name=name,
            main=self._main_of(name),
            env=self._layout.env_of(name, faults.of_service(self._faults, name)),
            log=log,
            listener=None if name in layout.WORKERS else port.listener(),
        )

    def _end(self, names: Iterable[str], *, kill: bool) -> None:
        """End processes together; PostgreSQL would wait for its clients if it were asked nicely."""
        chosen = {name: self._processes[name] for name in names}
        postgres = [process for name, process in chosen.items() if name == "postgres"]
        others = [process for name, process in chosen.items() if name != "postgres"]
        end(others, signal.SIGKILL if kill else signal.SIGTERM, GRACE_SECONDS)
        end(postgres, signal.SIGKILL if kill else signal.SIGINT, GRACE_SECONDS)
        self._told.update(process.pid for process in chosen.values())

    def _wait_for(self, names: Iterable[str]) -> None:
        health.wait_for({name: self._processes[name] for name in names}, self._healthy)

    def _describe(self) -> None:
        pids = {name: process.pid for name, process in self._processes.items()}
        self._layout.write(pids, self._faults)

    def _healthy(self, name: str) -> bool:
        if name in layout.SERVERS:
            return self._server_up(name)
        path = _ALIVE.get(name, "/live")
        return health.answers(self._layout.ports[name], path)

    def _pause(self) -> float:
        """Return how long nothing is to be done unless something happens."""
        now = time.monotonic()
        left = [found.left(now) for found in self._restarts.values()]
        return min([_LOOK_SECONDS, *(seconds for seconds in left if seconds is not None)])

    def _look(self) -> None:
        """Tell, once, of processes that have ended by themselves; start again those whose turn."""
        for name, process in list(self._processes.items()):
            if process.ended() and process.pid not in self._told:
                self._told.add(process.pid)
                self._tell_end(name, process)
            if self._restarts[name].left(time.monotonic()) == 0:
                self._revive(name)

    def _revive(self, name: str) -> None:
        known = self._restarts[name]
        wait = time.monotonic() - known.ended_at
        try:
            self._begin(name, again=True)
        except OSError as error:
            later = known.ended(time.monotonic())
            self._say(f"{name} cannot be started ({error}), is tried again in {later:.1f} s")
            return
        self._describe()
        self._say(f"{name} started again after {wait:.1f} s (restart {known.count})")

    def _tell_end(self, name: str, process: Process) -> None:
        said = f"{name} {how(process.exit_code)}"
        if self._restart and not self._restarts[name].held:
            wait = self._restarts[name].ended(time.monotonic())
            said = f"{said}, is started again in {wait:.1f} s"
        killed = process.exit_code is not None and process.exit_code < 0
        self._say(said if killed else f"{said}\n{tail(process.log)}")

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
        operation = request.get("op")
        names = tuple(map(str, request.get("names", ())))
        if operation == "faults":
            wrong = faults.unknown(names)
            if wrong:
                raise HostError(wrong)
            seconds = self.set_faults(frozenset(names))
            return {"faults": sorted(self._faults), "seconds": round(seconds, 3)}
        if operation == "status":
            return {"processes": self._status(), "faults": sorted(self._faults)}
        unknown = [name for name in names if name not in self._processes]
        if unknown:
            known = ", ".join(self._processes)
            raise HostError(f"no process is called {unknown[0]!r}: known are {known}")
        if operation == "stop":
            self.hold_down(names, kill=bool(request.get("kill")))
            return {"stopped": names}
        if operation == "start":
            return {"started": names, "seconds": round(self.start_held(names), 3)}
        raise HostError(f"the supervisor does not know {operation!r}")

    def _status(self) -> dict[str, dict[str, Any]]:
        return {
            name: {
                "state": self._state_of(name, process),
                "pid": process.pid,
                "port": self._layout.ports[name].number,
                "restarts": self._restarts[name].count,
                "restart_in": self._restarts[name].left(time.monotonic()),
            }
            for name, process in self._processes.items()
        }

    def _state_of(self, name: str, process: Process) -> str:
        if process.ended():
            return "stopped" if self._restarts[name].held else "ended"
        return "healthy" if self._healthy(name) else "unhealthy"


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise StoppedError
