"""Embedding in a whole pipeline whose inference server stays out of order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.testing import RunningPipeline, poll_until
from tests.pipeline import local

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.req("P-08")]


@pytest.fixture
def own(tmp_path: Path) -> Iterator[RunningPipeline]:
    """Return a pipeline of this test's: its circuit breakers would be in others' way."""
    found = RunningPipeline(tmp_path / "state")
    try:
        found.wait_until_up()
        yield found
    finally:
        found.stop()


def test_a_job_fails_when_inference_stays_out_of_order(own: RunningPipeline) -> None:
    """Five attempts more, then `inference_unavailable`; a page that is cached is served on."""
    known = own.submit("article")
    assert own.ended(known.job_id)["status"] == "done"
    local.behave(own.url("inference"), "http_500")
    job = own.ended(own.submit("article").job_id, seconds=30)
    assert (job["status"], job["failed_stage"]) == ("failed", "embedding")
    assert job["error"]["code"] == "inference_unavailable"
    lines = [line["event"] for line in own.lines("embedding-worker")]
    assert lines.count("embed_retried") == 5
    assert lines.count("circuit_breaker_state_change") == 1
    page = own.metrics("embedding-worker")
    assert 'circuit_breaker_state{breaker="inference"} 2.0' in page
    body = {"query": "a river", "corpus_name": f"corpus-{known.nonce}"}
    url, key = f"{own.url('search')}/search", own.key("user")
    assert own.client.post(url, json=body, headers=key).status_code == 503
    local.behave(own.url("inference"), "ok")

    def found() -> bool:
        answer = own.client.post(url, json=body, headers=key)
        return answer.status_code == 200 and bool(answer.json()["results"])

    # embedding-api has seen one failure, and is well at once.
    assert poll_until(found, "a search that is answered", 5)
