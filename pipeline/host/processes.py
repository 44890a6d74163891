"""Starting and ending processes; none of them outlives the supervisor."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from pipeline.host import wakeup
from pipeline.host.errors import ProcessFailedError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Mapping
    from types import FrameType
_PR_SET_PDEATHSIG: Final = 1
_STEP: Final = 0.01


@dataclass(slots=True)
class Process:
    """A process that was started, and how it ended once it has."""

    name: str
    pid: int
    log: Path
    exit_code: int | None = None

    def ended(self) -> bool:
        """Tell whether the process has ended."""
        if self.exit_code is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                pid, status = self.pid, 0
            if pid:
                self.exit_code = os.waitstatus_to_exitcode(status)
        return self.exit_code is not None

    def check(self) -> None:
        """Raise an error with the tail of the log if the process has ended."""
        if self.ended():
            raise ProcessFailedError(self.name, how(self.exit_code), self.log)

    def signal(self, number: signal.Signals, *, group: bool = False) -> None:
        """Send a signal to the process, or to all of its session."""
        with contextlib.suppress(ProcessLookupError):
            if group:
                os.killpg(self.pid, number)
            elif self.exit_code is None:
                os.kill(self.pid, number)


@dataclass(frozen=True, slots=True)
class Forked:
    """What a forked process is to do, and with what."""

    name: str
    main: Callable[[socket.socket | None], int]
    env: Mapping[str, str]
    log: Path
    listener: socket.socket | None


def fork(what: Forked) -> Process:
    """Fork a process from this one, which must have no threads."""
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _child(what, parent)
    if what.listener is not None:
        what.listener.close()
    return Process(what.name, pid, what.log)


def spawn(
    name: str, command: list[str], log: Path, user: int | None, at_parents_death: signal.Signals
) -> Process:
    """Start a program, as another user if one is given."""
    parent = os.getpid()

    def before_exec() -> None:
        _die_with(parent, at_parents_death)

    with log.open("ab") as out:
        popen = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd="/",
            user=user,
            extra_groups=None if user is None else [],
            start_new_session=True,
            preexec_fn=before_exec,  # noqa: PLW1509 - there are no threads
        )
    process = Process(name, popen.pid, log)
    popen.returncode = 0  # waited for by its id
    return process


def signal_at_parents_death(number: signal.Signals) -> None:
    """Have the kernel send this process a signal when the thread that started it ends."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number)


def pause(seconds: float = _STEP) -> None:
    """Let a moment pass between two looks at something."""
    select.select([], [], [], seconds)


def wait_until(done: Callable[[], bool], seconds: float) -> bool:
    """Look until it is done or the time is over; tell whether it is done."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        pause()
    return True


def end(processes: Iterable[Process], number: signal.Signals, seconds: float) -> None:
    """End processes together; those that take too long are killed, with all of their session."""
    ending = list(processes)
    for process in ending:
        process.signal(number)
    wait_until(lambda: _all_ended(ending), seconds)
    for process in ending:
        process.signal(signal.SIGKILL, group=True)
    wait_until(lambda: _all_ended(ending), seconds)


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    """End in order; uvicorn raises the signal again once it has shut its service down."""
    sys.exit(0)


def _all_ended(processes: list[Process]) -> bool:
    # Every one is asked, so that every one is waited for.
    return not [process for process in processes if not process.ended()]


def _child(what: Forked, parent: int) -> NoReturn:
    code = 1
    try:
        os.setsid()
        _die_with(parent, signal.SIGKILL)
        wakeup.no_more()
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, _leave)
        _redirect(what)
        os.environ.clear()
        os.environ.update(what.env)
        os.environ["PIPELINE_INSTANCE"] = f"{what.name}-{os.getpid()}"
        code = what.main(what.listener)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001 - whatever it is, it must be in the log, and end here
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _redirect(what: Forked) -> None:
    kept = {0, 1, 2} if what.listener is None else {0, 1, 2, what.listener.fileno()}
    for number in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        if number not in kept:
            with contextlib.suppress(OSError):
                os.close(number)
    null = os.open(os.devnull, os.O_RDONLY)
    log = os.open(what.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(null)
    os.close(log)


def _die_with(parent: int, number: signal.Signals) -> None:
    """Have the kernel send the signal to this process when its parent ends."""
    signal_at_parents_death(number)
    if os.getppid() != parent:
        os._exit(1)


def how(code: int | None) -> str:
    """Tell how a process ended."""
    if code is not None and code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
