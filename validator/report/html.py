"""The report as one HTML file: no script, no request, nothing from evidence unescaped.

Its Content-Security-Policy allows one style sheet, by its hash, and nothing else; bars are drawn
by attributes of SVG, for which no inline style is needed.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from checks._lines import level
from validator.model import LogLine, Run, Status, Verdict
from validator.report.axis import axis_of
from validator.report.note import Note, headline, notes, remarks
from validator.report.summary import counts, exit_code, outcome, sentence
from validator.report.text import duration, moment, plain
from validator.report.waterfall import Waterfall, colours_of, waterfall

MOST_LOGS: Final = 500
"""So many log lines of a run are shown."""
_HERE: Final = Path(__file__).parent / "templates"
_FIRST: Final = (Status.FAIL, Status.INCONCLUSIVE, Status.PENDING, Status.BLOCKED, Status.PASS)


@dataclass(frozen=True, slots=True)
class Card:
    """A verdict; `numbers` are those of its findings, one for each of the first notes."""

    status: Status
    name: str
    check: str
    headline: str
    notes: tuple[tuple[int, Note], ...]
    absent: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """A log line, at its offset from the axis' begin."""

    offset: str
    service: str
    severity: str
    bad: bool
    body: str


@dataclass(frozen=True, slots=True)
class Page:
    """One run as the template shows it."""

    number: int
    title: str
    run_id: str
    target: str
    outcome: Status
    facts: tuple[tuple[str, str], ...]
    traces: tuple[tuple[str, str], ...]
    cards: tuple[Card, ...]
    remarks: tuple[str, ...]
    sources: tuple[tuple[str, ...], ...]
    waterfall: Waterfall
    logs: tuple[Line, ...]
    hidden_logs: int
    open: bool


def render(runs: Sequence[Run], headline: tuple[Status, str] | None = None) -> str:
    """Return the whole file; `headline` stands above the runs in the place of what they come to."""
    overall = {0: Status.PASS, 1: Status.FAIL}.get(exit_code(runs), Status.INCONCLUSIVE)
    status, said = headline or (overall, sentence(runs))
    style = (_HERE / "report.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    colours = colours_of(runs)
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("report.html.j2").render(
        style=Markup(style),  # noqa: S704 - our own file; escaped, its hash would not fit
        digest=digest,
        pages=[
            _page(number, run, waterfall(run, colours), alone=len(runs) == 1)
            for number, run in enumerate(runs, start=1)
        ],
        sentence=said,
        outcome=status,
        counts=[(status, number) for status, number in counts(runs).items() if number],
    )


def _page(number: int, run: Run, drawing: Waterfall, *, alone: bool) -> Page:
    """Prepare one run."""
    evidence = run.evidence
    logs = sorted(evidence.logs, key=lambda line: line.time)
    came_to = outcome(run)
    return Page(
        number=number,
        title=plain(run.suite, 80),
        run_id=plain(run.id, 80),
        target=plain(run.target, 80),
        outcome=came_to,
        facts=_facts(run),
        traces=tuple(
            (plain(item.trace_id, 64), plain(item.via, 40)) for item in evidence.job.traces
        ),
        cards=_cards(run),
        remarks=tuple(remarks(run)),
        sources=_sources(run),
        waterfall=drawing,
        logs=tuple(_line(line, axis_of(evidence).start) for line in logs[:MOST_LOGS]),
        hidden_logs=max(len(logs) - MOST_LOGS, 0),
        open=alone or came_to is not Status.PASS,
    )


def _facts(run: Run) -> tuple[tuple[str, str], ...]:
    """Return what stands in the head of a run."""
    job = run.evidence.job
    state = plain(job.status or job.state.value)
    facts = (
        ("Run", plain(run.id, 200)),
        ("Job", plain(job.id, 200) or "none"),
        ("Job state", f"{state}: {plain(job.detail)}" if job.detail else state),
        ("Started", moment(run.started)),
        ("Took", duration(run.finished - run.started)),
        ("Ring", str(run.ring)),
        ("obs-validator", plain(run.version, 80)),
    )
    return tuple((name, value) for name, value in facts if value)


def _cards(run: Run) -> tuple[Card, ...]:
    """Return the verdicts, what needs attention first; findings keep their numbers."""
    cards = []
    number = 1
    for verdict in run.verdicts:
        found = len(verdict.findings)
        numbers = [*range(number, number + found), 0]
        number += found
        cards.append(_card(run, verdict, numbers))
    return tuple(sorted(cards, key=lambda card: _FIRST.index(card.status)))


def _card(run: Run, verdict: Verdict, numbers: Sequence[int]) -> Card:
    """Return one verdict; the number 0 is that of a note which is no finding's."""
    known = {span.span_id for span in run.evidence.spans}
    absent = [item for finding in verdict.findings for item in finding.spans if item not in known]
    said = notes(run, verdict)
    first = numbers if verdict.findings else (0,)
    return Card(
        status=verdict.status,
        name=plain(verdict.name, 80),
        check=plain(verdict.check, 80),
        headline=headline(verdict),
        notes=tuple(zip(first, said, strict=False)),
        absent=tuple(plain(item, 40) for item in absent[:20]),
    )


def _sources(run: Run) -> tuple[tuple[str, ...], ...]:
    """Return a row of the table of sources for each."""
    return tuple(
        (
            plain(source.name, 80),
            plain(source.kind, 80),
            ", ".join(source.signals),
            f"{source.answers} of {source.requests}",
            "unknown" if source.lag is None else duration(source.lag),
            duration(source.lag_budget),
            plain(f"{source.error_kind}: {source.error}") if source.error else "none",
        )
        for source in run.evidence.sources
    )


def _line(line: LogLine, start: int) -> Line:
    """Return one log line."""
    return Line(
        offset=duration((line.time - start) / 1e9),
        service=plain(line.service, 80),
        severity=plain(line.severity, 20),
        bad=level(line.severity) >= level("ERROR"),
        body=plain(line.body),
    )
