"""Looking whether processes are healthy, all of them in turn, without threads."""

from __future__ import annotations

import http.client
import time
from typing import TYPE_CHECKING, Final

from pipeline.host.errors import ProcessFailedError
from pipeline.host.processes import pause

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.host.ports import Port
    from pipeline.host.processes import Process

SECONDS: Final = 60.0
"""How long a process may take to be healthy: on a machine with much else to do it takes long."""


def answers(port: Port, path: str) -> bool:
    """Tell whether a GET is answered with 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port.number, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def wait_for(
    processes: Mapping[str, Process], healthy: Callable[[str], bool], seconds: float = SECONDS
) -> None:
    """Wait until all processes are healthy; raise as soon as one of them has ended."""
    deadline = time.monotonic() + seconds
    waiting = dict(processes)
    while waiting:
        for name, process in list(waiting.items()):
            process.check()
            if healthy(name):
                del waiting[name]
        if waiting and time.monotonic() > deadline:
            process = next(iter(waiting.values()))
            raise ProcessFailedError(
                process.name, f"was not healthy within {seconds:g} s", process.log
            )
        if waiting:
            pause()
