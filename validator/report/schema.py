"""The published JSON Schema of the JSON report."""

from __future__ import annotations

from typing import Any, Final

from validator.model import CoverageState, JobState, Signal, Status
from validator.report.json_report import FORMAT

_Schema = dict[str, Any]

_TEXT: Final[_Schema] = {"type": "string"}
_TEXTS: Final[_Schema] = {"type": "array", "items": _TEXT}
_FLAG: Final[_Schema] = {"type": "boolean"}
_COUNT: Final[_Schema] = {"type": "integer", "minimum": 0}
_TIME: Final[_Schema] = {"type": ["number", "null"], "description": "Unix time in seconds"}
_SECONDS: Final[_Schema] = {"type": ["number", "null"], "description": "seconds"}
_SIGNAL: Final[_Schema] = {"enum": [signal.value for signal in Signal]}
_STATUS: Final[_Schema] = {"enum": [status.value for status in Status]}


def report_schema() -> _Schema:
    """Return the schema (draft 2020-12) that every JSON report fits."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Report of obs-validator",
        **_object(
            format={"const": FORMAT, "description": "version of this form"},
            runs={"type": "array", "items": {"$ref": "#/$defs/run"}},
            summary=_object(
                counts=_object(**{status.value: _COUNT for status in Status}),
                exit_code={"enum": [0, 1, 2, 3]},
                meaning=_TEXT,
            ),
        ),
        "$defs": {
            "run": _run(),
            "job": _job(),
            "evidence": _evidence(),
            "source": _source(),
            "verdict": _verdict(),
            "finding": _finding(),
        },
    }


def _object(**properties: _Schema) -> _Schema:
    """Return the schema of an object that has exactly these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": sorted(properties),
        "additionalProperties": False,
    }


def _many(name: str) -> _Schema:
    """Return the schema of an array of a definition."""
    return {"type": "array", "items": {"$ref": f"#/$defs/{name}"}}


def _run() -> _Schema:
    return _object(
        id=_TEXT,
        suite=_TEXT,
        target=_TEXT,
        ring={"type": "integer"},
        version={"type": "string", "description": "of the obs-validator that ran it"},
        started=_TIME,
        finished=_TIME,
        interrupted=_FLAG,
        outcome={"enum": [Status.PASS, Status.FAIL, Status.INCONCLUSIVE]},
        findings={**_TEXTS, "description": "remarks that decide nothing"},
        second_look={
            "anyOf": [{"type": "null"}, _second_look()],
            "description": "what looking at the run once more came to, if anybody did",
        },
        job={"$ref": "#/$defs/job"},
        evidence={"$ref": "#/$defs/evidence"},
        verdicts=_many("verdict"),
    )


def _second_look() -> _Schema:
    status = {"enum": [status.value for status in Status]}
    revision = _object(name=_TEXT, was=status, was_code=_TEXT, now=status, now_code=_TEXT)
    return _object(
        at=_TIME, spans=_COUNT, lines=_COUNT, revisions={"type": "array", "items": revision}
    )


def _job() -> _Schema:
    return _object(
        id=_TEXT,
        run_id=_TEXT,
        state={"enum": [state.value for state in JobState]},
        status={"type": "string", "description": "the target's own word"},
        detail=_TEXT,
        existing={"type": "boolean", "description": "not submitted by obs-validator"},
        submitted=_TIME,
        ended=_TIME,
        traces={"type": "array", "items": _object(trace_id=_TEXT, via=_TEXT)},
    )


def _evidence() -> _Schema:
    state = {"enum": [state.value for state in CoverageState]}
    return _object(
        spans=_COUNT,
        logs=_COUNT,
        samples=_COUNT,
        alerts=_COUNT,
        judged=_TIME,
        coverage={
            "type": "object",
            "propertyNames": _SIGNAL,
            "additionalProperties": _object(state=state, reason=_TEXT, sources=_TEXTS),
        },
        sources=_many("source"),
    )


def _source() -> _Schema:
    return _object(
        name=_TEXT,
        kind=_TEXT,
        signals={"type": "array", "items": _SIGNAL},
        requests=_COUNT,
        answers=_COUNT,
        error=_TEXT,
        error_kind=_TEXT,
        last_full_answer=_TIME,
        lag=_SECONDS,
        lag_budget=_SECONDS,
        shown_by=_TEXT,
        findings=_TEXTS,
        heard=_TEXTS,
    )


def _verdict() -> _Schema:
    return _object(
        check={"type": "string", "description": "the kind of check"},
        name={"type": "string", "description": "its name in the suite"},
        key={"type": "string", "description": "which verdict this is across runs"},
        status=_STATUS,
        code=_TEXT,
        summary=_TEXT,
        findings=_many("finding"),
        notes=_TEXTS,
        examined={**_COUNT, "description": "pieces of evidence that were looked at"},
        signals={"type": "array", "items": _SIGNAL},
        blocked_by=_TEXT,
        catches={"type": "string", "description": "the incident that the check is there for"},
        level={"enum": ["required", "advisory", "quarantined"]},
    )


def _finding() -> _Schema:
    return _object(
        code={"type": "string", "description": "a stable word for machines"},
        summary=_TEXT,
        expected=_TEXT,
        seen=_TEXTS,
        likely=_TEXT,
        query={"type": "string", "description": "what to paste to look for oneself"},
        spans={**_TEXTS, "description": "ids of the spans concerned"},
        absent=_FLAG,
        final=_FLAG,
        missing=_TEXTS,
        needs=_TEXTS,
    )
