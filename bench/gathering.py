"""A large job through the real collector into evidence: taking in, asking, gathering."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

import requests
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench.figures import Figure
from bench.lag_runs import Readable, source
from bench.scale import growth
from bench.shapes import job_of, tree
from validator.channel import channels
from validator.found import Found
from validator.gather import Gather
from validator.model import Coverage, CoverageState, Job, Signal, Span

_SIZES = (10_000, 100_000)
_BATCH = 500
_MOST_GROWTH = 50.0
"""Wider than for what computes alone, and still far from the 100 of what is quadratic."""


def measure() -> Iterator[Figure]:
    """Measure with the collector in process, then as a process of its own."""
    for remote in (False, True):
        where = "remote" if remote else "in process"
        rows = [_once(size, remote=remote) for size in _SIZES]
        size = f"{_SIZES[-1]:,} spans of one job"
        steps = ("sent and taken in", "asked for and decoded", "gathered into evidence")
        for index, step in enumerate(steps):
            took = [row[index] for row in rows]
            how = ", ".join(f"{n:,}: {s:.3g} s" for n, s in zip(_SIZES, took, strict=True))
            name = f"gathering, collector {where}: {step}"
            yield Figure(f"{name}, {size}", took[-1], "s", f"once; {how}")
            how = "per tenfold size, garbage collection and all, measured once"
            yield Figure(f"{name}, growth", growth(took), "x", how, _MOST_GROWTH)


def _once(size: int, *, remote: bool) -> tuple[float, float, float]:
    spans = tuple(tree(size))
    bodies = list(_exports(spans))
    job = job_of(spans)
    with source(remote=remote) as (read, endpoint):
        began = time.perf_counter()
        _send(endpoint, bodies)
        sent = time.perf_counter()
        gather = _gather(read)
        question = gather.question(gather.channels[0], job, time.time())
        asked = time.perf_counter()
        answer = read.traces(question)
        answered = time.perf_counter()
        gather.take(gather.channels[0], time.time(), answer, time.time())
        found = len(_evidence(gather, job))
        done = time.perf_counter()
    if found != size:
        raise RuntimeError(f"{found} of {size} spans came back")
    return sent - began, answered - asked, done - answered


def _gather(read: Readable) -> Gather:
    return Gather(
        channels=channels([read], frozenset(), frozenset({Signal.TRACES})),
        found=Found(("job.id",)),
        skew=0.05,
        settle=2.0,
        patience=5.0,
        began=0.0,
        control="",
    )


def _evidence(gather: Gather, job: Job) -> tuple[Span, ...]:
    waiting = dict.fromkeys(Signal, Coverage(CoverageState.OPEN, "", ()))
    return gather.evidence(job, time.time(), waiting).spans


def _send(endpoint: str, bodies: Iterable[bytes]) -> None:
    headers = {"Content-Type": "application/x-protobuf"}
    with requests.Session() as session:
        session.trust_env = False
        for body in bodies:
            answer = session.post(f"{endpoint}/v1/traces", data=body, headers=headers, timeout=30)
            answer.raise_for_status()


def _exports(spans: tuple[Span, ...]) -> Iterator[bytes]:
    for first in range(0, len(spans), _BATCH):
        request = ExportTraceServiceRequest()
        by_service: dict[str, list[Span]] = {}
        for span in spans[first : first + _BATCH]:
            by_service.setdefault(span.service, []).append(span)
        for service, members in by_service.items():
            resource = request.resource_spans.add()
            resource.resource.attributes.add(key="service.name").value.string_value = service
            scope = resource.scope_spans.add()
            for span in members:
                made = scope.spans.add(
                    trace_id=bytes.fromhex(span.trace_id),
                    span_id=bytes.fromhex(span.span_id),
                    parent_span_id=bytes.fromhex(span.parent_id),
                    name=span.name,
                    start_time_unix_nano=span.start,
                    end_time_unix_nano=span.end,
                )
                for key, value in span.attributes.items():
                    made.attributes.add(key=key).value.string_value = str(value)
        yield request.SerializeToString()
