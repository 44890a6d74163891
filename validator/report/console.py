"""The report for people at a terminal, and the same words for a log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from typing import Final, TextIO

from rich.console import Console
from rich.text import Text

from validator.model import Run
from validator.report.lines import Line, joined, run_lines, summary_line

_NARROW: Final = 50
"""On a terminal of fewer columns nothing is indented by hand: it wraps by itself."""


def render(runs: Sequence[Run]) -> str:
    """Return the report as plain lines without any control code, never wrapped."""
    blocks = [[*run_lines(run), Line("", "")] for run in runs]
    return joined([line for block in blocks for line in block] + [summary_line(runs)]) + "\n"


def console_for(file: TextIO) -> Console:
    """Return a console that uses control codes if, and only if, `file` is a terminal.

    What the file's encoding cannot say is written as `?`: a report must not end in a traceback.
    """
    if isinstance(file, TextIOWrapper):
        file.reconfigure(errors="replace")
    return Console(
        file=file,
        force_terminal=file.isatty(),
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=True,
    )


def print_lines(console: Console, lines: Sequence[Line]) -> None:
    """Print lines at once: wrapped under their label on a terminal, as they are into a log."""
    parts = [part for line in lines for part in _parts(console, line)]
    console.print(Text("\n").join(parts), soft_wrap=True)


def _parts(console: Console, line: Line) -> Iterator[Text]:
    """Lay one line out as those that fit."""
    label, text = Text(line.label, line.style), Text(line.text, line.text_style)
    room = console.width - label.cell_len
    if line.whole or not console.is_terminal or console.width < _NARROW or room < 20:
        yield Text.assemble(label, text)
        return
    for part in text.wrap(console, room, overflow="fold") or [Text()]:
        yield Text.assemble(label, part)
        label = Text(" " * label.cell_len)
