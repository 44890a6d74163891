"""The functions that tests call: what they return, what they wait for, what they say."""

from __future__ import annotations

import re

import pytest

from tests.pytest_plugin.target import Bench

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.req("X-09")]

THREE = """\
from validator.pytest_plugin import *

def test_trace():
    job_id = submit_job(url="https://example.com")
    wait_for_completion(job_id)
    trace = get_trace_from_tempo(job_id=job_id)
    service_names = {span["service.name"] for span in trace.spans}
    assert "api" in service_names
    assert "worker" in service_names
    trace_ids = {span["trace_id"] for span in trace.spans}
    assert len(trace_ids) == 1

def test_attributes():
    required = {"job.id", "job.url", "job.stage"}
    span = get_span_from_tempo(service="worker", operation="scrape_task")
    for attr in sorted(required):
        assert attr in span.attributes, f"Missing required attribute: {attr}"

def test_label():
    metrics = scrape_metrics(service="worker")
    write_samples = [m for m in metrics if m.labels.get("operation") == "write"]
    assert len(write_samples) > 0, "No write samples found"
"""


def test_all_is_well_and_cleaned_up(users: Bench) -> None:
    """Three tests pass, each job is cleaned up by the id of its run, its values were sent."""
    said = users.run(THREE)
    said.outcomes(passed=3)
    assert users.target.cleaned == users.target.runs
    assert set(users.target.sent_urls) == {"https://example.com"}


@pytest.mark.parametrize("which", ["test_attributes", "test_label"])
def test_a_test_by_itself_gets_a_job_of_its_own(users: Bench, which: str) -> None:
    """What a job is by default stands in the ini file; without that it is said."""
    said = users.run(THREE, "-k", which)
    said.outcomes(failed=1)
    assert "the job needs url: give it to submit_job, or set obs_validator_job" in said.out
    users.ini = "obs_validator_job = url=https://example.com/alone\n"
    users.run(THREE, "-k", which).outcomes(passed=1)
    assert users.target.sent_urls == ["https://example.com/alone"]


BREAKS = {
    "attribute": (["test_attributes"], ["`job.stage` is not on span `scrape_task` of worker",
                                        "nearest: `job.stages`", "seen: job.id, job.stages"]),
    "second": (["test_attributes"], ["`job.stage` is on 1 of 2 spans `scrape_task` of worker"]),
    "context": (["test_trace"], ["FAIL connected_trace   lost between api and worker"]),
    "worker": (["test_trace", "test_attributes"], ["FAIL connected_trace   no span of worker",
                                                   "NotSeen: no span `scrape_task` of worker",
                                                   "no span of worker at all; spans of api"]),
    "spans": (["test_trace", "test_attributes"], ["NotSeen: no trace of this job",
                                                  "OTEL_EXPORTER_OTLP_ENDPOINT"]),
    "label": (["test_label"], ["No write samples found",
                               "of this job: 127.0.0.1"]),
}  # fmt: skip


@pytest.mark.parametrize("broken", BREAKS)
def test_a_break_fails_its_test_and_is_explained(users: Bench, broken: str) -> None:
    """Exactly the tests fail that should; what was seen instead is beside it."""
    users.target.counts['operation="write",traffic="synthetic"'] = 3  # of the time before
    users.target.broken = {broken}
    said = users.run(THREE)
    tests, texts = BREAKS[broken]
    assert sorted(re.findall(r"^FAILED test_it.py::(\w+)", said.out, re.MULTILINE)) == sorted(tests)
    for text in texts:
        assert text in said.out, said.out
    assert said.code == 1
    assert users.target.cleaned == users.target.runs


@pytest.mark.req("V-13")
def test_what_cannot_be_asked_is_no_pass_and_says_inconclusive(users: Bench) -> None:
    """A page that cannot be read: failed in words, as pytest has no third outcome."""
    users.target.broken = {"page"}
    said = users.run(THREE, "-k", "test_trace or test_label")
    said.outcomes(passed=1, failed=1)
    assert "Inconclusive: inconclusive: pages: server error" in said.out
    assert "make the source reachable" in said.out


@pytest.mark.req("V-13")
def test_a_span_that_nobody_waited_long_enough_for_is_waited_for(users: Bench) -> None:
    """What was complete for one question is not taken for complete by another."""
    said = users.run(
        """
        from validator.pytest_plugin import *

        def test_first():
            wait_for_completion(submit_job(url="u"))
            get_trace_from_tempo()

        def test_second():
            get_span_from_tempo("worker", "scrape_tusk")
        """
    )
    said.outcomes(passed=1, failed=1)
    assert "nearest name: `scrape_task`" in said.out
    assert "was `scrape_tusk` renamed to `scrape_task`?" in said.out
    assert len(users.target.runs) == 2


def test_how_a_job_ends_is_asked(users: Bench) -> None:
    """A failed job fails the test unless that is wanted; one that hangs, and one refused, do."""
    text = """
        import pytest
        from validator.pytest_plugin import *

        def test_passed():
            wait_for_completion(submit_job(url="u"))

        def test_failed():
            job = wait_for_completion(submit_job(url="u"), state="failed")
            assert job.status == "failed"

        def test_any():
            wait_for_completion(submit_job(url="u"), state="any", timeout=0.5)
        """
    users.target.broken = {"fails"}
    said = users.run(text)
    said.outcomes(passed=2, failed=1)
    assert 'is failed (failed): the target says "failed", not passed' in said.out
    users.target.broken = {"held"}
    said = users.run(text, "-k", "any")
    said.outcomes(failed=1)
    assert "not ended 0.5 s after its submission; last seen as `running`" in said.out
    users.target.broken = {"refuses"}
    said = users.run(text, "-k", "any")
    said.outcomes(failed=1)
    assert "the target `small` refused the job" in said.out
    assert users.target.cleaned[: len(users.target.runs)] == users.target.runs


def test_a_job_that_ended_while_nobody_asked_has_not_timed_out(users: Bench) -> None:
    """Its test did something else until its deadline had passed; one that still runs has."""
    test = """
        import threading
        from validator.pytest_plugin import *

        def test_late():
            job_id = submit_job(url="u")
            threading.Event().wait(0.7)
            assert wait_for_completion(job_id, timeout=0.5).status == "done"
            assert get_trace_from_tempo(job_id=job_id).services == {"api", "worker"}
        """
    users.run(test).outcomes(passed=1)
    users.target.broken = {"held"}
    said = users.run(test)
    said.outcomes(failed=1)
    assert "not ended 0.5 s after its submission" in said.out


def test_two_jobs_at_once_are_told_apart_or_not_judged(users: Bench) -> None:
    """Their traces are; what each did to metrics cannot be."""
    said = users.run(
        """
        import pytest
        from concurrent.futures import ThreadPoolExecutor
        from validator.pytest_plugin import *

        def test_both():
            with ThreadPoolExecutor(2) as pool:
                first, second = pool.map(lambda n: submit_job(url=f"u{n}"), range(2))
                wait_for_completion(first), wait_for_completion(second)
                traces = list(pool.map(lambda id: get_trace_from_tempo(job_id=id), [first, second]))
            assert not traces[0].trace_ids & traces[1].trace_ids
            assert all(span["job.id"] in (first, second) for one in traces for span in one.spans)
            assert {span["job.id"] for span in traces[0].spans} == {first}
            for job_id in (first, second):
                with pytest.raises(Inconclusive, match="inconclusive: what job"):
                    scrape_metrics("worker", job_id=job_id)

        def test_one_after_the_other():
            for number in range(2):
                job_id = submit_job(url="u")
                (sample,) = scrape_metrics("worker", job_id=job_id)
                assert (sample.increase, sample.name) == (1, "requests_seconds_count")
        """
    )
    said.outcomes(passed=2)


def test_a_job_that_was_not_sent_by_us_is_looked_at_and_left_alone(users: Bench) -> None:
    """By its trace's id: a collector that has just begun does not know all that it left."""
    said = users.run(
        f"""
        import json, time, urllib.request
        import pytest
        from validator.pytest_plugin import *

        TRACE = "0af7651916cd43dd8448eb211c80319c"

        def test_own_client(obs_validator):
            data = json.dumps({{"url": "u", "run": "own"}}).encode()
            parent = f"00-{{TRACE}}-b7ad6b7169203331-01"
            url = "{users.target.url}/jobs"
            request = urllib.request.Request(url, data, {{"traceparent": parent}})
            with urllib.request.urlopen(request) as answer:
                assert json.load(answer)["id"]
            with pytest.raises(Inconclusive, match="listens only since"):
                get_trace_from_tempo(TRACE)
            with pytest.raises(Inconclusive, match="nothing was read before it"):
                scrape_metrics("worker", trace_id=TRACE)
        """
    )
    said.outcomes(passed=1)
    assert users.target.cleaned == []


def test_what_would_be_ignored_is_refused(users: Bench) -> None:
    """Values that no request uses, metrics that were not read before, tests outside of tests."""
    said = users.run(
        """
        import pytest
        from validator.errors import ConfigError
        from validator.pytest_plugin import *

        try:
            submit_job(url="u")
        except ConfigError as error:
            OUTSIDE = str(error)

        def test_values():
            with pytest.raises(ConfigError, match="nothing would become of page.*use url"):
                submit_job(url="u", page="x")
            with pytest.raises(ConfigError, match="`other` is read before jobs"):
                scrape_metrics("worker", metric="other")
            assert "inside a test or a fixture only" in OUTSIDE

        def test_attribute_by_its_key():
            submit_job(url="u")
            span = get_span_from_tempo("worker", "scrape_*")
            with pytest.raises(KeyError, match="nearest: `job.stage`"):
                span["job.stag"]
            assert span.attributes.get("nothing") is None
            assert span["job.stage"] == span.attributes["job.stage"] == "scraping"
            assert "job.stage" in span and "other" not in span
        """
    )
    said.outcomes(passed=2)
    assert len(users.target.runs) == 1
