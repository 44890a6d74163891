"""Whether the job's traces can be found by search, and how long after its end."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from checks._bounded import few
from checks._params import Params
from checks._queries import traceql
from checks._unmatched import nothing_seen
from checks._values import Duration
from checks._verdict import Examined, decide
from checks._words import listed, short
from validator.model import Evidence, Finding, SearchHit, Signal, Verdict, ids_in

KIND = "trace_search"


class TraceSearchParams(Params):
    """Which of the job's traces have to be found, and when."""

    traces: Literal["all", "any"] = Field(
        "all", description="which of the job's traces have to be found: each, or at least one"
    )
    within: Duration | None = Field(
        None, description="how long after the job's end each has to be found"
    )


def evaluate(params: TraceSearchParams, evidence: Evidence) -> Verdict:
    """Judge whether a search for the job's id finds the traces that hold its spans.

    Reading a trace by its id shows the storage alone: an index can fail while that works.
    """
    traces = sorted({span.trace_id for span in evidence.spans})
    hits = _first(evidence)
    late = _late(params, evidence, traces, hits)
    missing = [trace for trace in traces if trace not in hits]
    enough = params.traces == "any" and len(missing) < len(traces)
    findings = list(late)
    if missing and not enough:
        findings.append(_not_found(evidence, traces, missing))
    if not traces:
        findings.append(nothing_seen(evidence, "a trace to search for"))
    # What is only not found is waited for in the index, and holds up nothing else.
    waiting = bool(traces) and bool(findings)
    return decide(
        evidence,
        Examined(
            kind=KIND,
            signals=(Signal.SEARCH,) if waiting else (Signal.TRACES, Signal.SEARCH),
            count=len(traces),
            summary=_summary(evidence, traces, hits),
            findings=tuple(findings),
            notes=_notes(evidence, traces, missing if enough else []),
            exists=enough,
            doubts=_doubts(params, evidence),
        ),
    )


def _first(evidence: Evidence) -> dict[str, SearchHit]:
    """Return of each trace the search that had it first."""
    hits: dict[str, SearchHit] = {}
    for hit in sorted(evidence.hits, key=lambda hit: (hit.seen, hit.source)):
        hits.setdefault(hit.trace_id, hit)
    return hits


def _after(evidence: Evidence, hit: SearchHit) -> float | None:
    """Return how many seconds after the job's end a trace was found; None if nobody knows."""
    job = evidence.job
    return None if job.ended is None or job.existing else max(0.0, hit.seen - job.ended)


def _late(
    params: TraceSearchParams, evidence: Evidence, traces: list[str], hits: dict[str, SearchHit]
) -> list[Finding]:
    """Return the finding that traces were found too late: one of them in time is enough for any."""
    if params.within is None:
        return []
    found = {trace: _after(evidence, hits[trace]) for trace in traces if trace in hits}
    late = {trace: after for trace, after in found.items() if after and after > params.within}
    if not late or (params.traces == "any" and len(late) < len(found)):
        return []
    return [
        Finding(
            code="found_late",
            summary=f"{_of(len(late), traces)} found by search {max(late.values()):.1f} s after "
            f"the job's end, not within {params.within:g} s",
            expected=f"found by search within {params.within:g} s of the job's end",
            seen=few(f"{trace}: after {after:.1f} s" for trace, after in late.items()),
            likely="the index is behind: its ingest or its compaction has become slower, or "
            "`within` is less than what it leaves out by design (Tempo: "
            "`query_frontend.query_end_cutoff`, 30 s by default)",
            query=traceql(evidence),
            final=params.traces == "all",
        )
    ]


def _not_found(evidence: Evidence, traces: list[str], missing: list[str]) -> Finding:
    """Describe traces that are there by their ids and that no search finds."""
    return Finding(
        code="not_searchable",
        summary=f"{_of(len(missing), traces)} cannot be found by search",
        expected="a search for the job's id finds each trace that has its spans",
        seen=few(f"{trace}: {_spans_of(evidence, trace)}, read by id" for trace in missing),
        likely=_why(evidence, missing),
        query=traceql(evidence),
        absent=True,
        needs=("job",),
    )


def _why(evidence: Evidence, missing: list[str]) -> str:
    """Return the likely cause: an id that no span has, or an index that lacks what is stored."""
    job, keys = evidence.job.id, evidence.job_id_keys
    named = {
        span.trace_id
        for span in evidence.spans
        if job in ids_in(span.attributes, keys) or job in ids_in(span.resource, keys)
    }
    if not set(missing) & named:
        names = listed(f"`{key}`" for key in keys)
        return f"none of their spans has the job's id under {names}: nothing to find them by"
    return "the index fails or is behind while the storage works"


def _of(count: int, traces: list[str]) -> str:
    """Return how many of the traces."""
    if len(traces) == 1:
        return f"trace {short(traces[0])}"
    return f"{count} of {len(traces)} traces"


def _spans_of(evidence: Evidence, trace: str) -> str:
    """Return how many spans a trace has."""
    count = sum(span.trace_id == trace for span in evidence.spans)
    return f"{count} span{'s' * (count != 1)}"


def _summary(evidence: Evidence, traces: list[str], hits: dict[str, SearchHit]) -> str:
    """Return what a pass says: how many were found, and after how long."""
    found = [hits[trace] for trace in traces if trace in hits]
    what = f"{_of(len(found), traces)} found by search"
    after = [one for one in (_after(evidence, hit) for hit in found) if one is not None]
    return f"{what} {max(after):.1f} s after the job's end" if after else what


def _notes(evidence: Evidence, traces: list[str], missing: list[str]) -> tuple[str, ...]:
    """Tell of traces that a search finds and that are no evidence, and of those not needed."""
    others = sorted({hit.trace_id for hit in evidence.hits} - set(traces))
    return few(
        [f"search finds trace {trace}, of which no span is evidence" for trace in others]
        + [f"trace {trace} is not found by search" for trace in missing]
    )


def _doubts(params: TraceSearchParams, evidence: Evidence) -> tuple[Finding, ...]:
    """Return why a time cannot be judged."""
    job = evidence.job
    if params.within is None or (job.ended is not None and not job.existing):
        return ()
    return (
        Finding(
            code="no_end",
            summary="when the job ended is not known: how long the index took cannot be said",
            expected="a job that the validator has followed to its end",
            seen=("an existing job",),
            likely="leave out `within` for jobs that are there already",
            query=traceql(evidence),
        ),
    )
