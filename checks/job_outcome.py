"""How the job itself ended, in the words of the target."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from checks._near import nearest
from checks._params import Params
from checks._queries import traceql
from checks._values import Duration, Value, same, shown, type_of
from checks._verdict import Examined, decide
from validator.model import Evidence, Finding, Job, JobState, Signal, Verdict

KIND = "job_outcome"

_NO_END = {
    JobState.REFUSED: ("refused", "the target refused the job"),
    JobState.TIMED_OUT: ("timed_out", "the job did not end in time"),
}
_LIKELY = {
    JobState.REFUSED: "the target is down or overloaded, or the job or its credentials are wrong",
    JobState.TIMED_OUT: "a worker is dead or stuck, a queue is full, or the deadline is too short",
}

_REFUSALS = {
    range(200, 300): "the target took the job, but `job_id` does not say where its id is",
    range(401, 402): "the credentials are missing or wrong: look at `headers`",
    range(403, 404): "the credentials do not allow it: look at `headers`",
    range(404, 406): "the URL or the `method` is wrong",
    range(400, 500): "the target does not take this body: look at `body`",
    range(500, 600): "the target is down or overloaded, or cannot cope with this job",
}
"""What an HTTP status says of a refusal; the first that fits."""

_WORDS = {
    JobState.NOT_SUBMITTED: "was not submitted",
    JobState.REFUSED: "was refused",
    JobState.RUNNING: "is still running",
    JobState.PASSED: "passed",
    JobState.FAILED: "failed",
    JobState.TIMED_OUT: "did not end in time",
    JobState.UNKNOWN: "is there, but how it ended is not known",
}
_NOT_ANSWERED = (
    "the target does not answer it for this job, or is not asked for it (`fields` of the target "
    "in the configuration)"
)


class JobOutcomeParams(Params):
    """How the job has to end."""

    state: Literal["passed", "failed"] = Field("passed", description="how the job has to end")
    status: str | None = Field(
        None, min_length=1, description="the target's own word for the job's last state"
    )
    fields: Mapping[str, Value] = Field(
        {}, description="what the target has to answer beside it, by the names of the target"
    )
    within: Duration | None = Field(
        None, description="how long the job may take, from its submission to its end"
    )


def evaluate(params: JobOutcomeParams, evidence: Evidence) -> Verdict:
    """Judge how the job ended."""
    job = evidence.job
    findings: list[Finding] = []
    doubts: list[Finding] = []
    if job.state in _NO_END:
        findings = [_no_end(params, evidence)]
    elif job.state is JobState.NOT_SUBMITTED:
        doubts = [_not_submitted(params, evidence)]
    elif job.state is JobState.UNKNOWN:
        doubts = [_unknown(params, evidence)]
    elif job.state is not JobState.RUNNING and job.ended is not None:
        findings = _ended(params, evidence, job.ended)
        doubts = _no_times(params, evidence)
    took = _took(job)
    return decide(
        evidence,
        Examined(
            kind=KIND,
            signals=(Signal.JOB,),
            count=1,
            summary=f"{_state(job)}{f' after {took:.1f} s' if took is not None else ''}",
            findings=tuple(findings),
            doubts=tuple(doubts),
        ),
    )


def _took(job: Job) -> float | None:
    if job.submitted is None or job.ended is None:
        return None
    return job.ended - job.submitted


def _state(job: Job) -> str:
    word = f" (`{job.status}`)" if job.status else ""
    return f"the job {_WORDS[job.state]}{word}"


def _said(job: Job) -> tuple[str, ...]:
    said = sorted((key, value) for key, value in job.fields.items() if "." not in key)
    fields = [f"`{key}` = {shown(value)}" for key, value in said]
    return tuple(filter(None, (_state(job), job.detail, *fields)))


def _no_end(params: JobOutcomeParams, evidence: Evidence) -> Finding:
    job = evidence.job
    code, summary = _NO_END[job.state]
    return Finding(
        code=code,
        summary=f"{summary}: {job.detail}" if job.detail else summary,
        expected=f"the job {params.state}",
        seen=_said(job),
        likely=_likely(job),
        query=traceql(evidence) if job.id else "",
        final=True,
        missing=("job",),
    )


def _likely(job: Job) -> str:
    """Say why the job did not end, by what the target answered."""
    answered = re.search(r"\b([1-5]\d\d)\b", job.detail)
    status = int(answered[1]) if answered else 0
    if job.state is JobState.TIMED_OUT and (status >= 400 or "known words" in job.detail):
        return "the job may be well: `follow` asks for it wrongly (its URL, `status`, or the words)"
    if job.state is JobState.REFUSED:
        for statuses, likely in _REFUSALS.items():
            if status in statuses:
                return likely
    return _LIKELY[job.state]


def _not_submitted(params: JobOutcomeParams, evidence: Evidence) -> Finding:
    """Say that nothing was asked of the target: that is no fault of its."""
    job = evidence.job
    summary = "the job was not submitted"
    return Finding(
        code="not_submitted",
        summary=f"{summary}: {job.detail}" if job.detail else summary,
        expected=f"the job {params.state}",
        seen=_said(job),
        likely="another validator is at work, or the run was ended before the job was sent",
        query="",
        missing=("job",),
    )


def _unknown(params: JobOutcomeParams, evidence: Evidence) -> Finding:
    return Finding(
        code="job_unknown",
        summary="how the job ended is not known",
        expected=f"the job {params.state}",
        seen=_said(evidence.job),
        likely="only its trace id is known, or the target cannot be asked; give `--job-id` and a "
        "target that says how to follow a job",
        query=traceql(evidence),
    )


def _ended(params: JobOutcomeParams, evidence: Evidence, ended: float) -> list[Finding]:
    job = evidence.job
    found = []
    if job.state.value != params.state:
        found.append(_wrong(evidence, "wrong_state", _state(job), f"the job {params.state}"))
    if params.status is not None and job.status != params.status:
        seen = f"the job ended as `{job.status}`"
        found.append(_wrong(evidence, "wrong_status", seen, f"the status `{params.status}`"))
    found += [
        finding
        for key, wanted in params.fields.items()
        if (finding := _field(evidence, key, wanted)) is not None
    ]
    if params.within is not None and job.submitted is not None:
        took = ended - job.submitted
        if took > params.within:
            said = f"the job took {took:.1f} s"
            found.append(_wrong(evidence, "too_slow", said, f"at most {params.within:g} s"))
    return found


def _wrong(evidence: Evidence, code: str, summary: str, expected: str, likely: str = "") -> Finding:
    job = evidence.job
    return Finding(
        code=code,
        summary=f"{summary}: {job.detail}" if job.detail and code == "wrong_state" else summary,
        expected=expected,
        seen=_said(job),
        likely=likely or "see the job's trace and logs",
        query=traceql(evidence),
        final=True,
    )


def _field(evidence: Evidence, key: str, wanted: Value) -> Finding | None:
    fields = evidence.job.fields
    expected = f"`{key}` = {shown(wanted)} ({type_of(wanted)})"
    if key not in fields:
        near = nearest(key, fields)
        summary = f"the target's answer has no `{key}`" + (f"; has `{near}`" if near else "")
        likely = f"was `{key}` renamed to `{near}`?" if near else _NOT_ANSWERED
        return _wrong(evidence, "field_missing", summary, expected, likely)
    if not same(fields[key], wanted):
        value = fields[key]
        summary = f"`{key}` is {shown(value)} ({type_of(value)})"
        return _wrong(evidence, "field_value", summary, expected)
    return None


def _no_times(params: JobOutcomeParams, evidence: Evidence) -> list[Finding]:
    if params.within is None or evidence.job.submitted is not None:
        return []
    return [
        Finding(
            code="no_times",
            summary="when the job was submitted is not known",
            expected=f"at most {params.within:g} s from its submission to its end",
            seen=_said(evidence.job),
            likely="the job was not submitted by this run; leave out `within` for such jobs",
            query=traceql(evidence),
        )
    ]
