"""The report for programs: everything that was judged, without the raw evidence.

`validator/report/schema.py` says what it looks like; a test holds the two together.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from validator.model import Evidence, Job, Run, SourceReport, Verdict
from validator.report.summary import MEANING, counts, exit_code, outcome

FORMAT: Final = 1
"""The version of the report's form. It grows when a reader of the old one would be misled."""


def render(runs: Sequence[Run]) -> str:
    """Return the report as JSON with sorted keys, so that reports can be compared line by line."""
    return json.dumps(document(runs), indent=2, sort_keys=True, allow_nan=False) + "\n"


def document(runs: Sequence[Run]) -> dict[str, Any]:
    """Return the report as what JSON is made of."""
    code = exit_code(runs)
    report = {
        "format": FORMAT,
        "runs": [_run(run) for run in runs],
        "summary": {
            "counts": {status.value: number for status, number in counts(runs).items()},
            "exit_code": code,
            "meaning": MEANING[code],
        },
    }
    finite: dict[str, Any] = _finite(report)
    return finite


def _run(run: Run) -> dict[str, Any]:
    """Return one run."""
    return {
        "id": run.id,
        "suite": run.suite,
        "target": run.target,
        "ring": run.ring,
        "version": run.version,
        "started": run.started,
        "finished": run.finished,
        "interrupted": run.interrupted,
        "outcome": outcome(run).value,
        "second_look": None if run.second_look is None else asdict(run.second_look),
        "findings": list(run.findings),
        "job": _job(run.evidence.job),
        "evidence": _gathered(run.evidence),
        "verdicts": [_verdict(verdict) for verdict in run.verdicts],
    }


def _job(job: Job) -> dict[str, Any]:
    """Return what the job was; its fields are evidence and stay away."""
    return {
        "id": job.id,
        "run_id": job.run_id,
        "state": job.state.value,
        "status": job.status,
        "detail": job.detail,
        "existing": job.existing,
        "submitted": job.submitted,
        "ended": job.ended,
        "traces": [asdict(trace) for trace in job.traces],
    }


def _gathered(evidence: Evidence) -> dict[str, Any]:
    """Return how much evidence there was, how complete, and from whom."""
    return {
        "spans": len(evidence.spans),
        "logs": len(evidence.logs),
        "samples": len(evidence.samples),
        "alerts": len(evidence.alerts),
        "judged": evidence.now,
        "coverage": {
            signal.value: asdict(coverage) for signal, coverage in evidence.coverage.items()
        },
        "sources": [_source(source) for source in evidence.sources],
    }


def _source(source: SourceReport) -> dict[str, Any]:
    """Return what one source did."""
    return asdict(source)


def _verdict(verdict: Verdict) -> dict[str, Any]:
    """Return every field of a verdict, and the key that says which it is across runs."""
    return {**asdict(verdict), "key": verdict.key}


def _finite(value: Any) -> Any:
    """Replace what JSON does not know: tuples, enums, and floats that are no number (as null)."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
