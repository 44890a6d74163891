"""The traces of a run laid out as rows on one time axis, for the HTML report to draw."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from validator.model import Run, Span, SpanStatus
from validator.report.axis import Axis, axis_of
from validator.report.forest import Node, forest
from validator.report.marks import Gap, Ghost, Mark, gaps_of, ghosts_of, marks_of
from validator.report.text import duration, plain, value_text

MOST_ROWS: Final = 1500
"""A browser stays quick with so many rows; rows that a finding marks come on top of it."""
MOST_FACTS: Final = 100
"""So many attributes of one span are shown."""
MOST_SERVICES: Final = 40
"""So many services have a place in the legend."""
_COLOURS: Final = 10


@dataclass(frozen=True, slots=True)
class Row:
    """One span. `x` and `width` are on the axis; `remarks` say what is odd about it."""

    span_id: str
    depth: int
    name: str
    service: str
    colour: int
    kind: str
    failed: bool
    offset: str
    took: str
    x: float
    width: float
    marks: tuple[Mark, ...]
    remarks: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Block:
    """One trace: its rows, the gaps in front of it, and how many spans are not shown."""

    trace_id: str
    via: str
    gaps: tuple[Gap, ...]
    rows: tuple[Row, ...]
    spans: int

    @property
    def hidden(self) -> int:
        """Return how many spans have no row."""
        return self.spans - len(self.rows)


@dataclass(frozen=True, slots=True)
class Waterfall:
    """Everything that is drawn of a run's traces."""

    ticks: tuple[str, ...]
    blocks: tuple[Block, ...]
    ghosts: tuple[Ghost, ...]
    services: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class _Drawing:
    """What every row needs to know of the whole."""

    axis: Axis
    colours: Mapping[str, int]
    marks: Mapping[str, tuple[Mark, ...]]
    sent_parent: str


def colours_of(runs: Sequence[Run]) -> dict[str, int]:
    """Return a colour for each service, the same in every run."""
    services = {span.service for run in runs for span in run.evidence.spans}
    return {service: number % _COLOURS for number, service in enumerate(sorted(services))}


def waterfall(run: Run, colours: Mapping[str, int]) -> Waterfall:
    """Lay out a run's spans."""
    job = run.evidence.job
    trees = forest(run.evidence.spans)
    services = sorted({span.service for span in run.evidence.spans})
    axis = axis_of(run.evidence)
    drawing = _Drawing(axis, colours, marks_of(run), job.sent_parent)
    via = {trace.trace_id: trace.via for trace in job.traces}
    order = [*(item for item in via if item in trees), *(item for item in trees if item not in via)]
    shown = _shown(trees, order, drawing.marks)
    gaps = gaps_of(run, axis, order)
    blocks = tuple(
        Block(
            trace_id=plain(trace, 64),
            via=plain(via.get(trace, ""), 40),
            gaps=gaps.get(trace, ()),
            rows=tuple(_row(node, drawing) for node in trees[trace] if id(node) in shown),
            spans=len(trees[trace]),
        )
        for trace in order
    )
    legend = [(plain(service, 80) or "(no name)", colours[service]) for service in services]
    return Waterfall(axis.ticks(), blocks, ghosts_of(run), tuple(legend[:MOST_SERVICES]))


def _shown(
    trees: Mapping[str, Sequence[Node]],
    order: Sequence[str],
    marks: Mapping[str, object],
) -> set[int]:
    """Choose the rows: all that are marked or failed, then the others as they come."""
    nodes = [node for trace in order for node in trees[trace]]
    if len(nodes) <= MOST_ROWS:
        return {id(node) for node in nodes}
    marked = [node for node in nodes if node.span.span_id in marks]
    failed = [node for node in nodes if node.span.status is SpanStatus.ERROR]
    chosen = {id(node) for node in marked}
    for node in (*failed, *nodes):
        if len(chosen) >= MOST_ROWS + len(marked):
            break
        chosen.add(id(node))
    return chosen


def _row(node: Node, drawing: _Drawing) -> Row:
    """Lay out one span."""
    span, axis = node.span, drawing.axis
    x, width = axis.place(span.start, span.end)
    return Row(
        span_id=plain(span.span_id, 40),
        depth=node.depth,
        name=plain(span.name, 200) or "(no name)",
        service=plain(span.service, 80) or "(no name)",
        colour=drawing.colours[span.service],
        kind=span.kind.value,
        failed=span.status is SpanStatus.ERROR,
        offset=duration((span.start - axis.start) / 1e9),
        took=duration((span.end - span.start) / 1e9),
        x=x,
        width=width,
        marks=drawing.marks.get(span.span_id, ()),
        remarks=tuple(_remarks(node, drawing)),
        facts=tuple(_facts(span, drawing.sent_parent)),
    )


def _remarks(node: Node, drawing: _Drawing) -> Iterator[str]:
    """Say what is odd about a span's place or times."""
    axis = drawing.axis
    if node.orphan and node.span.parent_id != drawing.sent_parent:
        yield f"its parent {plain(node.span.parent_id, 40)} is not in this trace"
    if node.cycle:
        yield "its parents form a cycle"
    if not axis.holds(node.span.start) or not axis.holds(node.span.end):
        yield "its times are off this axis"


def _facts(span: Span, sent_parent: str) -> Iterator[tuple[str, str]]:
    """List what is known of a span."""
    yield "span id", plain(span.span_id, 40)
    sent = " (the validator's own, which nobody exports)" if span.parent_id == sent_parent else ""
    yield "parent id", f"{plain(span.parent_id, 40)}{sent}" if span.parent_id else "none"
    yield "instance", plain(span.instance, 200)
    yield "kind", span.kind.value
    yield "status", f"{span.status.value} {plain(span.status_message)}".strip()
    yield "scope", plain(span.scope, 200)
    for link in span.links[:20]:
        yield "link", f"{plain(link.trace_id, 40)} {plain(link.span_id, 40)}"
    for event in span.events[:20]:
        yield "event", f"{plain(event.name, 200)} at {duration((event.time - span.start) / 1e9)}"
    pairs = sorted(span.attributes.items())
    for key, value in pairs[:MOST_FACTS]:
        yield plain(key, 100), value_text(value)
    if len(pairs) > MOST_FACTS:
        yield "…", f"and {len(pairs) - MOST_FACTS} more attributes"
    for key, value in sorted(span.resource.items())[:MOST_FACTS]:
        yield f"resource {plain(key, 100)}", value_text(value)
