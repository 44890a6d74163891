"""What is wrong with a trace's shape: cycles, roots, orphans, hops, times, strangers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from checks._case import Case
from checks._edges import EITHER, LINK, PARENT, Hop, reached
from checks._queries import traceql
from checks._trace import Key, key_of, parent_key, task_id
from checks._words import duration, listed, named, names_job, short, trace_query
from validator.model import Finding, Span, SpanKind

_MOST_NAMED = 8
_MOST_FINDINGS = 20
"""Of one kind: what breaks a thousand times has one cause, or more than anybody reads."""

T = TypeVar("T")


def bounded(items: Sequence[T], describe: Callable[[T], Finding]) -> list[Finding]:
    """Return a finding for each of the first items, and one that counts the rest."""
    found = [describe(item) for item in items[:_MOST_FINDINGS]]
    rest = len(items) - len(found)
    if rest:
        counted = f"{rest} more like the one before are not listed"
        found.append(replace(found[-1], summary=counted, seen=(counted,), spans=(), final=False))
    return found


def cycles(case: Case) -> tuple[list[Finding], set[Key]]:
    """Find spans that are their own ancestors; nothing that comes can mend it."""
    by_key = case.index.by_key
    walk_of: dict[Key, int] = {}
    rings: list[list[Span]] = []
    members: set[Key] = set()
    for number, span in enumerate(case.index.spans):
        path: list[Span] = []
        step: Span | None = span
        while step is not None and (key := (step.trace_id, step.span_id)) not in walk_of:
            walk_of[key] = number
            path.append(step)
            step = by_key.get((step.trace_id, step.parent_id)) if step.parent_id else None
        if step is not None and walk_of[key_of(step)] == number:
            ring = path[path.index(step) :]
            members |= {key_of(member) for member in ring}
            rings.append(ring)
    return bounded(rings, _cycle), members


def _cycle(ring: list[Span]) -> Finding:
    first = ring.index(min(ring, key=lambda span: (span.start, span.span_id)))
    ordered = ring[first:] + ring[:first]
    return Finding(
        code="cycle",
        summary=f"{len(ring)} spans are each other's ancestors",
        expected="every span's parents lead to a root",
        seen=tuple(
            f"{named(span)} {span.span_id} has the parent {span.parent_id}"
            for span in ordered[:_MOST_NAMED]
        ),
        likely="span ids are reused, or a propagator hands a span its own id as its parent",
        query=trace_query(ordered[0].trace_id),
        spans=tuple(span.span_id for span in ordered[:_MOST_NAMED]),
        final=True,
    )


def _roots(case: Case, explained: set[Key]) -> list[Span]:
    """Return the judged roots that are not the beginning of the job."""
    sent, ours = case.sent_trace, case.evidence.job.sent_parent
    roots = [span for span in case.index.roots if key_of(span) not in case.index.superseded]
    begins = [span for span in case.index.spans if ours and span.parent_id == ours]
    if roots and not begins:
        uncaused = [span for span in roots if not case.hops.causes[key_of(span)]] or roots
        begins = [next((span for span in uncaused if span.trace_id == sent), uncaused[0])]
    earlier = [case.index.by_key[key] for key in case.index.superseded]
    # Links in a ring, or from a root to what is below it, cause nothing: only what is reached
    # from the beginning is of one trace. Orphans are findings of their own.
    led = reached(case.hops, [*begins, *case.index.orphans, *earlier])
    return [span for span in roots if key_of(span) not in led and key_of(span) not in explained]


def _of_job(case: Case, root: Span) -> bool:
    """Whether a second root is this job's: by its id, its service, or because nothing else is."""
    if root.trace_id != case.sent_trace and case.sent_trace:
        return True
    below = (case.index.by_key[key] for key in case.index.descendants(root))
    return any(span.service in case.services or names_job(span, case.evidence) for span in below)


def second_roots(case: Case, explained: set[Key]) -> list[Finding]:
    """Find roots beside the first that are of this job or of a service that the suite names."""
    roots = [root for root in _roots(case, explained) if _of_job(case, root)]
    return bounded(roots, lambda root: _second_root(case, root))


def root_notes(case: Case) -> tuple[str, ...]:
    """Tell of roots that are none of this job's business."""
    strangers = [named(root) for root in _roots(case, set()) if not _of_job(case, root)]
    return (f"roots that are not of this job: {listed(strangers)}",) if strangers else ()


def _second_root(case: Case, root: Span) -> Finding:
    own = "" if root.trace_id == case.sent_trace else f" and begins trace {short(root.trace_id)}"
    why = "it is made without the caller's context (a thread, a timer, a client not instrumented)"
    if case.missing:
        why = f"its caller may be {listed(case.missing)}, of which no span is seen; or {why}"
    return Finding(
        code="second_root",
        summary=f"`{root.name}` of {root.service or '(no service.name)'} has no parent",
        expected="one root: everything that the job causes is below it",
        seen=(f"{named(root)} has no parent{own}",),
        likely=why,
        query=trace_query(*dict.fromkeys(filter(None, (case.sent_trace, root.trace_id)))),
        spans=(root.span_id,),
        absent=any((one.trace_id, one.span_id) not in case.index.by_key for one in root.links),
        final=not case.missing and _beyond_mending(root) and root.trace_id == case.sent_trace,
    )


def _beyond_mending(span: Span) -> bool:
    """Whether no later attempt of a task could replace the span, and nothing join it by a link."""
    return span.kind is not SpanKind.CONSUMER and not task_id(span) and not span.links


def orphans(case: Case, explained: set[Key]) -> list[Finding]:
    """Find spans whose parent never came, together by that parent."""
    by_parent: dict[Key, list[Span]] = defaultdict(list)
    for span in case.index.orphans:
        key = (span.trace_id, span.span_id)
        if key in case.index.superseded or key in explained:
            continue
        # Of a trace reached through a link, what is above the linking span is no evidence.
        if not any(cause.trace_id != span.trace_id for cause in case.hops.causes[key]):
            by_parent[span.trace_id, span.parent_id].append(span)
    linking: dict[Key, Span] = {}
    for span in case.index.spans if by_parent else ():
        for link in span.links:
            linking.setdefault((link.trace_id, link.span_id), span)
    return bounded(
        list(by_parent.items()),
        lambda lost: _orphans(case, lost[0], lost[1], linking.get(lost[0])),
    )


def _orphans(case: Case, parent: Key, spans: list[Span], linked: Span | None) -> Finding:
    known = [f"its parent {parent[1]} never came; it has {len(spans)} known children"]
    known += [f"{named(linked)} links to that parent"] if linked else []
    if case.missing:
        known += [f"no span of {listed(case.missing)} is seen: the parent may be one of theirs"]
    children = listed((f"{named(span)} {span.span_id}" for span in spans), _MOST_NAMED)
    return Finding(
        code="orphan",
        summary=f"parent {parent[1]} of `{spans[0].name}` ({spans[0].service}) never came",
        expected="every parent exists",
        seen=(children, *known),
        likely=(
            "the process that made the parent was ended before it exported, dropped it (a full "
            "queue, a sampler), or exports elsewhere"
        ),
        query=trace_query(parent[0]),
        spans=tuple(span.span_id for span in spans[:_MOST_NAMED]),
        absent=True,
    )


def _is_wrong(case: Case, hop: Hop) -> bool:
    if case.policy in hop.modes:
        return False
    if case.policy == PARENT:  # a further link beside a parent takes nothing away
        return parent_key(hop.target) not in case.index.by_key
    return hop.queued


def wrong_hops(case: Case) -> list[Finding]:
    """Find queue hops joined by a parent where the suite asks for a link, or the other way."""
    if case.policy == EITHER:
        return []
    findings = []
    for (source, target), hops in sorted(case.hops.by_edge.items()):
        wrong = [hop for hop in hops if _is_wrong(case, hop)]
        if not wrong:
            continue
        is_mode = LINK if case.policy == PARENT else PARENT
        findings.append(
            Finding(
                code=f"hop_is_{is_mode}",
                summary=f"{source} -> {target} is joined by a {is_mode}, not by a {case.policy}",
                expected=f"{source} -> {target} joined by a {case.policy} (`hops: {case.policy}`)",
                seen=tuple(
                    f"{named(hop.target)} has {named(hop.source)} as its {is_mode}"
                    for hop in wrong[:_MOST_NAMED]
                ),
                likely=(
                    "the instrumentation's setting changed (Celery: `use_span_links`); "
                    "`hops: either` takes both"
                ),
                query=traceql(case.evidence),
                spans=tuple(hop.target.span_id for hop in wrong[:_MOST_NAMED]),
            )
        )
    return findings


def _leads(case: Case) -> list[tuple[Span, Span, int]]:
    """Return the judged spans that begin before their parents, with by how many nanoseconds."""
    found = []
    by_key = case.index.by_key
    for span in case.index.judged():
        parent = by_key.get((span.trace_id, span.parent_id)) if span.parent_id else None
        if parent is not None and span.start < parent.start:
            found.append((span, parent, parent.start - span.start))
    return found


def early_children(case: Case) -> list[Finding]:
    """Find spans that begin before their parents by more than the clocks may differ."""
    beyond = [found for found in _leads(case) if found[2] > case.evidence.skew * 1e9]
    return bounded(beyond, lambda found: _early_child(case, *found))


def _early_child(case: Case, child: Span, parent: Span, lead: int) -> Finding:
    return Finding(
        code="child_before_parent",
        summary=f"`{child.name}` begins {duration(lead)} before its parent",
        expected=f"no child begins before its parent (tolerance {case.evidence.skew:g} s)",
        seen=(f"{named(child)} begins {duration(lead)} before {named(parent)}",),
        likely="the hosts' clocks differ, or the parent is not what caused the child",
        query=trace_query(child.trace_id),
        spans=(child.span_id, parent.span_id),
    )


def skew_notes(case: Case) -> tuple[str, ...]:
    """Tell of children that begin before their parents by no more than the tolerance."""
    within = [lead for _, _, lead in _leads(case) if lead <= case.evidence.skew * 1e9]
    if not within:
        return ()
    most = duration(max(within))
    allowed = f"within the tolerance of {case.evidence.skew:g} s"
    return (f"{len(within)} spans begin before their parents, by at most {most}: {allowed}",)


def extra_services(case: Case) -> list[Finding]:
    """Find services that an `exact` suite does not name; nothing that comes can mend it."""
    if not case.exact:
        return []
    return [
        Finding(
            code="extra_service",
            summary=f"{name or '(no service.name)'} is in the trace and not in the suite",
            expected=f"only {listed(case.services)} (`exact: true`)",
            seen=tuple(named(span) for span in case.index.spans if span.service == name)[
                :_MOST_NAMED
            ],
            likely="a service joined the way of the job; add it to the suite if that is meant",
            query=f'{{ resource.service.name = "{name}" }}',
            spans=tuple(s.span_id for s in case.index.spans if s.service == name)[:_MOST_NAMED],
            final=True,
        )
        for name in sorted({span.service for span in case.index.spans} - {*case.services})
    ]
