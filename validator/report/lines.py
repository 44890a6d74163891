"""A run's report as lines of text, not yet printed: the console, a log and JUnit share them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from validator.model import Run, Status
from validator.report.note import Note, headline, notes, remarks
from validator.report.summary import exit_code, sentence
from validator.report.text import duration, plain

_STYLES: Final[Mapping[Status, str]] = {
    Status.PASS: "bold green",
    Status.FAIL: "bold red",
    Status.INCONCLUSIVE: "bold yellow",
    Status.BLOCKED: "bold magenta",
    Status.PENDING: "bold blue",
}
_END_STYLES: Final[Mapping[int, str]] = {0: "bold green", 1: "bold red"}


@dataclass(frozen=True, slots=True)
class Line:
    """One line: a label in front (what continues it is indented by as much), then text."""

    label: str
    text: str
    style: str = ""
    text_style: str = ""
    whole: bool = False
    """Whether the line is never wrapped, so that it can be copied."""


def joined(lines: Sequence[Line]) -> str:
    """Return lines as plain text, without any control code, never wrapped."""
    return "\n".join(f"{line.label}{line.text}".rstrip() for line in lines)


def summary_line(runs: Sequence[Run]) -> Line:
    """Return the last line: the counts, and what the exit code means."""
    return Line("", sentence(runs), text_style=_END_STYLES.get(exit_code(runs), "bold yellow"))


def run_lines(run: Run) -> list[Line]:
    """Return a run's lines: what it was, each verdict, and remarks."""
    lines = [*_header(run)]
    status_width = max((len(verdict.status) for verdict in run.verdicts), default=0)
    names = [plain(verdict.name, 40) for verdict in run.verdicts]
    name_width = max(map(len, names), default=0)
    for verdict, name in zip(run.verdicts, names, strict=True):
        label = f"{verdict.status.upper():<{status_width}} {name:<{name_width}}   "
        lines.append(Line(label, headline(verdict), _STYLES[verdict.status]))
        for note in notes(run, verdict):
            lines += _note_lines(note)
    lines += [Line("  remark    ", text, "dim") for text in remarks(run)]
    return lines


def again_lines(run: Run) -> list[Line]:
    """Return what a second look adds to the report of a run: that it was, and what it revised."""
    look = run.second_look
    revised = {revision.name for revision in look.revisions} if look else set()
    changed = replace(run, verdicts=tuple(v for v in run.verdicts if v.name in revised))
    if revised:
        return run_lines(changed)
    return [Line("", f"{plain(run.suite, 80)}: {text}") for text in remarks(run)[-1:]]


def _header(run: Run) -> Iterator[Line]:
    """Say what was run, and which job and traces it is about."""
    took = duration(run.finished - run.started)
    title = f"{plain(run.suite, 80)} on {plain(run.target, 80)}, ring {run.ring}, took {took}"
    yield Line("", title, text_style="bold")
    job = run.evidence.job
    state = plain(job.status or job.state.value, 80)
    detail = f": {plain(job.detail)}" if job.detail else ""
    yield Line("  run       ", plain(run.id, 200), "dim", whole=True)
    yield Line(
        "  job       ", f"{plain(job.id, 200) or 'none'} ({state}{detail})", "dim", whole=True
    )
    label = "  trace     "
    for trace in job.traces[:10]:
        yield Line(label, f"{plain(trace.trace_id, 64)} ({plain(trace.via)})", "dim", whole=True)
        label = "            "
    if len(job.traces) > 10:
        yield Line(label, f"… and {len(job.traces) - 10} more traces", "dim")


def _note_lines(note: Note) -> Iterator[Line]:
    """Lay a note out below its verdict."""
    if note.title:
        yield Line("  • ", note.title, text_style="bold")
    for row in note.rows:
        yield Line(f"  {row.label:<10}", row.text, "dim", whole=row.query)
