"""Which traces a job has, and which spans are evidence of it: "Which traces?" of the rules."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from validator.model import Job, Span, TraceRef, ids_in

Key = tuple[str, str]


def parent_id_for(trace_id: str) -> str:
    """Return the span id that the validator sends as the parent in the trace `trace_id`.

    Nobody exports that span. It is derived from the trace id, so that the parent of a job that
    was submitted earlier, or by another validator, is known as such too.
    """
    return hashlib.sha256(b"obs-validator parent " + trace_id.encode()).hexdigest()[:16]


def with_traces(job: Job, found: Iterable[TraceRef]) -> Job:
    """Return the job with traces added that it did not have.

    An existing job may have been submitted by a validator: then the parent that it sent, which is
    derived from the trace's id, is known not to be exported.
    """
    known = {ref.trace_id for ref in job.traces}
    more = sorted({ref for ref in found if ref.trace_id not in known}, key=lambda r: r.trace_id)
    if not more:
        return job
    first = (job.traces or more)[0].trace_id
    parent = job.sent_parent or (parent_id_for(first) if job.existing else "")
    return replace(job, traces=(*job.traces, *more), sent_parent=parent)


def select(spans: Iterable[Span], job: Job, keys: Sequence[str]) -> tuple[Span, ...]:
    """Return the spans that are evidence of the job.

    A trace that was sent, given or answered by the target is taken whole. Of a trace found by
    the job's id, the trees with a span of that id, less the parts that name another job. Of a
    trace reached through a link, the linking span and its descendants.
    """
    via = {ref.trace_id: ref.via for ref in reversed(job.traces)}
    every = list(spans)
    children: dict[Key, list[Span]] = defaultdict(list)
    by_key = {(span.trace_id, span.span_id): span for span in every}
    for span in every:
        if span.parent_id:
            children[span.trace_id, span.parent_id].append(span)
    ours = [(trace_id, job.sent_parent) for trace_id, how in via.items() if how == "sent"]
    chosen: dict[Key, None] = dict.fromkeys(ours)
    tops: set[Key] = set()
    tops_of: dict[Key, Span] = {}
    for span in every:
        how = via.get(span.trace_id, "")
        if how in ("sent", "given", "header"):
            chosen[span.trace_id, span.span_id] = None
        elif how and names_job(span, job.id, keys):  # also where a link was seen first
            top = _top(span, by_key, tops_of, via)
            if (top.trace_id, top.span_id) not in tops:
                tops.add((top.trace_id, top.span_id))
                _take(top, children, chosen, job=(job.id, keys))
            chosen[span.trace_id, span.span_id] = None
    _follow_links(every, children, chosen)
    return tuple(span for span in every if (span.trace_id, span.span_id) in chosen)


def names_job(span: Span, job_id: str, keys: Iterable[str]) -> bool:
    """Whether a span carries the job's id under one of `keys`."""
    return bool(job_id) and job_id in ids_in(span.attributes, keys)


def _names_other(span: Span, job: tuple[str, Sequence[str]] | None) -> bool:
    if job is None:
        return False
    job_id, keys = job
    named = ids_in(span.attributes, keys)
    return bool(named) and job_id not in named


def _leads_to_ours(span: Span, via: Mapping[str, str]) -> bool:
    return any(
        link.trace_id != span.trace_id and via.get(link.trace_id) in ("sent", "given", "header")
        for link in span.links
    )


def _top(
    span: Span, by_key: dict[Key, Span], known: dict[Key, Span], via: Mapping[str, str]
) -> Span:
    """Return the uppermost ancestor; `known` remembers those of spans that were passed."""
    path: dict[Key, None] = {}
    while (key := (span.trace_id, span.span_id)) not in path and key not in known:
        path[key] = None
        parent = by_key.get((span.trace_id, span.parent_id)) if span.parent_id else None
        if parent is None or _leads_to_ours(span, via):  # above it is who polled, not the job
            break
        span = parent
    top = known.get((span.trace_id, span.span_id), span)
    known.update(dict.fromkeys(path, top))
    return top


def _take(
    top: Span,
    children: dict[Key, list[Span]],
    chosen: dict[Key, None],
    job: tuple[str, Sequence[str]] | None,
) -> list[Key]:
    """Choose `top` and what is below it, less what names another job; return what is new."""
    new: list[Key] = []
    todo = [top]
    visited: set[Key] = set()
    while todo:
        span = todo.pop()
        key = (span.trace_id, span.span_id)
        if key in visited or _names_other(span, job):
            continue
        visited.add(key)
        if key not in chosen:
            chosen[key] = None
            new.append(key)
        todo.extend(children.get(key, ()))
    return new


def _follow_links(
    spans: list[Span], children: dict[Key, list[Span]], chosen: dict[Key, None]
) -> None:
    """Add what links back to a chosen span, again and again until nothing more is found."""
    linking: dict[Key, list[Span]] = defaultdict(list)
    for span in spans:
        for link in span.links:
            linking[link.trace_id, link.span_id].append(span)
    todo = list(chosen) if linking else []
    while todo:
        for span in linking.get(todo.pop(), ()):
            if (span.trace_id, span.span_id) not in chosen:
                todo.extend(_take(span, children, chosen, job=None))
