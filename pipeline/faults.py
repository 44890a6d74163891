"""The catalogue of switches that break the pipeline's instrumentation, as it breaks in life.

Each is read where the affected service sets itself up, and changes what that service does;
nothing edits telemetry once it has been made.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

CONTEXT_LOST_IN_QUEUE: Final = "context-lost-in-queue"
WORKER_EXPORTER_NOT_SET_UP: Final = "worker-exporter-not-set-up"
ATTRIBUTE_DROPPED: Final = "attribute-dropped"
ATTRIBUTE_WRONG_TYPE: Final = "attribute-wrong-type"
OPERATION_LABEL_MISSING: Final = "operation-label-missing"
FAILURE_LOGS_WITHOUT_TRACE: Final = "failure-logs-without-trace"
WRONG_JOB_ID_ON_RETRY: Final = "wrong-job-id-on-retry"
SERVICE_SAMPLES_NOTHING: Final = "service-samples-nothing"


@dataclass(frozen=True, slots=True)
class Fault:
    """One way in which instrumentation really breaks."""

    title: str
    in_life: str
    affects: tuple[str, ...]


FAULTS: Final[dict[str, Fault]] = {
    CONTEXT_LOST_IN_QUEUE: Fault(
        title="Trace context is lost when the scrape task is queued",
        in_life=(
            "A handler of before_task_publish lets only listed headers through to the broker,"
            " and nobody listed traceparent."
        ),
        affects=("orchestrator",),
    ),
    WORKER_EXPORTER_NOT_SET_UP: Fault(
        title="The scrape worker's exporters are never set up after the fork",
        in_life=(
            "The handler of worker_process_init is connected by a weak reference and is gone"
            " before the first child starts: its spans and logs go nowhere."
        ),
        affects=("scraper-worker",),
    ),
    ATTRIBUTE_DROPPED: Fault(
        title="The scrape task's span has no queue.name",
        in_life="A refactoring of the task's set-up forgets one of the attributes.",
        affects=("scraper-worker",),
    ),
    ATTRIBUTE_WRONG_TYPE: Fault(
        title="job.stage of the scrape task's span is a number",
        in_life="The stage becomes an IntEnum, and its member is given to the span as it is.",
        affects=("scraper-worker",),
    ),
    OPERATION_LABEL_MISSING: Fault(
        title="Writes have no operation label",
        in_life="The embed worker declares its histogram anew, without the label operation.",
        affects=("embedding-worker",),
    ),
    FAILURE_LOGS_WITHOUT_TRACE: Fault(
        title="Failure logs carry no trace_id",
        in_life="Failures are logged from a thread of their own, which has no trace context.",
        affects=("scraper-worker", "orchestrator"),
    ),
    WRONG_JOB_ID_ON_RETRY: Fault(
        title="A retried scrape task's span has the wrong job.id",
        in_life="The retry's attributes are rebuilt from the task's request, whose id is Celery's.",
        affects=("scraper-worker",),
    ),
    SERVICE_SAMPLES_NOTHING: Fault(
        title="Chunking samples none of its spans",
        in_life="A deployment sets OTEL_TRACES_SAMPLER=always_off for one service.",
        affects=("chunking",),
    ),
}


def of_service(names: frozenset[str], service: str) -> frozenset[str]:
    """Return those of the switches that change the service."""
    return frozenset(name for name in names if service in FAULTS[name].affects)


def affected(names: frozenset[str]) -> frozenset[str]:
    """Return the services that the switches change."""
    return frozenset(service for name in names for service in FAULTS[name].affects)


def unknown(names: tuple[str, ...]) -> str | None:
    """Return what is wrong with the names of switches, or nothing."""
    for name in names:
        if name not in FAULTS:
            near = get_close_matches(name, FAULTS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(FAULTS)}"
            return f"no switch is called {name!r}: {hint}"
    return None
