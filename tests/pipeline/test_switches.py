"""Each switch breaks what it says, as OpenTelemetry's own console exporter shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipeline import faults
from pipeline.testing import poll_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.testing import RunningPipeline, Submitted

pytestmark = [pytest.mark.process, pytest.mark.req("P-10")]

_LAST = "run/embedding.embed_task"
_REQUIRED = {"job.id", "job.url", "job.stage", "queue.name", "request.mode"}


@dataclass(frozen=True, slots=True)
class Seen:
    """What a retried job and a refused one left behind."""

    pipeline: RunningPipeline
    flaky: Submitted
    blocked: Submitted
    spans: list[dict[str, Any]]
    of_jobs: list[dict[str, Any]]

    def tasks(self) -> list[dict[str, Any]]:
        """Return the scrape task's spans of the retried job, by attempt, in whatever trace."""
        url_end = f"nonce={self.flaky.nonce}"
        found = [
            span
            for span in self.of_jobs
            if span["name"] == "scrape_task" and span["attributes"]["job.url"].endswith(url_end)
        ]
        return sorted(found, key=lambda span: int(span["attributes"]["task.attempt"]))

    def services(self) -> set[str]:
        """Return the services that have spans in the retried job's trace."""
        return {span["resource"]["attributes"]["service.name"] for span in self.spans}

    def failures(self) -> list[dict[str, Any]]:
        """Return the exported failure logs of the refused job."""
        records = [
            *self.pipeline.records("scraper-worker"),
            *self.pipeline.records("orchestrator"),
        ]
        return [
            record
            for record in records
            if record["body"] in {"scrape_failed", "job_failed"}
            and record["attributes"]["job_id"] == self.blocked.job_id
        ]


def _exported(pipeline: RunningPipeline, flaky: Submitted) -> bool:
    """Tell whether the last spans are there of every process that exports any."""
    on, spans = set(pipeline.description()["faults"]), pipeline.spans()
    named = [span["name"] for span in spans if span["attributes"].get("job.id") == flaky.job_id]
    attempts = [
        span
        for span in spans
        if span["name"] == "scrape_task"
        and span["attributes"]["job.url"].endswith(f"nonce={flaky.nonce}")
    ]
    return (
        "embed_task" in named
        and (faults.WORKER_EXPORTER_NOT_SET_UP in on or len(attempts) == 2)
        and (faults.SERVICE_SAMPLES_NOTHING in on or "chunk_document" in named)
    )


def _see(pipeline: RunningPipeline) -> Seen:
    flaky, blocked = pipeline.submit("flaky"), pipeline.submit("blocked")
    assert pipeline.ended(flaky.job_id)["status"] == "done"
    refused = pipeline.ended(blocked.job_id)
    assert refused["error"]["code"] == "http_403"
    poll_until(lambda: _exported(pipeline, flaky), "the spans of the retried job")
    poll_until(
        lambda: [
            r
            for r in pipeline.records("orchestrator")
            if r["body"] == "job_failed" and r["attributes"]["job_id"] == blocked.job_id
        ],
        "the exported log of the failed job",
    )
    return Seen(pipeline, flaky, blocked, pipeline.spans(flaky.trace_id), pipeline.spans())


def _context_lost(seen: Seen) -> bool:
    inside = {f"0x{seen.flaky.trace_id}"}
    traces = {span["context"]["trace_id"] for span in seen.tasks()}
    if traces == inside:
        return False
    assert not traces & inside
    producers = [s["name"] for s in seen.spans if s["kind"] == "SpanKind.PRODUCER"]
    assert producers == ["apply_async/scraper.scrape_task"]
    assert all(s["attributes"]["obs_validator.run_id"] == "run" for s in seen.tasks())
    return True


def _exporter_missing(seen: Seen) -> bool:
    if "scraper" in seen.services():
        return False
    # The rest of the trace is whole, and the worker wrote its lines: only nobody exported them.
    assert {"orchestrator", "chunking", "embedding-api"} <= seen.services()
    lines = [x for x in seen.pipeline.lines("scraper-worker") if x["event"] == "scrape_failed"]
    assert seen.blocked.job_id in {line["job_id"] for line in lines}
    assert seen.blocked.job_id not in {
        record["attributes"].get("job_id") for record in seen.pipeline.records("scraper-worker")
    }
    return True


def _attribute_missing(seen: Seen) -> bool:
    missing = {name for s in seen.tasks() for name in _REQUIRED - set(s["attributes"])}
    assert missing <= {"queue.name"}
    return bool(missing)


def _wrong_type(seen: Seen) -> bool:
    stages = {span["attributes"]["job.stage"] for span in seen.tasks()}
    assert stages in ({"scraping"}, {1}, set())
    return stages == {1}


def _label_missing(seen: Seen) -> bool:
    families = text_string_to_metric_families(seen.pipeline.metrics("embedding-worker"))
    labels = [
        sample.labels
        for family in families
        for sample in family.samples
        if sample.name == "embedding_request_duration_seconds_count"
    ]
    assert labels
    return any(found.get("operation") != "write" for found in labels)


def _logs_without_trace(seen: Seen) -> bool:
    without = [
        record
        for record in seen.failures()
        if "trace_id" not in record["attributes"] and int(record["trace_id"], 16) == 0
    ]
    for record in seen.failures():
        attributes = record["attributes"]
        assert (attributes["failed_stage"], attributes["error_code"]) == ("scraping", "http_403")
        assert attributes["obs_validator.run_id"] == "run"
        if record not in without:
            assert attributes["trace_id"] == f"{int(record['trace_id'], 16):032x}"
    assert len(without) in {0, 2}
    return bool(without)


def _wrong_job_id(seen: Seen) -> bool:
    ids = [span["attributes"]["job.id"] for span in seen.tasks()]
    assert ids[:1] in ([seen.flaky.job_id], [])
    return any(found != seen.flaky.job_id for found in ids)


def _sampled_out(seen: Seen) -> bool:
    if "chunking" in seen.services():
        return False
    found = {x.get("trace_id") for x in seen.pipeline.lines("chunking")}
    assert seen.flaky.trace_id in found
    return True


_SIGNS: dict[str, Callable[[Seen], bool]] = {
    faults.CONTEXT_LOST_IN_QUEUE: _context_lost,
    faults.WORKER_EXPORTER_NOT_SET_UP: _exporter_missing,
    faults.ATTRIBUTE_DROPPED: _attribute_missing,
    faults.ATTRIBUTE_WRONG_TYPE: _wrong_type,
    faults.OPERATION_LABEL_MISSING: _label_missing,
    faults.FAILURE_LOGS_WITHOUT_TRACE: _logs_without_trace,
    faults.WRONG_JOB_ID_ON_RETRY: _wrong_job_id,
    faults.SERVICE_SAMPLES_NOTHING: _sampled_out,
}
# Where the worker's spans are not exported, or are elsewhere, others of its signs follow.
_FOLLOWS = {
    faults.CONTEXT_LOST_IN_QUEUE: {
        faults.SERVICE_SAMPLES_NOTHING,
        faults.WORKER_EXPORTER_NOT_SET_UP,
    },
    faults.WORKER_EXPORTER_NOT_SET_UP: {faults.CONTEXT_LOST_IN_QUEUE},
}


def _signs(pipeline: RunningPipeline, *without: str) -> set[str]:
    seen = _see(pipeline)
    return {name for name, sign in _SIGNS.items() if name not in without and sign(seen)}


def test_every_switch_has_its_sign() -> None:
    """No switch is without a test."""
    assert _SIGNS.keys() == faults.FAULTS.keys()


def test_without_switches_nothing_is_broken(whole: RunningPipeline) -> None:
    """The sign of no switch is seen in the whole pipeline."""
    seen = _see(whole)
    assert {name for name, sign in _SIGNS.items() if sign(seen)} == set()
    assert len(seen.tasks()) == 2
    assert len(seen.failures()) == 2


@pytest.mark.parametrize("name", faults.FAULTS)
def test_switch_breaks_what_it_says_and_nothing_else(whole: RunningPipeline, name: str) -> None:
    """With one switch on, its sign is seen, and no other's."""
    broken = whole.command("break", name)
    assert broken.returncode == 0, broken.stderr
    assert whole.description()["faults"] == [name]
    assert _signs(whole, *_FOLLOWS.get(name, ())) == {name}


def test_two_switches_break_two_things(whole: RunningPipeline) -> None:
    """Any two switches can be on at once, and mending one leaves the other."""
    one, other = faults.ATTRIBUTE_DROPPED, faults.SERVICE_SAMPLES_NOTHING
    assert whole.command("break", one, other).returncode == 0
    assert _signs(whole) == {one, other}
    assert whole.command("mend", one).returncode == 0
    assert _signs(whole) == {other}
    assert whole.command("mend").returncode == 0
    assert _signs(whole) == set()
