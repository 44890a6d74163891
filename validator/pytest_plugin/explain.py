"""A colleague's note on what a test has found: what was expected, seen, and is likely."""

from __future__ import annotations

from dataclasses import replace

from checks import connected_trace
from validator.model import Run, Signal, Span, SpanKind, Status, Verdict
from validator.pytest_plugin.hints import Hints
from validator.pytest_plugin.observed import Observed
from validator.report.forest import Node, forest
from validator.report.lines import Line, joined, run_lines
from validator.report.note import notes
from validator.report.text import duration, plain

_MOST_SPANS = 60


def note(run: Run, verdict: Verdict) -> str:
    """Return a verdict as the text of an exception: the summary, then its rows."""
    shown = replace(verdict, status=Status.FAIL) if verdict.status is Status.BLOCKED else verdict
    rows = [row for one in notes(run, shown) for row in one.rows]
    job = run.evidence.job
    traces = ", ".join(ref.trace_id for ref in job.traces[:3])
    lines = [plain(verdict.summary)]
    lines += [f"  {row.label:<10}{row.text}" for row in rows]
    lines.append(f"  {'job':<10}{plain(job.id) or 'none'} ({job.status or job.state.value})")
    lines += [f"  {'trace':<10}{plain(traces)}"] if traces else []
    return "\n".join(lines)


def section(observed: Observed, hints: Hints) -> str:
    """Return what a job left, for the report of a test that failed: its spans as they hang.

    Attributes are shown by their names alone: a report is read by more people than a backend.
    """
    seen = observed.seen()
    run = observed.run_of(*_connected(observed, hints))
    lines = run_lines(run)
    for trace_id, nodes in forest(seen.spans).items():
        lines.append(Line("  spans     ", f"trace {trace_id}", "dim"))
        lines += [Line("    ", _node(node, seen.job.sent_parent)) for node in nodes[:_MOST_SPANS]]
        more = len(nodes) - _MOST_SPANS
        lines += [Line("    ", f"… and {more} more")] if more > 0 else []
    if not seen.spans:
        traces = seen.covered(Signal.TRACES)
        lines.append(Line("  spans     ", f"none ({traces.state}: {plain(traces.reason)})"))
    lines += [Line("  note      ", plain(text)) for text in observed.notes]
    return joined(lines)


def _connected(observed: Observed, hints: Hints) -> tuple[Verdict, ...]:
    """Judge whether the spans are one connected trace, where they are not."""
    seen = observed.seen()
    known = hints.services or tuple(sorted({one.service for one in seen.spans if one.service}))
    if not known or not seen.spans:
        return ()
    params = connected_trace.ConnectedTraceParams(services=known, edges=hints.edges, hops="either")
    verdict = connected_trace.evaluate(params, seen)
    return (verdict,) if verdict.status is Status.FAIL else ()


def _node(node: Node, sent: str) -> str:
    span: Span = node.span
    kind = "" if span.kind is SpanKind.INTERNAL else f" {span.kind}"
    lost = " (its parent is not there)" if node.orphan and span.parent_id != sent else ""
    keys = f"; {', '.join(sorted(span.attributes))}" if span.attributes else ""
    took = duration((span.end - span.start) / 1e9)
    name = f"`{plain(span.name, 120)}` {plain(span.service, 80)}{kind} {took}"
    return f"{'  ' * node.depth}{name}{lost}{plain(keys)}"
