"""What the parts of `connected_trace` look at together."""

from __future__ import annotations

from dataclasses import dataclass

from checks._edges import Edge, Hops
from checks._trace import Index
from validator.model import Evidence


@dataclass(frozen=True, slots=True)
class Case:
    """One job's evidence, indexed, beside what the suite asks of it.

    `policy` is the suite's `hops` (`parent`, `link` or `either`); `present` are the services
    that left at least one span.
    """

    services: tuple[str, ...]
    edges: tuple[Edge, ...]
    policy: str
    exact: bool
    evidence: Evidence
    index: Index
    hops: Hops
    present: frozenset[str]

    @property
    def missing(self) -> tuple[str, ...]:
        """Return the services of the suite that left no span, in the suite's order."""
        return tuple(name for name in self.services if name not in self.present)

    @property
    def sent_trace(self) -> str:
        """Return the id of the trace that the job was sent with, or was given; else empty."""
        job = self.evidence.job
        return next((ref.trace_id for ref in job.traces if ref.via in ("sent", "given")), "")
