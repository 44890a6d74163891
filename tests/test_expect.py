"""`check --expect-version`: which services, what is blocked, and what is run again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tests.run.world import CONNECTED, World
from tests.traces import SERVICES, pipeline
from validator.commands._replay import judged_again
from validator.errors import ConfigError, SourceFailure
from validator.evidence_io import save_run
from validator.expect import NAME, as_then, expecting, unmet
from validator.judge import Judge
from validator.model import JobState, Run, Span, Status
from validator.suite import CheckSpec, Suite


def spec(kind: str, **params: object) -> CheckSpec:
    """Return a check."""
    return CheckSpec(kind, kind, params, "a test", "required", "x")


def suite(*checks: CheckSpec) -> Suite:
    """Return a suite of these checks."""
    return Suite("s", 1, "t", {}, 30.0, 2.0, 0.05, False, checks, "s.yaml")  # noqa: FBT003


def version_of(spans: list[Span], version: str, *services: str) -> list[Span]:
    """Return the spans with those of `services` (none given: all) showing `version`."""
    return [
        replace(one, resource={**one.resource, "service.version": version})
        if not services or one.service in services
        else one
        for one in spans
    ]


TRACE = spec("connected_trace", **CONNECTED)


def run(spans: list[Span], version: str, world: World | None = None) -> Run:
    """Return a run that expects `version`, and whose trace has a break as well."""
    world = world or World(checks=[])
    world.source.span(0.1, *spans)
    made = world.suite_run()
    (found,) = expecting([suite(TRACE)], version)
    made.judging.judge = Judge(made.plan.judge.kinds, found.checks, found.gate)
    made.plan = replace(made.plan, judge=made.judging.judge, suite=found)
    return made.make()


def status(run: Run) -> dict[str, Status]:
    """Return what each check says."""
    return {one.name: one.status for one in run.verdicts}


@pytest.mark.req("V-03")
def test_the_services_are_those_that_the_suite_names() -> None:
    """Those of a `version` check, which it takes the place of; else those of `connected_trace`."""
    trace = spec("connected_trace", services=["a", "b"])
    (found,) = expecting([suite(trace)], "2")
    assert found.checks[0].params == {"services": ("a", "b"), "version": "2"}
    (found,) = expecting([suite(trace, spec("version", services=["b"], version="1"))], "2")
    assert [one.kind for one in found.checks] == ["version", "connected_trace"]
    assert found.checks[0].params == {"services": ("b",), "version": "2"}
    assert found.gate == NAME
    with pytest.raises(ConfigError, match=r"s\.yaml: --expect-version needs to know"):
        expecting([suite(spec("job_outcome"))], "2")


@pytest.mark.req("V-13")
def test_nothing_is_judged_while_another_version_runs() -> None:
    """The old version's failures are not the new one's: all is blocked, the versions are named."""
    spans = version_of([one for one in pipeline() if one.service != "chunking"], "1")
    whole = version_of(pipeline(), "1")
    for trace in (whole, version_of(whole, "2", "scraper"), spans):
        found = run(trace, "2")
        if trace is not spans:
            assert status(found)[NAME] is Status.INCONCLUSIVE
            assert status(found)["connected_trace"] is Status.BLOCKED
            assert "1" in unmet([found])["s"]
    assert status(found)["connected_trace"] is Status.FAIL  # a missing service has no version


def test_the_expected_version_is_judged() -> None:
    """Every service shows it: the rest is judged as ever, and nothing is run again."""
    found = run(version_of(pipeline(), "2"), "2")
    assert set(status(found).values()) == {Status.PASS}
    assert not unmet([found])
    assert set(SERVICES) <= {one.service for one in found.evidence.spans}


@pytest.mark.req("V-02", "V-13")
@pytest.mark.parametrize("lost", ["unreachable", "unproven"])
def test_a_gate_that_nothing_is_known_of_hides_no_failure(lost: str) -> None:
    """The target says that the job failed: that traces cannot be read takes nothing from it."""
    world = World(checks=[])
    world.target.script = [(0.0, "pending", JobState.RUNNING), (1.0, "failed", JobState.FAILED)]
    if lost == "unreachable":
        world.source.fails(-1, 1e9, SourceFailure.CONNECT)
    world.source.control = False
    found = run([], "2", world)
    assert status(found)["job_outcome"] is Status.FAIL
    assert status(found)[NAME] is not Status.PASS


def replayed(folder: Path, stored: Run) -> Run:
    """Return a stored run as `replay` judges it, with a suite that names no version."""
    save_run(stored, folder / "evidence")
    (folder / "s.yaml").write_text(
        yaml.safe_dump(
            {
                "suite": "s",
                "target": "t",
                "checks": [{"connected_trace": json.loads(json.dumps(CONNECTED)), "catches": "x"}],
            }
        )
    )
    config = {
        "targets": {"t": {"submit": {"http": {"url": "http://127.0.0.1:1/x", "job_id": "id"}}}},
        "sources": {"c": {"type": "collector"}},
        "suites": ["s.yaml"],
    }
    (folder / "obs-validator.yaml").write_text(yaml.safe_dump(config))
    (found,), _ = judged_again(folder / "evidence", folder / "obs-validator.yaml")
    return found


@pytest.mark.req("V-14")
@pytest.mark.parametrize("version", ["1", "2"])
def test_a_run_is_judged_again_by_the_version_that_was_expected(
    tmp_path: Path, version: str
) -> None:
    """What was the old version's work is not taken for the new one's when it is replayed."""
    stored = run(version_of(pipeline(), version), "2")
    again = replayed(tmp_path, stored)
    assert status(again) == status(stored)
    assert again.expected_version == "2"


def test_a_stored_run_that_does_not_say_the_version_is_not_judged_again() -> None:
    """It would pass, since today's suite does not ask; one that was of the version is judged."""
    was = replace(run(version_of(pipeline(), "1"), "2"), expected_version="")
    with pytest.raises(ConfigError, match=f"run {was.id} was judged with --expect-version"):
        as_then(suite(TRACE), was)
    passed = replace(run(version_of(pipeline(), "2"), "2"), expected_version="")
    assert as_then(suite(TRACE), passed) == suite(TRACE)
