"""Which service called which: the hops between services that spans' parents and links prove."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from checks._trace import Index, Key, key_of, parent_key
from validator.model import Span, SpanKind

PARENT = "parent"
LINK = "link"
EITHER = "either"


@dataclass(frozen=True, slots=True)
class Edge:
    """A required edge: `source -> target` (direct) or `source ->> target` (through others too)."""

    source: str
    target: str
    direct: bool

    def __str__(self) -> str:
        """Return the edge as a suite writes it."""
        return f"{self.source} {'->' if self.direct else '->>'} {self.target}"


def parse_edge(text: str) -> Edge:
    """Read `a -> b` or `a ->> b`; anything else raises ValueError that says how to write it."""
    arrow = "->>" if "->>" in text else "->"
    parts = [part.strip() for part in text.split(arrow)]
    if len(parts) != 2 or not all(parts) or any(">" in part for part in parts):
        raise ValueError(
            f"`{text}` is not an edge: write `a -> b`, or `a ->> b` if others may stand between"
        )
    if parts[0] == parts[1]:
        raise ValueError(f"`{text}` joins `{parts[0]}` to itself: an edge joins two services")
    return Edge(parts[0], parts[1], direct=arrow == "->")


@dataclass(frozen=True, slots=True)
class Hop:
    """One crossing from a span of one service to a span of another, and by what it is joined."""

    source: Span
    target: Span
    modes: frozenset[str]

    @property
    def queued(self) -> bool:
        """Whether the hop goes over a queue: only there a link may stand for a parent."""
        return self.target.kind is SpanKind.CONSUMER or self.source.kind is SpanKind.PRODUCER


@dataclass(frozen=True, slots=True)
class Hops:
    """All hops of an index, and each judged span's causes (parents and linked spans)."""

    by_edge: Mapping[tuple[str, str], list[Hop]]
    causes: Mapping[Key, tuple[Span, ...]]
    effects: Mapping[Key, list[Span]]

    def find(self, edge: Edge) -> list[Hop]:
        """Return the direct hops from `edge.source` to `edge.target`."""
        return self.by_edge.get((edge.source, edge.target), [])


def crossings(index: Index) -> Hops:
    """Collect the hops between services among the judged spans.

    A retry hangs below the attempt that it repeats: its cause is what caused that attempt.
    """
    by_edge: dict[tuple[str, str], list[Hop]] = defaultdict(list)
    causes: dict[Key, tuple[Span, ...]] = {}
    effects: dict[Key, list[Span]] = defaultdict(list)
    for span in index.judged():
        parent = _effective_parent(index, span) if span.parent_id else None
        linked = _linked(index, span) if span.links else ()
        both = (*linked, parent) if parent is not None and parent not in linked else linked
        causes[span.trace_id, span.span_id] = both
        for cause in both:
            effects[cause.trace_id, cause.span_id].append(span)
            if cause.service != span.service:
                modes = {PARENT} if cause is parent else set()
                modes |= {LINK} if cause in linked else set()
                by_edge[cause.service, span.service].append(Hop(cause, span, frozenset(modes)))
    return Hops(by_edge=by_edge, causes=causes, effects=effects)


def _effective_parent(index: Index, span: Span) -> Span | None:
    """Return the nearest ancestor that is judged; a cycle among superseded spans has none."""
    parent = index.by_key.get((span.trace_id, span.parent_id))
    visited: set[Key] = set()
    while parent is not None and index.superseded and key_of(parent) in index.superseded:
        if key_of(parent) in visited:
            return None
        visited.add(key_of(parent))
        parent = index.by_key.get(parent_key(parent)) if parent.parent_id else None
    return parent


def _linked(index: Index, span: Span) -> tuple[Span, ...]:
    """Return the spans that `span` links to, as far as they are among the evidence."""
    named = (index.by_key.get((link.trace_id, link.span_id)) for link in span.links)
    return tuple({key_of(other): other for other in named if other and other is not span}.values())


def reached(hops: Hops, sources: Iterable[Span]) -> set[Key]:
    """Return the keys of all spans that `sources` led to, through parents and links."""
    seen = {key_of(span) for span in sources}
    todo = list(seen)
    effects = hops.effects
    while todo:
        for effect in effects.get(todo.pop(), ()):
            key = (effect.trace_id, effect.span_id)
            if key not in seen:
                seen.add(key)
                todo.append(key)
    return seen


def services_between(hops: Hops, source: str, target: Span) -> list[str]:
    """Return the services on the way from a span of `source` to `target`, in order, without both.

    There has to be such a way: `target` is among what the spans of `source` reached.
    """
    came_from: dict[Key, Span | None] = {key_of(target): None}
    todo = deque([target])
    while (span := todo.popleft()).service != source:
        for cause in hops.causes.get(key_of(span), ()):
            if key_of(cause) not in came_from:
                came_from[key_of(cause)] = span
                todo.append(cause)
    return _services_on_way(came_from, span, target)


def _services_on_way(came_from: Mapping[Key, Span | None], start: Span, end: Span) -> list[str]:
    names: list[str] = []
    step: Span | None = start
    while step is not None:
        names.append(step.service)
        step = came_from[key_of(step)]
    return [name for name in dict.fromkeys(names) if name not in (start.service, end.service)]
