"""Spans as trees, in the order in which a waterfall shows them: whatever shape they have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from validator.model import Span


@dataclass(frozen=True, slots=True)
class Node:
    """A span at its depth; an orphan's parent is not there, a cycle has no beginning."""

    span: Span
    depth: int
    orphan: bool = False
    cycle: bool = False


def forest(spans: Iterable[Span]) -> dict[str, list[Node]]:
    """Return each trace's spans, parents before children, siblings by time; every span once."""
    traces: dict[str, list[Span]] = {}
    for span in sorted(spans, key=_order):
        traces.setdefault(span.trace_id, []).append(span)
    return {trace_id: _tree(members) for trace_id, members in traces.items()}


def _order(span: Span) -> tuple[int, int, str]:
    """Order spans by time, the longer first, and by id where that is equal."""
    return span.start, -span.end, span.span_id


def _tree(spans: Sequence[Span]) -> list[Node]:
    """Order one trace's spans; what hangs on nothing but itself begins where it is earliest."""
    known = {span.span_id for span in spans}
    children: dict[str, list[Span]] = {}
    for span in spans:
        children.setdefault(span.parent_id, []).append(span)
    nodes: list[Node] = []
    done: set[int] = set()
    roots = [span for span in spans if span.parent_id not in known]
    for root in (*roots, *spans):
        if id(root) in done:
            continue
        inside = root.parent_id in known
        stack = [Node(root, 0, orphan=bool(root.parent_id) and not inside, cycle=inside)]
        while stack:
            node = stack.pop()
            if id(node.span) in done:
                continue
            done.add(id(node.span))
            nodes.append(node)
            below = children.get(node.span.span_id, ())
            stack += [Node(span, node.depth + 1) for span in reversed(below)]
    return nodes
