"""Why a selector matched no span, as far as the spans that are there can tell."""

from __future__ import annotations

from collections.abc import Iterable

from checks._attempts import Attempts
from checks._near import nearest
from checks._queries import traceql
from checks._select import Matching, SpanSelector, attribute, fits
from checks._values import Missing, shown
from checks._words import listed, named
from validator.model import Evidence, Finding, Span


def nothing_seen(evidence: Evidence, why: str) -> Finding:
    """Describe a check that wants nothing, where there was nothing to look through either."""
    return Finding(
        code="nothing_seen",
        summary="no span of the job to look at",
        expected=f"at least one span of the job: {why}",
        seen=("no span of the job at all",),
        likely="the job's trace is not exported, or not found",
        query=traceql(evidence),
        absent=True,
        needs=("job", "spans"),
    )


def no_span(
    selector: SpanSelector, evidence: Evidence, attempts: Attempts, counts: tuple[int, int]
) -> Finding:
    """Describe a selector that matched fewer spans than it should; `counts`: wanted, found."""
    wanted, found = counts
    spans = attempts.judged
    silent = selector.service is not None and all(s.service != selector.service for s in spans)
    seen, likely = _why(selector, spans) if not found else ([], "")
    earlier = sum(map(selector.selects, attempts.earlier))
    seen += [f"{earlier} on attempts that another replaced"] if earlier else []
    of = "no" if not found else f"only {found}"
    return Finding(
        code="too_few" if found else "no_match",
        summary=f"{of} {selector.words()}" + (f", {wanted} expected" if wanted > 1 else ""),
        expected=f"at least {wanted} {selector.words()}",
        seen=tuple(seen) or (f"{found} of {wanted}",),
        likely=likely or "the work was done fewer times than expected, or some of it is not traced",
        query=traceql(evidence, selector.service or "", ""),
        absent=True,
        needs=_needs(selector, silent=silent, nothing=not spans),
    )


def _needs(selector: SpanSelector, *, silent: bool, nothing: bool) -> tuple[str, ...]:
    needs = ["job"]
    needs += [f"spans:{selector.service}"] if silent and selector.service else []
    needs += ["spans"] if nothing else []
    return tuple(needs)


def _why(selector: SpanSelector, spans: Iterable[Span]) -> tuple[list[str], str]:
    every = sorted(spans, key=lambda span: (len(selector.misfits(span)), span.start, span.span_id))
    if not every:
        return ["no span of the job at all"], "the job's trace is not exported, or not found"
    service = selector.service
    own = [span for span in every if service is None or span.service == service]
    if service is not None and not own:
        return _no_service(service, every)
    first = own[0]
    misfits = selector.misfits(first)
    if misfits == ("where",):
        return _where(selector, first)
    if misfits == ("kind",):
        likely = "the instrumentation makes it with another kind now"
        return [f"{named(first)} is {first.kind}, not {selector.kind}"], likely
    names = sorted({span.name for span in own})
    near = nearest(selector.name or "", names)
    seen = [f"{len(own)} spans{f' of {service}' if service else ''}: {listed(names)}"]
    if near:
        return [*seen, f"nearest name: `{near}`"], f"was `{selector.name}` renamed to `{near}`?"
    return seen, "the code that makes the span did not run, or is no longer instrumented"


def _no_service(service: str, spans: list[Span]) -> tuple[list[str], str]:
    services = sorted({span.service or "(no service.name)" for span in spans})
    near = nearest(service, services)
    seen = [f"no span of {service} at all; spans of {listed(services)}"]
    if near:
        return [*seen, f"nearest service: `{near}`"], f"was `{service}` renamed to `{near}`?"
    return seen, f"{service} was not reached, or exports no spans"


def _where(selector: SpanSelector, span: Span) -> tuple[list[str], str]:
    seen = []
    for key, wanted in selector.where.items():
        value = attribute(span, key)
        if fits(wanted, value):
            continue
        ask = f"matching /{wanted.matches}/" if isinstance(wanted, Matching) else shown(wanted)
        if isinstance(value, Missing):
            near = nearest(key, span.attributes)
            seen.append(f"{named(span)} has no `{key}`" + (f"; has `{near}`" if near else ""))
        else:
            seen.append(f"{named(span)} has `{key}` = {shown(value)}, not {ask}")
    return seen, "the attribute that the spans are chosen by has changed"
