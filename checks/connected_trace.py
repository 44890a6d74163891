"""One job is one connected trace: every service, every hop, every parent."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from checks import _broken, _shape
from checks._case import Case
from checks._edges import Edge, crossings, parse_edge, reached
from checks._params import Params
from checks._trace import Key, build, key_of
from checks._verdict import Examined, decide
from checks._words import listed
from validator.model import Evidence, Finding, Signal, Verdict

KIND = "connected_trace"


class ConnectedTraceParams(Params):
    """Which services the trace has, and how they are joined."""

    services: tuple[str, ...] = Field(
        min_length=1, description="the `service.name`s that have to have left spans"
    )
    edges: tuple[str, ...] = Field(
        (), description="`a -> b`: directly below; `a ->> b`: others may stand between"
    )
    hops: Literal["parent", "link", "either"] = Field(
        "parent", description="how queue hops are joined: by the parent, or by a span link"
    )
    exact: bool = Field(default=False, description="whether a service that is not named is a fail")
    metrics: tuple[str, ...] = Field(
        (), description="metric families whose increase proves that a silent service ran"
    )

    @field_validator("edges")
    @classmethod
    def _readable(cls, edges: tuple[str, ...]) -> tuple[str, ...]:
        for edge in edges:
            parse_edge(edge)
        return edges

    @model_validator(mode="after")
    def _edges_join_services(self) -> ConnectedTraceParams:
        for edge in self.parsed_edges():
            for end in (edge.source, edge.target):
                if end not in self.services:
                    raise ValueError(f"`{edge}`: `{end}` is not among the services of this check")
        return self

    def parsed_edges(self) -> tuple[Edge, ...]:
        """Return the edges in the order of the suite."""
        return tuple(parse_edge(edge) for edge in self.edges)


def evaluate(params: ConnectedTraceParams, evidence: Evidence) -> Verdict:
    """Judge whether the job's spans are one connected trace over the services of `params`."""
    case = _case(params, evidence)
    if not case.index.spans:
        return _nothing(case)
    cycles, in_cycle = _shape.cycles(case)
    broken, explained = _broken_edges(case)
    apart = _broken.not_adopted(case)
    if apart:  # then the first root there is begins the job, and is no second one
        explained |= {key_of(span) for span in case.index.roots[:1]}
    findings = (
        *cycles,
        *apart,
        *(_broken.missing_service(case, name) for name in case.missing),
        *broken,
        *_shape.wrong_hops(case),
        *_shape.second_roots(case, explained),
        *_shape.orphans(case, explained | in_cycle),
        *_shape.early_children(case),
        *_shape.extra_services(case),
    )
    return decide(evidence, _examined(case, findings))


def _case(params: ConnectedTraceParams, evidence: Evidence) -> Case:
    index = build(evidence.spans, evidence.job.sent_parent)
    return Case(
        services=tuple(dict.fromkeys(params.services)),
        edges=params.parsed_edges(),
        policy=params.hops,
        exact=params.exact,
        evidence=evidence,
        index=index,
        hops=crossings(index),
        present=frozenset(span.service for span in index.judged()),
    )


def _broken_edges(case: Case) -> tuple[list[Finding], set[Key]]:
    """Return the findings about missing edges, and the spans whose detachment they explain."""
    findings: list[Finding] = []
    explained: set[Key] = set()
    for edge in case.edges:
        if edge.source not in case.present or edge.target not in case.present:
            continue  # the missing service is the finding; what hangs on it is not another
        if case.hops.find(edge) or (not edge.direct and _leads(case, edge)):
            continue
        finding, keys = _broken.missing_edge(case, edge)
        findings.append(finding)
        explained |= keys
    return findings, explained


def _leads(case: Case, edge: Edge) -> bool:
    spans = case.index.judged()
    led = reached(case.hops, (span for span in spans if span.service == edge.source))
    return any(span.service == edge.target and key_of(span) in led for span in spans)


def _nothing(case: Case) -> Verdict:
    """Judge a job that left no span."""
    return decide(case.evidence, _examined(case, (_broken.no_trace(case),)))


def _examined(case: Case, findings: tuple[Finding, ...]) -> Examined:
    traces = len({span.trace_id for span in case.index.spans})
    joined = "one trace" if traces == 1 else f"{traces} traces joined by links"
    edges = f", {len(case.edges)} edges joined" if case.edges else ""
    return Examined(
        kind=KIND,
        signals=(Signal.TRACES,),
        count=len(case.index.judged()),
        summary=f"{len(case.index.spans)} spans, {len(case.services)} services in {joined}{edges}",
        findings=findings,
        notes=_notes(case),
    )


def _notes(case: Case) -> tuple[str, ...]:
    extra = listed(name or "(no service.name)" for name in sorted(case.present - {*case.services}))
    others = (f"other services in the trace: {extra}",) if extra and not case.exact else ()
    return (*case.index.retry_notes(), *_shape.skew_notes(case), *_shape.root_notes(case), *others)
