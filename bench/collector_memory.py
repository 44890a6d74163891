"""Resident memory of the collector: 100,000 spans of 20 attributes, and 300,000 more.

The collector runs in a process of its own and gets its spans over OTLP/HTTP, as from an SDK.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import requests
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from bench.figures import Figure

SPANS = 100_000
AFTER = 300_000
ATTRIBUTES = 20
_BATCH = 500
_IN_TRACE = 20
_MOST_MB = 250_000_000 / 1024 / 1024
"""250 MB in MiB, in which it is measured."""
_MOST_GROWTH = 1.05
"""What a heap still settles by; 150,000 spans that leaked would make it twice as large."""

_CHILD = """
import sys
from validator.clock import SystemClock
from validator.sources.collector.limits import Limits
from validator.sources.collector.server import Collector, Listen

listen = Listen(http_port=0, grpc_port=0)
collector = Collector(SystemClock(), listen, Limits(items=int(sys.argv[1])))
collector.start()
print(collector.endpoint, flush=True)
sys.stdin.read()
collector.stop()
"""


def _body(rng: random.Random, first: int) -> bytes:
    """Return one export request: 500 spans of traces of 20, each with 20 attributes."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    for key, text in (("service.name", "scraper"), ("service.instance.id", "scraper-1")):
        resource.resource.attributes.add(key=key).value.string_value = text
    scope = resource.scope_spans.add()
    scope.scope.name = "opentelemetry.instrumentation.celery"
    for number in range(first, first + _BATCH):
        trace = number // _IN_TRACE
        start = 1_700_000_000_000_000_000 + number * 1_000_000
        span = scope.spans.add(
            trace_id=(trace + 1).to_bytes(16, "big"),
            span_id=(number + 1).to_bytes(8, "big"),
            parent_span_id=number.to_bytes(8, "big") if number % _IN_TRACE else b"",
            name=f"run/scraper.task_{number % 10}",
            kind=Span.SPAN_KIND_CONSUMER,
            start_time_unix_nano=start,
            end_time_unix_nano=start + 900_000,
        )
        span.attributes.add(key="job.id").value.string_value = f"job-{trace:08}"
        for index in range(ATTRIBUTES - 1):
            attribute = span.attributes.add(key=f"attribute.number.{index}")
            if index % 3 == 0:
                attribute.value.int_value = rng.randrange(1 << 31)
            else:
                attribute.value.string_value = f"{rng.getrandbits(80):020x}"
    return request.SerializeToString()


def _send(endpoint: str, first: int, count: int) -> int:
    """Send `count` spans from number `first` on; return how many bytes they were."""
    rng = random.Random(first)
    sent = 0
    with requests.Session() as session:
        session.trust_env = False
        for start in range(first, first + count, _BATCH):
            body = _body(rng, start)
            sent += len(body)
            headers = {"Content-Type": "application/x-protobuf"}
            answer = session.post(f"{endpoint}/v1/traces", data=body, headers=headers, timeout=30)
            answer.raise_for_status()
    return sent


def measure() -> dict[str, float | int | str]:
    """Return the figures, and how they were measured."""
    command = [sys.executable, "-c", _CHILD, str(SPANS)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None  # noqa: S101 - it is a pipe
        endpoint = child.stdout.readline().strip()
        process = psutil.Process(child.pid)
        empty = process.memory_info().rss
        began = time.perf_counter()
        sent = _send(endpoint, 0, SPANS)
        took = time.perf_counter() - began
        full = process.memory_info().rss
        _send(endpoint, SPANS, AFTER // 2)
        half = process.memory_info().rss
        _send(endpoint, SPANS + AFTER // 2, AFTER // 2)
        after = process.memory_info().rss
        session = requests.Session()
        session.trust_env = False
        status = session.get(f"{endpoint}/api/v1/status", timeout=30).json()
        session.close()
        child.communicate("")
    mib = 1024 * 1024
    return {
        "spans_resident": status["traces"]["resident"],
        "spans_evicted": status["traces"]["evicted"],
        "bytes_per_span": round(sent / SPANS),
        "empty_mib": round(empty / mib, 1),
        "with_100000_spans_mib": round(full / mib, 1),
        "after_150000_more_mib": round(half / mib, 1),
        "after_300000_more_mib": round(after / mib, 1),
        "seconds_to_send_100000": round(took, 1),
        "how": (
            f"RSS of a collector process (HTTP and gRPC listening, bound {SPANS} spans) fed over "
            f"OTLP/HTTP, {_BATCH} spans of {ATTRIBUTES} attributes in a request, "
            f"{_IN_TRACE} spans in a trace, a job id on each"
        ),
    }


def measure_figures() -> Iterator[Figure]:
    """Return the measurement as figures with their bounds."""
    found = measure()
    full, after = float(found["with_100000_spans_mib"]), float(found["after_300000_more_mib"])
    half = float(found["after_150000_more_mib"])
    name = "collector, resident memory"
    yield Figure(f"{name} with 100,000 spans", full, "MiB", str(found["how"]), bound=_MOST_MB)
    more = f"resident spans {found['spans_resident']}, evicted {found['spans_evicted']}"
    yield Figure(f"{name} after 300,000 more", after, "MiB", more, bound=_MOST_MB)
    how = "the last 150,000 spans against the 150,000 before them: a leak would go on"
    yield Figure(f"{name}: growth once full", after / half, "x", how, bound=_MOST_GROWTH)
    seconds = float(found["seconds_to_send_100000"])
    yield Figure("collector, seconds to take 100,000 spans", seconds, "s", "OTLP/HTTP, one sender")


def main() -> None:
    """Print the figures."""
    print(json.dumps(measure(), indent=2))


if __name__ == "__main__":
    main()
