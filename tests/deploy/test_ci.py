"""The steps for CI systems: valid by their schemas, and their shell does what it says."""

from __future__ import annotations

import json
import os
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.deploy.manifests import DEPLOY, IMAGE, read, version

DOCKER = """\
#!/usr/bin/env bash
printf '%s\\n' "$@" >docker.arguments
echo "${API_KEY:-none}" >docker.key
[ -z "$NO_REPORT" ] && echo "## obs-validator: the report" >reports/report.md
exit "$CODE"
"""
VALIDATOR = """\
#!/bin/sh
mkdir -p reports
[ -z "$NO_REPORT" ] && echo "## obs-validator: the report" >reports/report.md
exit "$CODE"
"""


def _schema(name: str) -> Any:
    vendored = files("check_jsonschema") / "builtin_schemas" / "vendor" / f"{name}.json"
    return json.loads(vendored.read_text(encoding="utf-8"))


def _document(name: str) -> dict[str, Any]:
    found: dict[Any, Any] = dict(read(DEPLOY / f"{name}.yaml")[0])
    # PyYAML takes the key `on` for a boolean, as YAML 1.1 has it; GitHub does not.
    return {"on" if key is True else key: value for key, value in found.items()}


@pytest.mark.req("V-15")
@pytest.mark.parametrize(
    ("name", "schema"), [("github-actions", "github-workflows"), ("gitlab-ci", "gitlab-ci")]
)
def test_it_is_valid(name: str, schema: str) -> None:
    """By the schema that editors use; a step of neither kind is refused by it."""
    jsonschema.Draft7Validator(_schema(schema)).validate(_document(name))


def test_the_image_has_the_version_of_the_project() -> None:
    """In both."""
    image = f"{IMAGE}:{version()}"
    assert _document("github-actions")["env"]["IMAGE"] == image
    assert _document("gitlab-ci")["telemetry"]["image"]["name"] == image


def _steps() -> dict[str, str]:
    steps = _document("github-actions")["jobs"]["check"]["steps"]
    return {step["name"]: step["run"] for step in steps if "run" in step}


def _script(script: str, folder: Path, shell: list[str], **variables: str) -> tuple[int, str]:
    """Run a script as the runner does."""
    for name, text in (("docker", DOCKER), ("obs-validator", VALIDATOR)):
        (folder / "bin").mkdir(exist_ok=True)
        stub = folder / "bin" / name
        stub.write_text(text)
        stub.chmod(0o755)
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    given = {"NO_REPORT": "", "CODE": "0", "IMAGE": "the-image", **variables}
    done = subprocess.run(
        [*shell, script],
        cwd=folder,
        env={**os.environ, **given, "PATH": path},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


_BASH = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"]


@pytest.mark.parametrize("code", ["0", "1", "2", "3"])
def test_the_step_of_github_ends_as_the_check_did(tmp_path: Path, code: str) -> None:
    """The container gets the configuration, the key by name only, and no right that it can miss."""
    check = _steps()["check the telemetry of what was deployed"]
    ended, _ = _script(check, tmp_path, _BASH, CODE=code, API_KEY="k3y")
    assert ended == int(code)
    words = (tmp_path / "docker.arguments").read_text().splitlines()
    assert words[words.index("the-image") + 1] == "check"
    assert {"--read-only", "ALL", "no-new-privileges", f"{tmp_path}:/etc/obs-validator:ro"} <= {
        *words
    }
    assert (tmp_path / "docker.key").read_text() == "k3y\n"
    assert not any("k3y" in word for word in words)


@pytest.mark.parametrize(
    ("no_report", "said"), [("", "## obs-validator: the report"), ("yes", "There is no report")]
)
def test_the_summary_of_github_has_the_report(tmp_path: Path, no_report: str, said: str) -> None:
    """Also after a failure; without a report it says so."""
    steps, summary = _steps(), tmp_path / "summary.md"
    check = steps["check the telemetry of what was deployed"]
    _script(check, tmp_path, _BASH, CODE="1", NO_REPORT=no_report)
    variables = {"GITHUB_STEP_SUMMARY": str(summary)}
    assert _script(steps["show the report"], tmp_path, _BASH, **variables)[0] == 0
    assert said in summary.read_text()
    listed = _document("github-actions")["jobs"]["check"]["steps"]
    assert {step["if"] for step in listed[2:]} == {"always()"}


@pytest.mark.parametrize("code", ["0", "1", "2", "3"])
@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_the_job_of_gitlab_shows_the_report_and_ends_as_the_check_did(
    tmp_path: Path, code: str, shell: str
) -> None:
    """All lines run in one shell that stops at the first failure."""
    job = _document("gitlab-ci")["telemetry"]
    ended, said = _script("\n".join(job["script"]), tmp_path, [shell, "-ec"], CODE=code)
    assert ended == int(code)
    assert "## obs-validator: the report" in said
    assert job["artifacts"]["reports"]["junit"] == "reports/junit.xml"
    assert "allow_failure" not in job, "an inconclusive check is no pass"


def test_the_job_of_gitlab_without_a_report_ends_as_well(tmp_path: Path) -> None:
    """A wrong configuration has no report."""
    job = _document("gitlab-ci")["telemetry"]
    script = "\n".join(job["script"])
    ended, said = _script(script, tmp_path, ["sh", "-ec"], CODE="2", NO_REPORT="yes")
    assert (ended, said) == (2, "")
