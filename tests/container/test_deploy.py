"""What deploy/ gives, run: the Job beside its collector, and the steps for CI systems."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.container.engine import Container, Engine, Told
from tests.deploy.manifests import DEPLOY, of_kind, pods, read
from tests.e2e.command import Stage


def _container(name: str) -> dict[str, Any]:
    """Return the one container of a pod, and hold that the tests run it with no more rights."""
    spec = pods()[name]["spec"]
    (container,) = spec["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert isinstance(container, dict)
    return container


@pytest.fixture(scope="module")
def collector(engine: Engine, one_stage: Stage) -> Iterator[Container]:
    """Have the collector of the Deployment, where the pipeline sends to."""
    arguments = [*_container("obs-validator-collector")["args"], "--http-port", str(one_stage.port)]
    with engine.running(*arguments, "--grpc-port", "-1") as found:
        found.wait_for("OTLP/HTTP and read API")
        yield found


@pytest.fixture
def configured(stage: Stage, collector: Container, tmp_path: Path) -> Path:
    """Return a folder with the files of the ConfigMap, and the addresses of this machine."""
    del collector
    url = stage.pipeline.url
    local = {
        "http://orchestrator.pipeline.svc:8000": url("orchestrator"),
        "http://site.pipeline.svc:8000": url("site"),
        "http://obs-validator-collector:4318": f"http://127.0.0.1:{stage.port}",
    }
    folder = tmp_path / "repository"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    for name, text in of_kind("ConfigMap")["data"].items():
        for there, here in local.items():
            text = text.replace(there, here)  # noqa: PLW2901 - one after the other
        (folder / name).write_text(text)
    return folder


def _key(stage: Stage) -> dict[str, str]:
    """Return what the Secret has."""
    (name,) = of_kind("Secret")["stringData"]
    return {name: stage.pipeline.description()["keys"]["validator"]}


def test_the_job_passes_beside_its_collector(
    engine: Engine, stage: Stage, configured: Path, tell: Told
) -> None:
    """With the arguments, the user, the variables and the mount of the manifest."""
    container = _container("obs-validator-check")
    (mount,) = container["volumeMounts"]
    assert [one["name"] for one in container["env"]] == list(_key(stage))
    options = engine.options({configured: f"{mount['mountPath']}:ro"}, _key(stage))
    user = pods()["obs-validator-check"]["spec"]["securityContext"]["runAsUser"]
    options += ["--user", f"{user}:{user}"]
    end = engine.to_end(*container["args"], options=options)
    assert end.code == 0, end.out + end.err
    tell(f"the Job passed after {end.seconds:.1f} s")
    assert end.out.startswith("## obs-validator: 3 passed in 1 run")
    assert "✅ pass | connected_trace" in end.out


def test_the_job_fails_when_the_context_is_lost(
    engine: Engine, stage: Stage, configured: Path
) -> None:
    """The same Job says so in its log, and ends with 1."""
    stage.broken("context-lost-in-queue")
    container = _container("obs-validator-check")
    options = engine.options({configured: "/etc/obs-validator:ro"}, _key(stage))
    end = engine.to_end(*container["args"], options=options)
    assert end.code == 1, end.out + end.err
    assert "❌ fail | connected_trace" in end.out


def test_the_step_of_github_runs_it(
    engine: Engine, stage: Stage, configured: Path, tmp_path: Path
) -> None:
    """Its shell, with this engine as `docker`: the summary has the report."""
    docker = tmp_path / "docker"
    docker.write_text(f'#!/bin/sh\nexec {shlex.join(engine.words)} "$@"\n')
    docker.chmod(0o755)
    (document,) = read(DEPLOY / "github-actions.yaml")
    summary = tmp_path / "summary.md"
    env = {
        **os.environ,
        **_key(stage),
        "IMAGE": engine.image,
        "GITHUB_STEP_SUMMARY": str(summary),
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
    }
    for step in document["jobs"]["check"]["steps"]:
        if "run" in step:
            done = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],  # noqa: S607
                cwd=configured,
                env=env,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
    assert "✅ pass | connected_trace" in summary.read_text()
    assert {one.name for one in (configured / "reports").iterdir()} == {
        *("report.md", "junit.xml", "report.html")
    }


def test_the_job_of_gitlab_runs_it(engine: Engine, stage: Stage, configured: Path) -> None:
    """Its script, by the image's own shell, in the folder of the repository."""
    (document,) = read(DEPLOY / "gitlab-ci.yaml")
    job = document["telemetry"]
    assert job["image"]["entrypoint"] == [""]
    options = engine.options({configured: "/builds/team/project"}, _key(stage))
    options += ["--workdir", "/builds/team/project", "--entrypoint", "sh"]
    end = engine.to_end("-ec", "\n".join(job["script"]), options=options)
    assert end.code == 0, end.out + end.err
    assert "✅ pass | connected_trace" in end.out
    for path in (*job["artifacts"]["paths"], job["artifacts"]["reports"]["junit"]):
        assert (configured / path).exists()
