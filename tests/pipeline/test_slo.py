"""Synthetic jobs beside production: what they count under, and what they never move."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipeline.host import layout
from pipeline.testing import poll_until

if TYPE_CHECKING:
    from pipeline.testing import RunningPipeline, Submitted

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.req("V-11")]

Key = tuple[str, str, frozenset[tuple[str, str]]]
"""A process, the name of a sample, its labels."""

JOBS = 100
NO_COUNTS = {"python_info", "circuit_breaker_state", "queue_depth", "dlq_depth"}
"""What runs and in which state, whoever it is for."""
ONCE_A_JOB = {
    ("orchestrator", "jobs_total", "submitted"),
    ("orchestrator", "jobs_total", "done"),
    ("orchestrator", "job_duration_seconds_count", "done"),
    ("scraper-worker", "scrape_response_size_bytes_count", ""),
    ("scraper-worker", "scrape_duration_seconds_count", ""),
    ("chunking", "chunk_duration_seconds_count", ""),
    ("chunking", "chunks_per_document_count", ""),
    ("embedding-worker", "embed_batch_size_count", ""),
    ("embedding-worker", "embedding_request_duration_seconds_count", ""),
    ("embedding-api", "embedding_request_duration_seconds_count", ""),
    ("search", "search_duration_seconds_count", ""),
}
"""Samples that grow by one with each job of the article and its search; by their status, if any."""


def samples(pipeline: RunningPipeline) -> dict[Key, float]:
    """Return every sample of every page."""
    return {
        (process, sample.name, frozenset(sample.labels.items())): sample.value
        for process in (*layout.SERVICES, *layout.WORKERS)
        for family in text_string_to_metric_families(pipeline.metrics(process))
        for sample in family.samples
    }


def whose(found: Mapping[Key, float], *, synthetic: bool) -> dict[Key, float]:
    """Return the samples that are marked as synthetic, or all that are not, labelled or not."""
    mark = ("traffic", "synthetic")
    return {key: value for key, value in found.items() if (mark in key[2]) is synthetic}


def search(pipeline: RunningPipeline, corpus: str, whose_key: str, baggage: str) -> None:
    """Search a corpus."""
    pipeline.client.post(
        f"{pipeline.url('search')}/search",
        json={"query": "words", "corpus_name": corpus},
        headers={**pipeline.key(whose_key), "baggage": baggage},
    ).raise_for_status()


def settled(pipeline: RunningPipeline) -> dict[Key, float]:
    """Return the samples once nothing of earlier jobs moves any more."""
    pipeline.ended(pipeline.submit("article", run_id="last").job_id)
    return samples(pipeline)


def submit_many(pipeline: RunningPipeline, run_id: str) -> list[Submitted]:
    """Send the jobs, a few at a time, and wait for each one's end."""
    jobs = [pipeline.submit("article", run_id=run_id) for _ in range(JOBS)]
    for job in jobs:
        assert pipeline.ended(job.job_id, seconds=120)["status"] == "done"
    return jobs


def test_a_hundred_synthetic_jobs_move_no_series_of_users(running: RunningPipeline) -> None:
    """Submitted, searched, cleaned up and swept: what is not synthetic has not moved at all."""
    user = running.submit("article", run_id=None, whose="user")
    assert running.ended(user.job_id, "user")["status"] == "done"
    search(running, f"corpus-{user.nonce}", "user", "")
    run_id = f"slo-{secrets.token_hex(4)}"
    before = settled(running)
    jobs = submit_many(running, run_id)
    for job in jobs:
        baggage = f"traffic=synthetic,obs_validator.run_id={run_id}"
        search(running, f"corpus-{job.nonce}", "validator", baggage)
    orchestrator, key = running.url("orchestrator"), running.key("validator")
    lease = {"holder": "slo", "ttl_seconds": 10}
    assert running.client.put(f"{orchestrator}/lease", json=lease, headers=key).is_success
    assert running.client.delete(f"{orchestrator}/lease?holder=slo", headers=key).is_success
    cleaned = running.client.delete(f"{orchestrator}/synthetic/{run_id}", headers=key).json()
    assert cleaned["removed"]["jobs"] == JOBS
    assert running.client.delete(f"{orchestrator}/synthetic", headers=key).is_success
    after = poll_until(lambda: _all_counted(running, before), "all counted", 10)
    assert whose(after, synthetic=False) == whose(before, synthetic=False)
    assert whose(before, synthetic=False)
    assert _grown(before, after) == dict.fromkeys(ONCE_A_JOB, JOBS)


def _all_counted(pipeline: RunningPipeline, before: Mapping[Key, float]) -> dict[Key, float] | None:
    """Return the samples once the last job's end is counted: a job is done before it is counted."""
    now = samples(pipeline)
    grown = _grown(before, now)
    return now if grown["orchestrator", "jobs_total", "done"] >= JOBS else None


def _grown(
    before: Mapping[Key, float], after: Mapping[Key, float]
) -> dict[tuple[str, str, str], float]:
    """Return by how much the samples of `ONCE_A_JOB` have grown under the synthetic label."""
    found = dict.fromkeys(ONCE_A_JOB, 0.0)
    for key, value in whose(after, synthetic=True).items():
        process, name, labels = key
        one = (process, name, dict(labels).get("status", ""))
        if one in found:
            found[one] += value - before.get(key, 0.0)
    return found


def test_every_series_says_whose_traffic_it_counts(running: RunningPipeline) -> None:
    """No count of any page is without the label: SLO rules can tell."""
    found = settled(running)
    assert found
    unmarked = {
        (process, name)
        for process, name, labels in found
        if "traffic" not in dict(labels) and name not in NO_COUNTS
    }
    assert unmarked == set()
