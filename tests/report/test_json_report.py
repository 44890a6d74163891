"""Promises of the JSON report: it fits the published schema, and the schema is strict."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace
from typing import Any

import jsonschema
import pytest

from tests.report import samples
from validator.model import Finding, Run, Verdict
from validator.report.json_report import document, render
from validator.report.schema import report_schema

VALIDATOR = jsonschema.Draft202012Validator(report_schema())


def test_the_schema_is_one() -> None:
    """The published schema is valid itself, and is JSON."""
    jsonschema.Draft202012Validator.check_schema(report_schema())
    assert json.loads(json.dumps(report_schema())) == report_schema()


@pytest.mark.parametrize("runs", [[], *([run] for run in samples.RUNS.values())])
def test_every_report_fits_the_schema(runs: list[Run]) -> None:
    """Whatever the runs, the report is what the schema says."""
    VALIDATOR.validate(json.loads(render(runs)))


@pytest.mark.parametrize("place", [(), ("runs", 0), ("runs", 0, "verdicts", 1, "findings", 0)])
def test_the_schema_is_strict(place: tuple[Any, ...]) -> None:
    """A key too many, or one too few, is no report."""
    report = json.loads(render([samples.LOST]))
    part = report
    for key in place:
        part = part[key]
    part["surplus"] = 1
    assert not VALIDATOR.is_valid(report)
    del part["surplus"]
    assert VALIDATOR.is_valid(report)
    part.pop(next(iter(part)))
    assert not VALIDATOR.is_valid(report)


def test_all_of_a_verdict_is_there() -> None:
    """Every field of a verdict and of a finding is in the report, and the verdict's key."""
    verdict = document([samples.LOST])["runs"][0]["verdicts"][1]
    assert set(verdict) == {item.name for item in fields(Verdict)} | {"key"}
    assert set(verdict["findings"][0]) == {item.name for item in fields(Finding)}
    assert verdict["key"] == "connected_trace:context_lost"


def test_raw_evidence_stays_away() -> None:
    """Of the evidence there are counts and trace ids, but no attribute and no log line."""
    text = render([samples.GOOD])
    report = json.loads(text)["runs"][0]
    assert report["evidence"]["spans"] == 12
    assert report["job"]["traces"] == [{"trace_id": samples.TRACE, "via": "sent"}]
    assert samples.URL not in text
    assert "scrape started" not in text
    assert "obs-r-0001" not in text


def test_what_json_cannot_say() -> None:
    """A time that is no number becomes null; a lone surrogate stays an escape."""
    run = replace(samples.GOOD, started=math.nan, finished=math.inf, id="\ud800")
    text = render([run])
    assert json.loads(text)["runs"][0]["started"] is None
    assert '"\\ud800"' in text


def test_the_summary() -> None:
    """The summary has the counts, the exit code and what it means."""
    summary = document(list(samples.RUNS.values()))["summary"]
    assert summary["counts"] == {
        "pass": 6,
        "fail": 3,
        "inconclusive": 1,
        "blocked": 1,
        "pending": 0,
    }
    assert (summary["exit_code"], summary["meaning"]) == (1, "a check failed")
