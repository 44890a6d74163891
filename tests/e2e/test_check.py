"""`check` on a whole pipeline: what passes, what is written, and what is left behind."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from tests.e2e.command import Checked, Stage
from validator.report.schema import report_schema

pytestmark = pytest.mark.process
_NONE = {"jobs": 0, "documents": 0, "vectors": 0}


@pytest.mark.req("V-02", "V-03", "V-04", "V-05", "V-06", "P-10")
def test_a_whole_pipeline_passes(good: Checked) -> None:
    """Every verdict of every suite is a pass, on evidence, and the code is 0."""
    assert {status for status, _ in good.verdicts().values()} == {"pass"}
    assert set(good.verdicts()) == {
        ("pipeline", "connected_trace"),
        ("pipeline", "span_attributes"),
        ("pipeline", "metric_labels"),
        ("pipeline", "job_outcome"),
        ("pipeline-failure", "job_outcome"),
        ("pipeline-failure", "log_fields"),
        ("pipeline-failure", "connected_retry"),
        ("pipeline-failure", "job_id_on_retry"),
    }
    assert all(verdict.examined for run in good.runs for verdict in run.verdicts)
    assert "8 passed in 2 runs: exit code 0" in good.said.out


def test_the_report_for_programs_is_as_its_schema_says(good: Checked) -> None:
    """The JSON report validates, and its runs are those that were stored."""
    jsonschema.validate(good.report, report_schema())
    assert {run["id"] for run in good.report["runs"]} == {run.id for run in good.runs}


def test_every_report_is_written(stage: Stage, good: Checked) -> None:
    """One call writes them all, each in its own form and with both suites."""
    html = (stage.folder / "r.html").read_text()
    assert html.startswith("<!doctype html>")
    assert "waterfall" in html
    cases = ET.parse(stage.folder / "r.xml").getroot().iter("testcase")  # noqa: S314 - our own
    assert len(list(cases)) == len(good.verdicts())
    for name in ("r.md", "r.txt", "r.html"):
        text = (stage.folder / name).read_text()
        assert "connected_retry" in text
        assert "metric_labels" in text


def test_the_runs_have_removed_what_they_made(stage: Stage, good: Checked) -> None:
    """No job, document or vector of a run is left, and the orchestrator knows its job no more."""
    for run in good.runs:
        assert stage.rows(run.id) == _NONE
        url = f"{stage.pipeline.url('orchestrator')}/jobs/{run.evidence.job.id}"
        answer = stage.pipeline.client.get(url, headers=stage.pipeline.key("validator"))
        assert answer.status_code == 404


@pytest.mark.req("X-08")
def test_what_was_waited_for_is_in_the_report(good: Checked) -> None:
    """A whole run ends when it has settled, not before 2 s, and says from whom it had what."""
    for run in good.report["runs"]:
        waited = run["finished"] - run["job"]["ended"]
        assert waited >= 1.9
        assert run["evidence"]["coverage"]["traces"]["state"] == "settled"
        assert not any(source["error"] for source in run["evidence"]["sources"])


@pytest.mark.req("V-02")
def test_standard_output_is_the_report_alone_when_asked(stage: Stage) -> None:
    """With `--format json` progress goes to standard error; one suite is one run."""
    said = stage.run("check", "pipeline", "--format", "json", code=0)
    assert [run["suite"] for run in json.loads(said.out)["runs"]] == ["pipeline"]
    assert "submitting" in said.err
