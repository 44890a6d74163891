"""The shape of a trace: spans once each, parents, roots, orphans, and attempts of tasks.

Everything is in an order of its own (by start, then by ids), so that no verdict depends on the
order or the repetition in which spans came. Walks keep what they have visited: a hostile trace
may have cycles.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from validator.model import Span, SpanKind

Key = tuple[str, str]
"""Trace id and span id: span ids are unique only within their trace."""

TASK_ID_KEYS = ("messaging.message.id", "task.id")
"""Where a span names its task: OpenTelemetry's messaging conventions (what Celery's
instrumentation sets on `run/…`, the same over retries and redeliveries), and the name by which a
span within a task can repeat it."""


def key_of(span: Span) -> Key:
    """Return the key under which the span is known."""
    return (span.trace_id, span.span_id)


def parent_key(span: Span) -> Key:
    """Return the key of the span's parent; it need not exist."""
    return (span.trace_id, span.parent_id)


def task_id(span: Span) -> str:
    """Return the id of the task that the span says it belongs to, empty if it says nothing."""
    for name in TASK_ID_KEYS:
        value = span.attributes.get(name)
        if value:
            return str(value)
    return ""


def _once(spans: Iterable[Span]) -> dict[Key, Span]:
    kept: dict[Key, Span] = {}
    for span in spans:
        key = (span.trace_id, span.span_id)
        other = kept.get(key)
        if other is None or (other is not span and _content(span) > _content(other)):
            kept[key] = span
    return kept


def _content(span: Span) -> tuple[int, int, int, str]:
    rest = (span.name, span.service, span.status, sorted(span.attributes.items(), key=str))
    return (span.end, len(span.attributes), -span.start, str(rest))


@dataclass(frozen=True, slots=True)
class Index:
    """Spans by their place in their traces.

    `spans` holds each once, by start. `children` leads from a span's key to its children, also
    where the parent itself never came. `roots` have no parent id, `orphans` have one that is not
    among the spans (the parents in `known_absent` do not count). `attempts` groups the CONSUMER
    spans of one task by start; `superseded` are the keys of what belongs to attempts other than
    the last, and of the remains of attempts that were killed.
    """

    spans: tuple[Span, ...]
    by_key: Mapping[Key, Span]
    children: Mapping[Key, list[Span]]
    roots: tuple[Span, ...]
    orphans: tuple[Span, ...]
    attempts: Mapping[tuple[str, str, str], list[Span]]
    superseded: frozenset[Key]

    def descendants(self, top: Span, stop: frozenset[Key] = frozenset()) -> set[Key]:
        """Return the keys of `top` and all below it, not entering the spans in `stop`."""
        return _descendants(self.children, top, stop)

    def judged(self) -> tuple[Span, ...]:
        """Return the spans of last attempts, and all that belong to no attempt."""
        if not self.superseded:
            return self.spans
        return tuple(span for span in self.spans if key_of(span) not in self.superseded)

    def retry_notes(self) -> tuple[str, ...]:
        """Say of each task that ran more than once how often, and which attempt is judged."""
        return tuple(
            f"{service} ran `{name}` {len(tries)} times (task {task}); the last attempt is judged"
            for (service, name, task), tries in sorted(self.attempts.items())
            if len(tries) > 1
        )


def build(spans: Iterable[Span], known_absent: str = "") -> Index:
    """Index `spans`; `known_absent` is the id of a parent that nobody exports (ours)."""
    by_key = _once(spans)
    ordered = sorted(by_key.values(), key=lambda span: (span.start, span.trace_id, span.span_id))
    children: dict[Key, list[Span]] = defaultdict(list)
    roots, orphans = [], []
    attempts: dict[tuple[str, str, str], list[Span]] = defaultdict(list)
    for span in ordered:
        if not span.parent_id:
            roots.append(span)
        else:
            parent = (span.trace_id, span.parent_id)
            children[parent].append(span)
            if parent not in by_key and span.parent_id != known_absent:
                orphans.append(span)
        if span.kind is SpanKind.CONSUMER and (task := task_id(span)):
            attempts[(span.service, span.name, task)].append(span)
    return Index(
        spans=tuple(ordered),
        by_key=by_key,
        children=children,
        roots=tuple(roots),
        orphans=tuple(orphans),
        attempts=attempts,
        superseded=_superseded(children, attempts, orphans),
    )


def _descendants(children: Mapping[Key, list[Span]], top: Span, stop: AbstractSet[Key]) -> set[Key]:
    seen: set[Key] = set()
    todo = [key_of(top)]
    while todo:
        key = todo.pop()
        if key in seen or key in stop:
            continue
        seen.add(key)
        todo.extend(key_of(child) for child in children.get(key, ()))
    return seen


def _superseded(
    children: Mapping[Key, list[Span]],
    attempts: Mapping[tuple[str, str, str], list[Span]],
    orphans: Iterable[Span],
) -> frozenset[Key]:
    """Collect the spans of earlier attempts: a retry may hang below the attempt that it repeats."""
    found: set[Key] = set()
    last_start: dict[tuple[str, str], int] = {}
    for (service, _, task), tries in attempts.items():
        last_start[service, task] = max(last_start.get((service, task), 0), tries[-1].start)
        stop = {key_of(other) for other in tries}
        for earlier in tries[:-1]:  # itself it enters; a copy for each would be quadratic
            stop.discard(key_of(earlier))
            found |= _descendants(children, earlier, stop)
            stop.add(key_of(earlier))
    for orphan in orphans:  # a publisher names the task too, but is no part of an attempt
        began = last_start.get((orphan.service, task_id(orphan)), 0)
        if orphan.kind is not SpanKind.PRODUCER and orphan.start < began:
            found |= _descendants(children, orphan, frozenset())
    return frozenset(found)
