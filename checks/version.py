"""Which version of each service worked on the job."""

from __future__ import annotations

from pydantic import Field

from checks._attempts import Attempts, attempts_of
from checks._bounded import few, marked
from checks._params import Params
from checks._queries import traceql
from checks._select import SpanSelector
from checks._trace import key_of
from checks._unmatched import no_span
from checks._values import shown
from checks._verdict import Examined, decide
from checks._words import listed
from validator.model import Evidence, Finding, Signal, Span, Verdict

KIND = "version"
_KEY = "service.version"


class VersionParams(Params):
    """Which services, and the version that each has to show."""

    services: tuple[str, ...] = Field(
        min_length=1, description="the services that have to be of the version"
    )
    version: str = Field(
        min_length=1, description="the `service.version` that each of their spans has to show"
    )


def evaluate(params: VersionParams, evidence: Evidence) -> Verdict:
    """Judge whether every span of the services was made by the version that is expected.

    Another version is no failure of the job: it is inconclusive, since what was to be judged was
    not running (yet).
    """
    attempts = attempts_of(evidence)
    findings: list[Finding] = []
    doubts: list[Finding] = []
    count = 0
    for service in dict.fromkeys(params.services):
        spans = [span for span in attempts.judged if span.service == service]
        count += len(spans)
        if not spans:
            selector = SpanSelector(service=service)
            findings.append(no_span(selector, evidence, attempts, (1, 0)))
        elif any(_version(span) != params.version for span in spans):
            doubts.append(_mismatch(params.version, service, spans, evidence))
    services = len(set(params.services))
    return decide(
        evidence,
        Examined(
            kind=KIND,
            signals=(Signal.TRACES,),
            count=count,
            summary=f"{count} spans of {services} services show {params.version}",
            findings=tuple(findings),
            notes=(*attempts.index.retry_notes(), *_earlier_notes(params, attempts)),
            doubts=tuple(doubts),
        ),
    )


def _version(span: Span) -> str:
    value = span.resource.get(_KEY)
    return "" if value is None else value if isinstance(value, str) else shown(value)


def _by_instance(spans: list[Span]) -> dict[tuple[str, str], int]:
    """Count spans by instance and version."""
    counts: dict[tuple[str, str], int] = {}
    for span in spans:
        group = (span.instance, _version(span))
        counts[group] = counts.get(group, 0) + 1
    return dict(sorted(counts.items()))


def _mismatch(wanted: str, service: str, spans: list[Span], evidence: Evidence) -> Finding:
    groups = _by_instance(spans)
    versions = sorted({version for _, version in groups})
    nothing = versions == [""]
    words = listed(version or "no version" for version in versions)
    if nothing:
        likely = f"the resource of {service} has no `{_KEY}`: set it where the SDK is set up"
    elif wanted in versions:
        likely = "the deployment is still going on: old instances take work too"
    else:
        likely = "the deployment has not reached it, or the expected version is wrong"
    return Finding(
        code="version_unknown" if nothing else "version_mismatch",
        summary=f"{service} shows {words}, not {'only ' * (wanted in versions)}{wanted}",
        expected=f"`{_KEY}` = {wanted} on every span of {service}",
        seen=tuple(
            f"{instance or '(no service.instance.id)'}: {version or 'no version'} on {count} spans"
            for (instance, version), count in groups.items()
        ),
        likely=likely,
        query=traceql(evidence, service),
        spans=marked(span.span_id for span in spans if _version(span) != wanted),
    )


def _earlier_notes(params: VersionParams, attempts: Attempts) -> tuple[str, ...]:
    return few(
        f"{attempts.word(key_of(span))}: `{span.name}` was run by {span.instance or span.service} "
        f"of version {_version(span) or '(none)'}"
        for span in attempts.earlier
        if span.service in params.services and _version(span) != params.version
    )
