"""Who watches runs for people: live on a terminal, line by line in a log."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self, TextIO

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

from validator.model import Run
from validator.report.console import console_for, print_lines
from validator.report.lines import Line, again_lines, run_lines, summary_line
from validator.report.text import plain

_REPEATED: Final = frozenset({"gathering"})
"""Events that come with every poll: a log notes the first of a run."""


class ConsoleObserver:
    """An `Observer` that shows what goes on, and each run's report as soon as it is finished.

    Use it as a context manager: on leaving, the display ends and the summary is printed. It may
    be told things from several threads.
    """

    def __init__(self, file: TextIO, *, reports: bool = True, log: bool = True) -> None:
        """Write to `file`; with `reports` False only the progress, for reports go elsewhere.

        With `log` False there is no progress where `file` is no terminal.
        """
        self._log = log
        self._console: Console = console_for(file)
        self._reports = reports
        self._runs: list[Run] = []
        self._tasks: dict[str, TaskID] = {}
        self._noted: set[tuple[str, str]] = set()
        self._lock = threading.Lock()
        self._live: Progress | None = None
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = _display(self._console)

    def __enter__(self) -> Self:
        """Begin the display."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the display; print the summary unless an error ends everything."""
        if self._live is not None:
            self._live.stop()
        if self._reports and kind is None:
            self._print([summary_line(self._runs)])

    def on_event(self, run_id: str, suite: str, event: str, detail: str) -> None:
        """Show `event`: in place on a terminal, as a line of its own in a log."""
        text = plain(f"{suite}  {event}  {detail}".rstrip(), 200)
        with self._lock:
            if self._live is not None:
                self._update(self._live, run_id, text)
            elif self._log and (event not in _REPEATED or (run_id, event) not in self._noted):
                self._noted.add((run_id, event))
                self._print([Line("", text)])

    def on_run(self, run: Run) -> None:
        """Print the report of a finished run, and take it off the display.

        The last run of a suite counts: it was looked at once more, or made again.
        """
        with self._lock:
            self._runs = [*(one for one in self._runs if one.suite != run.suite), run]
            if self._live is not None and run.id in self._tasks:
                self._live.remove_task(self._tasks.pop(run.id))
                self._live.refresh()
            if self._reports:
                lines = run_lines(run) if run.second_look is None else again_lines(run)
                self._print([*lines, Line("", "")])

    def _update(self, live: Progress, run_id: str, text: str) -> None:
        """Put the text into the run's line of the display."""
        if run_id not in self._tasks:
            self._tasks[run_id] = live.add_task(text, total=None)
        live.update(self._tasks[run_id], description=text)

    def _print(self, lines: Sequence[Line]) -> None:
        """Print above the display."""
        print_lines(self._console, lines)


def _display(console: Console) -> Progress:
    """Return the display: a line for each run that is going on, gone when it is done."""
    text = TextColumn(
        "{task.description}",
        markup=False,
        table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
    )
    return Progress(
        SpinnerColumn(), text, TimeElapsedColumn(), console=console, transient=True, expand=True
    )
