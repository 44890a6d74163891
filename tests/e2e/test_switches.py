"""Each way to break the instrumentation is caught by the checks that should, and by no other."""

from __future__ import annotations

import json
import re

import pytest

from pipeline import faults
from tests.e2e.command import Stage
from validator.demo import BREAKS, Break, judge_break

pytestmark = pytest.mark.process
_BY_SWITCH = {broken.switches[0]: broken for broken in BREAKS}


def test_the_breaks_are_the_pipelines_own_switches(stage: Stage) -> None:
    """The demonstration leaves no switch out and knows none that is not there."""
    listed = stage.run("pipeline", "switches", code=0).out.splitlines()
    names = [line for line in listed if line and not line.startswith(" ")]
    assert sorted(_BY_SWITCH) == sorted(names) == sorted(faults.FAULTS)


@pytest.mark.req("V-03", "V-04", "V-05", "V-06", "P-10")
@pytest.mark.parametrize("name", [faults.ATTRIBUTE_DROPPED, faults.FAILURE_LOGS_WITHOUT_TRACE])
def test_a_break_is_caught_by_its_checks_alone(stage: Stage, name: str) -> None:
    """Exactly the checks that should see it fail, nothing is open, the code is 1.

    The demonstration, which is a test of its own, goes through all the others.
    """
    stage.broken(name)
    done = stage.check(code=1)
    assert judge_break(_BY_SWITCH[name], done.runs) == ()
    assert done.failed() == _BY_SWITCH[name].caught_by
    assert done.report["summary"]["exit_code"] == 1
    for suite, check in done.failed():
        assert suite in done.said.out
        assert re.search(rf"^FAIL +{check} ", done.said.out, re.MULTILINE)


@pytest.mark.req("V-13")
@pytest.mark.parametrize(
    "names",
    [
        (faults.ATTRIBUTE_DROPPED, faults.CONTEXT_LOST_IN_QUEUE),
        pytest.param(
            (faults.SERVICE_SAMPLES_NOTHING, faults.OPERATION_LABEL_MISSING),
            marks=pytest.mark.slow,
        ),
    ],
    ids=" and ".join,
)
def test_two_breaks_at_once_are_both_told(stage: Stage, names: tuple[str, str]) -> None:
    """Neither hides the other: what fails is what each of the two makes fail."""
    stage.broken(*names)
    done = stage.check(code=1)
    both = _BY_SWITCH[names[0]].caught_by | _BY_SWITCH[names[1]].caught_by
    assert judge_break(Break(names, "both", both), done.runs) == ()


@pytest.mark.req("X-07")
def test_a_failing_run_is_judged_again_byte_for_byte(stage: Stage) -> None:
    """`replay` writes the report that `check` wrote; with another suite it says what changed."""
    stage.broken(faults.CONTEXT_LOST_IN_QUEUE)
    done = stage.check("pipeline", code=1)
    again = stage.folder / "again.json"
    said = stage.run("replay", str(done.evidence), "-o", str(again), code=1)
    assert again.read_bytes() == (stage.folder / f"{stage.count}.json").read_bytes()
    assert "no verdict differs" in said.err
    assert _failures(said.out) == _failures(done.said.out)
    suite = (stage.folder / "pipeline.yaml").read_text()
    try:
        edges = "        - orchestrator -> scraper\n"
        assert edges in suite
        changed = suite.replace("values: [read, write]", "values: [read, write, delete]")
        (stage.folder / "pipeline.yaml").write_text(changed)
        other = stage.run("replay", str(done.evidence), "-f", "json", code=1)
    finally:
        (stage.folder / "pipeline.yaml").write_text(suite)
    assert "pipeline" in other.err
    assert "metric_labels: was pass (ok), is fail" in other.err
    verdicts = json.loads(other.out)["runs"][0]["verdicts"]
    assert {v["name"]: v["status"] for v in verdicts}["metric_labels"] == "fail"


def _failures(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("FAIL")]


@pytest.mark.req("X-08", "V-03")
def test_a_missing_service_is_known_after_the_lag_budget_and_not_at_the_deadline(
    stage: Stage,
) -> None:
    """The budget is 2 s, the deadline 30 s: the verdict does not wait for that."""
    stage.broken(faults.SERVICE_SAMPLES_NOTHING)
    done = stage.check("pipeline", code=1)
    run = done.report["runs"][0]
    waited = run["finished"] - run["job"]["ended"]
    assert waited >= 2.0
    assert run["finished"] - run["started"] < 30.0
    assert run["evidence"]["coverage"]["traces"]["state"] == "exhausted"
    lags = [s["lag"] for s in run["evidence"]["sources"] if s["signals"] == ["traces"]]
    assert lags != [None]
