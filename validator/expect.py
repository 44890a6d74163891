"""`check --expect-version`: nothing is judged until what was deployed is what runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from validator.errors import ConfigError
from validator.judge import OTHER_VERSION
from validator.model import Run, Status
from validator.suite import CheckSpec, Suite

NAME = "expected_version"
"""The name of the check that is added to each suite."""


def expecting(suites: Iterable[Suite], version: str) -> tuple[Suite, ...]:
    """Return the suites with a check of the version, without which nothing else is judged.

    It holds for the services that a suite's `version` checks name, else for those that its
    `connected_trace` checks do; raises `ConfigError` for a suite that names none.
    """
    return tuple(_with_check(suite, version) for suite in suites)


def _with_check(suite: Suite, version: str) -> Suite:
    named = {
        kind: [
            service
            for spec in suite.checks
            if spec.kind == kind
            for service in spec.params.get("services", ())
        ]
        for kind in ("version", "connected_trace")
    }
    services = tuple(dict.fromkeys(named["version"] or named["connected_trace"]))
    if not services:
        raise ConfigError(
            f"{suite.path}: --expect-version needs to know whose version: add a `version` check, "
            "or a `connected_trace` check with `services`"
        )
    check = CheckSpec(
        kind="version",
        name=NAME,
        params={"services": services, "version": version},
        catches="a deploy is called good by jobs that the old version still did",
        level="required",
        where="--expect-version",
    )
    others = tuple(spec for spec in suite.checks if spec.kind != "version")
    return replace(suite, checks=(check, *others), gate=NAME, expected_version=version)


def as_then(suite: Suite, run: Run) -> Suite:
    """Return a suite as `run` was judged by it: with the version that was expected then.

    Raises `ConfigError` for a run that was not of it, and that an older release has stored
    without its name: no check of the suite speaks of what was to be judged.
    """
    if run.expected_version:
        return _with_check(suite, run.expected_version)
    gate = next((one for one in run.verdicts if one.name == NAME), None)
    if gate is not None and gate.status is not Status.PASS:
        raise ConfigError(
            f"run {run.id} was judged with --expect-version by a release that did not store the "
            f"version, and was not of it ({gate.summary}): it cannot be judged again"
        )
    return suite


def unmet(runs: Sequence[Run]) -> dict[str, str]:
    """Return the suites of whose jobs another version did some, and what it says of itself."""
    return {
        run.suite: verdict.summary
        for run in runs
        for verdict in run.verdicts
        if verdict.name == NAME and verdict.code in OTHER_VERSION
    }
