"""A collector in a process of its own: `check` joins it, and judges jobs that are there already."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator

import pytest

from pipeline.testing import poll_until
from tests.e2e.command import Checked, Running, Stage
from validator.model import LogLine, Span, Status

pytestmark = pytest.mark.process
KNOWN_AFTER = 11.0
"""Seconds after its start from which the collector knows all of a job that it did not see begin:
it gives exporters 10 s to send what they had (docs/collector.md)."""


@pytest.fixture(scope="module")
def collector(one_stage: Stage, good: Checked) -> Iterator[Running]:
    """Have a collector where the pipeline sends to."""
    del good  # it listens on that port while it runs
    port = str(one_stage.port)
    args = ("collector", "--http-port", port, "--grpc-port", "-1")
    with one_stage.running("collector", *args) as found:
        found.wait_for("OTLP/HTTP and read API")
        found.since = time.monotonic()  # it may have taken its time to get there
        yield found


def test_a_collector_of_its_own_gives_the_same_verdicts(
    stage: Stage, good: Checked, collector: Running
) -> None:
    """`check` joins a collector that runs already, and it lives on."""
    joined = stage.check("-c", "remote.yaml", code=0)
    assert joined.verdicts() == good.verdicts()
    assert collector.process.poll() is None


@pytest.mark.req("X-10")
def test_a_job_that_is_there_already_is_judged_and_left_alone(
    stage: Stage, good: Checked, collector: Running
) -> None:
    """By its id or its trace's: judged, kept in the pipeline, stored only as far as allowed."""
    assert good.said.code == 0  # so that there are synthetic samples, of other jobs
    poll_until(lambda: time.monotonic() > collector.since + KNOWN_AFTER, "a known past", 30)
    job_id, nonce = _of_a_user(stage)
    by_id = stage.check("pipeline", "-c", "remote.yaml", "--job-id", job_id, code=3)
    (trace_id,) = (ref.trace_id for ref in by_id.runs[0].evidence.job.traces)
    trace = stage.check("pipeline", "-c", "remote.yaml", "--trace-id", trace_id, code=3)
    assert stage.pipeline.job(job_id, whose="user")["status"] == "done"
    for done in (trace, by_id):
        (run,) = done.runs
        verdicts = {one.name: one for one in run.verdicts}
        assert verdicts["connected_trace"].status is Status.PASS
        assert verdicts["metric_labels"].status is Status.INCONCLUSIVE
        assert run.evidence.job.existing
        _only_allowed(done, nonce)
    assert trace.runs[0].evidence.job.traces[0].via == "given"
    verdicts = {one.name: one for one in by_id.runs[0].verdicts}
    assert verdicts["span_attributes"].status is Status.PASS
    assert verdicts["job_outcome"].status is Status.INCONCLUSIVE  # a user's, and we are another
    assert "404 Not Found" in by_id.said.out
    assert by_id.runs[0].evidence.job.detail == ""  # the target's own words are not stored


def _of_a_user(stage: Stage) -> tuple[str, str]:
    """Have a user's job done, in a trace of its own; return its id, and a word of its address."""
    pipeline, nonce = stage.pipeline, secrets.token_hex(8)
    url = f"{pipeline.description()['urls']['article']}?nonce={nonce}"
    answer = pipeline.client.post(
        f"{pipeline.url('orchestrator')}/jobs",
        json={"url": url, "corpus_name": f"corpus-{nonce}"},
        headers=pipeline.key("user"),
    )
    job_id = str(answer.json()["job_id"])
    assert pipeline.ended(job_id, whose="user")["status"] == "done"
    return job_id, nonce


def _only_allowed(done: Checked, secret: str) -> None:
    """Hold that nothing of a real job was stored but ids and names."""
    (run,) = done.runs
    assert run.evidence.spans
    allowed = {"job.id", "job_id", "messaging.message.id", "task.id"}
    stored_items: list[Span | LogLine] = [*run.evidence.spans, *run.evidence.logs]
    for one in stored_items:
        assert set(one.attributes) <= allowed
        assert all(key.startswith(("service.", "telemetry.sdk.")) for key in one.resource)
    assert not any(line.body for line in run.evidence.logs)
    stored = "".join(path.read_text() for path in done.evidence.glob("*.json"))
    assert secret not in stored
