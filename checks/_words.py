"""How findings speak of spans, traces and times."""

from __future__ import annotations

from collections.abc import Iterable

from validator.model import Evidence, Span, ids_in

_NANOSECONDS = 1e9


def short(identifier: str) -> str:
    """Return the first six digits of a trace or span id: enough to tell two apart by eye."""
    return f"{identifier[:6]}…" if len(identifier) > 8 else identifier


def named(span: Span) -> str:
    """Name a span for people: its name, service and kind."""
    return f"`{span.name}` ({span.service or 'no service.name'}, {span.kind})"


def duration(nanoseconds: float) -> str:
    """Write a time difference in the unit that suits it."""
    seconds = abs(nanoseconds) / _NANOSECONDS
    if seconds >= 1:
        return f"{seconds:.1f} s"
    if seconds >= 1e-3:
        return f"{seconds * 1e3:.0f} ms"
    return f"{seconds * 1e6:.0f} µs"


def listed(words: Iterable[str], most: int = 5) -> str:
    """Join words with commas; of more than `most` only the first are named."""
    every = list(words)
    rest = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + rest


def trace_query(*trace_ids: str) -> str:
    """Return a TraceQL query that finds these traces."""
    return " || ".join(f'{{ trace:id = "{trace_id}" }}' for trace_id in trace_ids)


def names_job(span: Span, evidence: Evidence) -> bool:
    """Whether the span itself carries the job's id."""
    job = evidence.job.id
    return bool(job) and job in ids_in(span.attributes, evidence.job_id_keys)
