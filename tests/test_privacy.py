"""What of a real job is stored: names and ids, and what is allowed by name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.traces import JOB, evidence, job, line, span
from validator.evidence_io import run_to_json
from validator.model import Finding, Run, Signal, SpanEvent, Status, Verdict
from validator.privacy import filtered

SECRET = "jane@example.com"


def run() -> Run:
    """Return a run of a real job whose telemetry holds something private everywhere."""
    private = {"user.email": SECRET, "http.route": "/jobs"}
    one = span("api", "POST /jobs", job=JOB, task="t-1", attributes=private)
    one = replace(
        one,
        status_message=SECRET,
        events=(SpanEvent("exception", 1, {"exception.message": SECRET}),),
        links=(replace(span("x", "x", links=[("1" * 32, "y")]).links[0], attributes=private),),
        resource={"service.name": "api", "host.name": SECRET},
    )
    said = replace(line("api", SECRET, **{"job.id": JOB, "user.email": SECRET}), resource=private)
    of = job(existing=True, fields={"email": SECRET, "job.id": JOB})
    return Run("r", "s", "t", 1, "1", 0.0, 1.0, (), (), evidence([one], logs=[said], of=of), False)  # noqa: FBT003


@pytest.mark.req("X-10")
def test_nothing_private_is_stored() -> None:
    """Not in attributes, resources, events, links, messages, bodies or what the target said."""
    assert SECRET.encode() in run_to_json(run())
    assert SECRET.encode() not in run_to_json(filtered(run(), ()))


def test_verdicts_of_a_real_job_are_stored_without_words() -> None:
    """Findings quote values and log lines: of them only the codes are stored."""
    finding = Finding("wrong", f"has `{SECRET}`", "x", (SECRET,), SECRET, SECRET)
    told = Verdict("c", "c", Status.FAIL, "wrong", SECRET, (finding,), (SECRET,), 1,
                   (Signal.TRACES,), "", "an incident")  # fmt: skip
    kept = filtered(replace(run(), verdicts=(told,)), ())
    assert SECRET.encode() not in run_to_json(kept)
    assert (kept.verdicts[0].status, kept.verdicts[0].findings[0].code) == (Status.FAIL, "wrong")


def test_what_judging_needs_stays() -> None:
    """The job's id, the task's, the service: the trace can still be judged."""
    (one,) = filtered(run(), ()).evidence.spans
    assert dict(one.attributes) == {"job.id": JOB, "messaging.message.id": "t-1"}
    assert dict(one.resource) == {"service.name": "api"}
    assert one.links[0].trace_id == "1" * 32
    (said,) = filtered(run(), ()).evidence.logs
    assert dict(said.attributes) == {"job.id": JOB}


@pytest.mark.parametrize("allowed", ["http.route", "http.*", "HTTP.ROUTE"])
def test_what_is_allowed_is_kept_by_name_or_pattern(allowed: str) -> None:
    """Patterns are those of a shell, and case counts."""
    (one,) = filtered(run(), (allowed,)).evidence.spans
    assert ("http.route" in one.attributes) is (allowed != "HTTP.ROUTE")
    assert "user.email" not in one.attributes


def test_what_is_allowed_is_allowed_in_the_backends_spelling() -> None:
    """Loki has `job.id` as `job_id`: it stays, what is not allowed goes, in either spelling."""
    one = run()
    (said,) = one.evidence.logs
    spelled = {"job_id": JOB, "user_email": SECRET, "http_route": "/jobs"}
    said = replace(said, attributes=spelled, resource={}, flattened=tuple(spelled))
    one = replace(one, evidence=replace(one.evidence, logs=(said,)))
    (kept,) = filtered(one, ["http.*"]).evidence.logs
    assert dict(kept.attributes) == {"job_id": JOB, "http_route": "/jobs"}
    assert kept.flattened == ("job_id", "http_route")
