"""`check --expect-version`: which services, what is blocked, and what is run again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.run.world import CONNECTED, World
from tests.traces import SERVICES, pipeline
from validator.errors import ConfigError
from validator.expect import NAME, expecting, unmet
from validator.judge import Judge
from validator.model import Run, Span, Status
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


def run(spans: list[Span], version: str) -> Run:
    """Return a run that expects `version`, and whose trace has a break as well."""
    world = World(checks=[])
    world.source.span(0.1, *spans)
    made = world.suite_run()
    (found,) = expecting([suite(spec("connected_trace", **CONNECTED))], version)
    made.judging.judge = Judge(made.plan.judge.kinds, found.checks, found.gate)
    made.plan = replace(made.plan, judge=made.judging.judge)
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
