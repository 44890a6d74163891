"""What of a real job's evidence may be stored: the attributes that are named, and no bodies."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from fnmatch import fnmatchcase

from validator.model import Attributes, Evidence, LogLine, Run, Span, Verdict, flat_key

ALWAYS = ("service.*", "telemetry.sdk.*", "messaging.message.id", "task.id")
"""What judging needs and what names programs, not people: OpenTelemetry's resource conventions."""


def filtered(run: Run, allowed: Collection[str]) -> Run:
    """Return the run with only the allowed attributes (globs) in its evidence.

    Attributes that name the job stay, since everything hangs on them. Log bodies, status messages
    and events, which may hold anything, are left out.
    """
    evidence = run.evidence
    patterns = (*ALWAYS, *evidence.job_id_keys, *allowed)
    kept: Evidence = replace(
        evidence,
        job=replace(evidence.job, fields=_only(evidence.job.fields, patterns), detail=""),
        spans=tuple(_span(span, patterns) for span in evidence.spans),
        logs=tuple(_line(line, patterns) for line in evidence.logs),
    )
    return replace(run, evidence=kept, verdicts=tuple(map(_verdict, run.verdicts)))


def _verdict(verdict: Verdict) -> Verdict:
    """Return the verdict without words: they quote values and log lines."""
    findings = tuple(
        replace(one, summary=one.code, expected="", seen=(), likely="", query="")
        for one in verdict.findings
    )
    return replace(verdict, summary=verdict.code, findings=findings, notes=())


def _only(attributes: Attributes, patterns: Collection[str]) -> Attributes:
    return {
        key: value
        for key, value in attributes.items()
        if any(fnmatchcase(key, pattern) for pattern in patterns)
    }


def _span(span: Span, patterns: Collection[str]) -> Span:
    return replace(
        span,
        attributes=_only(span.attributes, patterns),
        resource=_only(span.resource, patterns),
        links=tuple(replace(link, attributes={}) for link in span.links),
        events=(),
        status_message="",
    )


def _line(line: LogLine, patterns: Collection[str]) -> LogLine:
    flat = [flat_key(pattern) for pattern in patterns]
    spelled = [
        key
        for key in line.flattened
        if any(fnmatchcase(flat_key(key), pattern) for pattern in flat)
    ]
    patterns = (*patterns, *spelled)
    kept = replace(
        line,
        body="",
        attributes=_only(line.attributes, patterns),
        resource=_only(line.resource, patterns),
    )
    left = {*kept.attributes, *kept.resource}
    return replace(kept, flattened=tuple(key for key in line.flattened if key in left))
