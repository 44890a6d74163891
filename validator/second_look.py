"""What a second look at a run came to."""

from __future__ import annotations

from collections.abc import Sequence

from validator.model import Evidence, Revision, Run, SecondLook, Verdict


def second_look(before: Run, verdicts: Sequence[Verdict], evidence: Evidence) -> SecondLook:
    """Compare `verdicts` on `evidence` with those of the run, and count what came late."""
    then = {verdict.name: verdict for verdict in before.verdicts}
    revisions = tuple(
        Revision(now.name, was.status, was.code, now.status, now.code)
        for now in verdicts
        if (was := then.get(now.name)) is not None
        and (was.status, was.code) != (now.status, now.code)
    )
    had = {(span.trace_id, span.span_id) for span in before.evidence.spans}
    spans = sum((span.trace_id, span.span_id) not in had for span in evidence.spans)
    lines = max(0, len(evidence.logs) - len(before.evidence.logs))
    return SecondLook(at=evidence.now, spans=spans, lines=lines, revisions=revisions)
