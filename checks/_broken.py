"""What is missing from a trace, and what is known of why: services, edges, the whole of it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from checks._case import Case
from checks._edges import Edge, reached, services_between
from checks._queries import traceql
from checks._trace import Key, key_of, parent_key
from checks._verdict import SAMPLED_OUT, sampled_out
from checks._words import duration, listed, named, names_job, short, trace_query
from validator.model import Evidence, Finding, Phase, Signal, Span, SpanKind, TraceRef

_OUTGOING = (SpanKind.PRODUCER, SpanKind.CLIENT)


def no_trace(case: Case) -> Finding:
    """Describe a job of which not one span is to be seen."""
    evidence = case.evidence
    unsampled = sampled_out(evidence)
    ran = [proof for name in case.services if (proof := proof_of_life(case, name))]
    traces = listed(short(ref.trace_id) for ref in evidence.job.traces) or "none known"
    return Finding(
        code=SAMPLED_OUT if unsampled else "no_trace",
        summary="sampled out: no span was recorded" if unsampled else "no trace of this job",
        expected=f"a trace over {listed(case.services)}",
        seen=(f"no span of the job (traces asked for: {traces})", *ran),
        likely=(
            "the sampled flag of the job's trace is off: a sampler on its way decided not to record"
            if unsampled
            else _why_nothing(evidence)
        ),
        query=traceql(evidence),
        absent=True,
        missing=("spans", *(f"spans:{name}" for name in case.services)),
        needs=("job",),
    )


def not_adopted(case: Case) -> list[Finding]:
    """Describe a target that was sent our context and left nothing that is joined to it."""
    job, sent = case.evidence.job, case.sent_trace
    ours = (sent, job.sent_parent)
    if job.existing or not sent:
        return []
    for span in case.index.spans:
        if span.trace_id == sent or any((one.trace_id, one.span_id) == ours for one in span.links):
            return []
    first = case.index.spans[0]
    answered = TraceRef(first.trace_id, "header") in job.traces
    found = "which the target answered" if answered else "found by the job's id"
    return [
        Finding(
            code="context_not_adopted",
            summary="the target does not take our trace context",
            expected=f"its spans in the trace that the job was sent with, {sent}",
            seen=(f"{named(first)} begins trace {short(first.trace_id)}, {found}",),
            likely=(
                "the API does not read `traceparent` (it is not instrumented, or does not trust "
                "its callers); if that is meant, declare `trace_context: new` of the target"
            ),
            query=traceql(case.evidence),
            spans=(first.span_id,),
            absent=True,
        )
    ]


def heard(evidence: Evidence) -> list[str]:
    """Return the services that sent spans during the run, of this job or not."""
    names = {
        name
        for source in evidence.sources
        if Signal.TRACES in source.signals
        for name in source.heard
    }
    return sorted(names - {"obs-validator"})


def _why_nothing(evidence: Evidence) -> str:
    names = heard(evidence)
    keys = " or ".join(f"`{key}`" for key in evidence.job_id_keys)
    if names:
        return (
            f"{listed(names)} did send spans meanwhile, in traces that have neither our trace id "
            f"nor {keys} = the job's id: our trace context is not taken, and nothing else names "
            "the job"
        )
    return (
        "nobody's spans arrived: OTEL_EXPORTER_OTLP_ENDPOINT of the services does not lead to this "
        f"source, or they flush later than it was waited ({_waited(evidence)}; the SDKs' default "
        "is 5 s: set OTEL_BSP_SCHEDULE_DELAY, or `lag_budget` of the source)"
    )


def _waited(evidence: Evidence) -> str:
    budgets = [one.lag_budget for one in evidence.sources if Signal.TRACES in one.signals]
    return f"{max(budgets, default=0.0):g} s"


def missing_service(case: Case, service: str) -> Finding:
    """Describe a required service that left no span, and whether anything proves that it ran."""
    ran = proof_of_life(case, service)
    strangers = sorted(case.present - {*case.services, ""})
    near = difflib.get_close_matches(service, strangers, 1)
    seen = [f"spans of {listed(sorted(name or '(unnamed)' for name in case.present))}"]
    seen += [ran or f"neither logs nor metrics of {service} for this job"]
    seen += [f"nearest service with spans: `{near[0]}`"] if near else []
    return Finding(
        code="service_missing",
        summary=f"no span of {service}",
        expected=f"at least one span with service.name `{service}`",
        seen=tuple(seen),
        likely=_why_silent(case, service, ran, near),
        query=f'{{ resource.service.name = "{service}" }}',
        absent=True,
        missing=(f"spans:{service}",),
        needs=("job",),
    )


def _why_silent(case: Case, service: str, ran: str, near: list[str]) -> str:
    lines = [line for line in case.evidence.logs if line.service == service]
    keys = " or ".join(f"`{key}`" for key in case.evidence.job_id_keys)
    if near:
        return f"the service is now called `{near[0]}` (service.name was changed)"
    if service in heard(case.evidence):
        return (
            f"{service} did send spans meanwhile, in traces that have neither our trace id nor "
            f"{keys} = the job's id: the trace context was lost on the way to it, and its spans "
            "do not name the job"
        )
    if any(line.sampled is False for line in lines):
        return f"the sampler of {service} drops its spans: its log lines say `not sampled`"
    if ran:
        return (
            f"{service} ran but exports no spans: its tracer or exporter was not set up in the "
            "process that does the work (after a fork, say), its sampler drops all, or it flushes "
            f"later than it was waited ({_waited(case.evidence)})"
        )
    return f"{service} was not reached, or none of its telemetry is exported"


def proof_of_life(case: Case, service: str) -> str:
    """Say what of its logs or metrics proves that `service` worked on this job, if anything."""
    lines = [line for line in case.evidence.logs if line.service == service]
    if lines:
        first = min(lines, key=lambda line: (line.time, line.body))
        return f"{service} ran: it logged {len(lines)} lines, the first `{first.body[:80]}`"
    before: dict[tuple[str, str, str], float] = {}
    after: dict[tuple[str, str, str], float] = {}
    for sample in case.evidence.samples:
        if sample.service == service and sample.type in ("counter", "histogram"):
            series = (sample.instance, sample.name, str(sorted(sample.labels.items())))
            (before if sample.phase is Phase.BEFORE else after)[series] = sample.value
    names = {name for (_, name, _) in after if _grew(before, after, name)}
    grown = sorted(names, key=lambda name: (not name.endswith(("_total", "_count")), name))
    return f"{service} ran: its metric `{grown[0]}` increased" if grown else ""


def _grew(
    before: dict[tuple[str, str, str], float], after: dict[tuple[str, str, str], float], name: str
) -> bool:
    return any(
        value > before.get(series, 0.0) for series, value in after.items() if series[1] == name
    )


def missing_edge(case: Case, edge: Edge) -> tuple[Finding, set[Key]]:
    """Describe a required edge that is not there though both its services are.

    Returns the finding, and the keys of the spans whose being detached it explains.
    """
    spans = case.index.judged()
    between = _between(case, edge, spans) if edge.direct else []
    if between:
        return _indirect(case, edge, between), set()
    firsts = _detached(case, edge.target, spans)
    if not firsts:
        return _unjoined(case, edge), set()
    first = _beginning(case, firsts[0])
    last = _last_before(case, edge.source, first, spans)
    explained = {
        key_of(span) for span in firsts if (span.name, span.kind) == (first.name, first.kind)
    }
    return _lost(case, edge, last, first), explained


def _between(case: Case, edge: Edge, spans: Iterable[Span]) -> list[str]:
    led = reached(case.hops, (span for span in spans if span.service == edge.source))
    ends = (span for span in spans if span.service == edge.target and key_of(span) in led)
    end = next(ends, None)
    return services_between(case.hops, edge.source, end) if end is not None else []


def _indirect(case: Case, edge: Edge, between: list[str]) -> Finding:
    return Finding(
        code="edge_indirect",
        summary=f"{edge.source} reaches {edge.target} only through {listed(between)}",
        expected=f"{edge}, a span of {edge.target} directly below one of {edge.source}",
        seen=(f"{' -> '.join([edge.source, *between, edge.target])}",),
        likely=f"the way changed; `{edge.source} ->> {edge.target}` takes a way through others",
        query=traceql(case.evidence),
        absent=True,
    )


def _detached(case: Case, service: str, spans: Iterable[Span]) -> list[Span]:
    """Return the spans of `service` that nothing judged caused, by start: a trace begins there."""
    sent = case.evidence.job.sent_parent
    return [
        span
        for span in spans
        if span.service == service
        and not case.hops.causes[key_of(span)]
        and not (sent and span.parent_id == sent)
    ]


def _beginning(case: Case, span: Span) -> Span:
    """Return the earliest attempt above a detached span: what was lost, was lost before it."""
    top, visited = span, {key_of(span)}
    while top.parent_id and (parent := case.index.by_key.get(parent_key(top))):
        if key_of(parent) in visited:
            break
        visited.add(key_of(parent))
        top = parent
    return top


def _last_before(case: Case, service: str, first: Span, spans: Iterable[Span]) -> Span:
    """Return the span of `service` that most likely should have caused `first`.

    That is the latest outgoing one (PRODUCER, CLIENT) that led to no other service, of the same
    task if its name tells; failing that the latest before `first`, or the earliest there is.
    """
    task = first.name.rpartition("/")[2]
    tolerance = case.evidence.skew * 1e9

    def rank(span: Span) -> tuple[bool, bool, bool, int]:
        effects = case.hops.effects.get(key_of(span), ())
        leads_on = any(effect.service != span.service for effect in effects)
        before = span.start <= first.start + tolerance
        distance = span.start if before else -span.start
        same_task = span.name.rpartition("/")[2] == task
        return (before, span.kind in _OUTGOING and not leads_on, same_task, distance)

    return max((span for span in spans if span.service == service), key=rank)


def _lost(case: Case, edge: Edge, last: Span, first: Span) -> Finding:
    evidence = case.evidence
    after = duration(first.start - last.start)
    word = "later" if first.start >= last.start else "earlier"
    below = case.index.descendants(first)
    same_job = any(names_job(case.index.by_key[key], evidence) for key in below)
    beginning = (
        f"begins trace {short(first.trace_id)}"
        if not first.parent_id
        else f"names a parent {first.parent_id} that never came, in trace {short(first.trace_id)},"
    )
    joined = {"parent": "a parent", "link": "a link", "either": "a parent or a link"}[case.policy]
    queued = SpanKind.CONSUMER is first.kind or SpanKind.PRODUCER is last.kind
    return Finding(
        code="context_lost",
        summary=f"lost between {edge.source} and {edge.target}",
        expected=f"{edge}, joined by {joined if queued else 'a parent'}",
        seen=(
            f"trace {short(last.trace_id)} ends at {named(last)}",
            f"{named(first)} {beginning} {after} {word}"
            + (f", with the same {evidence.job_id_keys[0]}" if same_job else ""),
        ),
        likely=(
            "the publisher does not put the trace context into the task's headers, or the worker "
            "does not read it"
            if queued
            else "the client does not send `traceparent`, or the server does not read it"
        ),
        query=traceql(evidence) if evidence.job.id else trace_query(last.trace_id, first.trace_id),
        spans=(last.span_id, first.span_id),
        absent=True,
    )


def _unjoined(case: Case, edge: Edge) -> Finding:
    callers: dict[str, None] = {}
    for (source, target), hops in sorted(case.hops.by_edge.items()):
        if target == edge.target and hops:
            callers[source] = None
    sent = case.evidence.job.sent_parent
    direct = sent and any(
        span.service == edge.target and span.parent_id == sent for span in case.index.spans
    )
    seen = [f"{edge.target} is called by {listed(callers)}"] if callers else []
    seen += [f"{edge.target} is called by the validator's own request"] if direct else []
    return Finding(
        code="edge_missing",
        summary=f"{edge.source} does not lead to {edge.target}",
        expected=f"{edge}",
        seen=tuple(seen) or (f"no span of {edge.target} has a cause in {edge.source}",),
        likely=f"{edge.source} no longer calls {edge.target}, or another does in its place",
        query=traceql(case.evidence),
        absent=True,
    )
