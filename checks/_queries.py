"""Queries to paste, so that a reader sees what the check saw: TraceQL, LogQL, PromQL."""

from __future__ import annotations

import re
from collections.abc import Mapping

from validator.model import Evidence, flat_key, ids_in

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_LABEL = re.compile(r"[^A-Za-z0-9_]")


def quoted(text: str) -> str:
    """Put text into quotes as the three query languages read them."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def job_key(evidence: Evidence) -> str:
    """Return the attribute key under which this job's spans name it, empty if none is known."""
    for key in evidence.job_id_keys:
        if any(key in span.attributes for span in evidence.spans):
            return key
    return evidence.job_id_keys[0] if evidence.job_id_keys else ""


def _attribute(key: str) -> str:
    return f"span.{key}" if _PLAIN_KEY.fullmatch(key) else f"span.{quoted(key)}"


def _names_job(evidence: Evidence, key: str) -> str:
    """Return the condition that spans name the job, of the type or types that they have it in.

    TraceQL compares types: `"42"` finds no 42.
    """
    job, spans = evidence.job.id, evidence.spans
    types = {type(one.attributes[key]) for one in spans if job in ids_in(one.attributes, (key,))}
    values = [] if types == {int} else [quoted(job)]
    values += [job] if int in types else []
    terms = [f"{_attribute(key)} = {value}" for value in values]
    return terms[0] if len(terms) == 1 else f"({' || '.join(terms)})"


def traceql(evidence: Evidence, service: str = "", name: str = "", trace: str = "") -> str:
    """Return a query for the job's spans of a service, of a name (`*` stands for anything).

    Where spans do not carry the job's id they are found by their trace.
    """
    job, terms = evidence.job, []
    key = job_key(evidence)
    if trace:
        terms.append(f"trace:id = {quoted(trace)}")
    elif job.id and key:
        terms.append(_names_job(evidence, key))
    elif job.traces:
        terms.append(f"trace:id = {quoted(job.traces[0].trace_id)}")
    if service:
        terms.append(f"resource.service.name = {quoted(service)}")
    if "*" in name:
        terms.append(f"name =~ {quoted('.*'.join(map(re.escape, name.split('*'))))}")
    elif name:
        terms.append(f"name = {quoted(name)}")
    return f"{{ {' && '.join(terms)} }}" if terms else "{ }"


def logql(evidence: Evidence, service: str = "") -> str:
    """Return a query for the job's log lines of a service."""
    stream = f"service_name={quoted(service)}" if service else 'service_name=~".+"'
    job, keys = evidence.job, evidence.job_id_keys
    if job.id and keys:
        seen = (key for key in keys if any(line.key_for(key) for line in evidence.logs))
        return f"{{{stream}}} | {flat_key(next(seen, keys[0]))}={quoted(job.id)}"
    return (
        f"{{{stream}}} | trace_id={quoted(job.traces[0].trace_id)}"
        if job.traces
        else (f"{{{stream}}}")
    )


def promql(name: str, labels: Mapping[str, str], by: str = "") -> str:
    """Return a query for how a series grew, by instance and by the label `by`."""
    chosen = ", ".join(f"{key}={quoted(value)}" for key, value in labels.items())
    groups = f"instance, {_LABEL.sub('_', by)}" if by else "instance"
    return f"sum by ({groups}) (increase({name}{{{chosen}}}[10m]))"
