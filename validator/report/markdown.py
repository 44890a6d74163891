"""The report for a CI summary (`$GITHUB_STEP_SUMMARY`): GitHub-flavoured Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from validator.model import Run, Status, Verdict
from validator.report.note import Note, Row, headline, notes, remarks
from validator.report.summary import outcome, sentence
from validator.report.text import duration, plain

MOST: Final = 900_000
"""GitHub drops a summary of more than 1 MiB whole: details end before that, and say so."""

_MARKS: Final = {
    Status.PASS: "✅",
    Status.FAIL: "❌",
    Status.INCONCLUSIVE: "⚠️",
    Status.BLOCKED: "⛔",
    Status.PENDING: "⏳",
}
_HTML: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;"}
_SPECIAL: Final = re.compile(r"[\\`*{}\[\]#|~!$&<>@]|(?<!\w)_|_(?!\w)")


def render(runs: Sequence[Run]) -> str:
    """Return the summary: for each run a table of its checks, then what is not a pass."""
    text = f"## obs-validator: {escape(sentence(runs))}\n"
    for number, run in enumerate(runs):
        block = "\n" + "\n".join(_run(run)) + "\n"
        if len((text + block).encode("utf-8", "replace")) > MOST:
            left = len(runs) - number
            return f"{text}\n_{left} more runs are not shown: the summary would be too long._\n"
        text += block
    return text


def escape(text: str) -> str:
    """Return `text` such that Markdown shows it and does nothing else with it."""
    return _SPECIAL.sub(lambda match: _HTML.get(match[0], f"\\{match[0]}"), text)


def _run(run: Run) -> Iterator[str]:
    """Lay out one run."""
    name = f"{escape(plain(run.suite, 80))} on {escape(plain(run.target, 80))}"
    yield f"### {_MARKS[outcome(run)]} {name}"
    yield ""
    job = run.evidence.job
    facts = [
        f"ring {run.ring}",
        duration(run.finished - run.started),
        f"job {code(job.id) if job.id else 'none'}",
        *(f"trace {code(trace.trace_id)}" for trace in job.traces[:10]),
    ]
    yield " · ".join(facts)
    yield ""
    yield "| | check | what it says |"
    yield "|-|-|-|"
    for verdict in run.verdicts:
        status = f"{_MARKS[verdict.status]} {verdict.status.value}"
        said = escape(headline(verdict))
        yield f"| {status} | {escape(plain(verdict.name, 80))} | {said} |"
    for verdict in run.verdicts:
        yield from _details(run, verdict)
    said_of_run = remarks(run)
    if said_of_run:
        yield ""
        yield from (f"- {escape(text)}" for text in said_of_run)


def code(text: str) -> str:
    """Return an id as code, also in a table."""
    return f"<code>{escape(plain(text, 200))}</code>"


def _details(run: Run, verdict: Verdict) -> Iterator[str]:
    """Lay out what a verdict says that is neither a pass nor blocked."""
    if verdict.status in (Status.PASS, Status.BLOCKED):
        return
    yield ""
    name = escape(plain(verdict.name, 80))
    yield f"#### {_MARKS[verdict.status]} {name}: {escape(headline(verdict))}"
    for note in notes(run, verdict):
        yield ""
        yield from _note(note)


def _note(note: Note) -> Iterator[str]:
    """Lay out a note as a list, its query as a block to copy."""
    if note.title:
        yield f"**{escape(note.title)}**"
        yield ""
    for row in note.rows:
        if row.query:
            yield from _query(row)
        elif row.label:
            yield f"- **{row.label}** {escape(row.text)}"
        else:
            yield f"  <br>{escape(row.text)}"


def _query(row: Row) -> Iterator[str]:
    """Fence a query with more backticks than it has itself."""
    longest = max((len(run) for run in re.findall("`+", row.text)), default=0)
    fence = "`" * max(3, longest + 1)
    yield f"- **{row.label}**"
    yield ""
    yield from (f"  {line}" for line in (fence, row.text, fence))
