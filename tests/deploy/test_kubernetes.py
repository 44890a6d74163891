"""The Kubernetes manifests: valid by the published schemas, and true to each other."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from click.testing import CliRunner

from checks import CHECKS
from tests.deploy.manifests import (
    IMAGE,
    KUBERNETES,
    applied,
    kustomization,
    objects,
    of_kind,
    pods,
    read,
    version,
)
from validator.cli import cli
from validator.config import load_settings
from validator.config_sources import RemoteCollectorSettings
from validator.loader import load_suites

VERSIONS = ("1.29", "1.33", kubernetes_validate.latest_version())
"""The oldest that managed services still run, one between, and the newest known."""


def _named(one: dict[str, Any]) -> str:
    return f"{one['kind']}/{one['metadata']['name']}"


@pytest.mark.req("V-15")
@pytest.mark.parametrize("of", VERSIONS)
@pytest.mark.parametrize("one", objects(), ids=_named)
def test_every_object_is_valid(one: dict[str, Any], of: str) -> None:
    """By the schema of its kind, in which an unknown key is an error."""
    kubernetes_validate.validate(one, of, strict=True)


def test_the_schemas_refuse_what_is_wrong() -> None:
    """A misspelt key does not pass for want of a look."""
    job = of_kind("Job")
    job["spec"]["backofLimit"] = 0
    with pytest.raises(kubernetes_validate.ValidationError, match="backofLimit"):
        kubernetes_validate.validate(job, VERSIONS[-1], strict=True)


def test_every_file_is_applied_or_an_example() -> None:
    """Nothing lies in the folder that nobody applies; the example of a secret is never applied."""
    files = {path.name for path in KUBERNETES.glob("*.yaml")}
    assert files == {*kustomization()["resources"], "kustomization.yaml", "secret.example.yaml"}
    assert "Secret" not in {one["kind"] for one in applied()}


@pytest.mark.parametrize("name", pods())
def test_no_pod_may_more_than_it_needs(name: str) -> None:
    """As the namespace's pod security standard, `restricted`, asks, and a read-only root."""
    spec = pods()[name]["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 65532
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["terminationGracePeriodSeconds"] >= 10
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert set(container["resources"]) == {"requests", "limits"}
    assert set(container["resources"]["limits"]) == {"cpu", "memory"}
    assert not any(volume.get("hostPath") for volume in spec.get("volumes", ()))
    labels = of_kind("Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_job_runs_once_and_ends() -> None:
    """A second try would hide the first answer; what hangs is ended, and its job goes away."""
    spec = of_kind("Job")["spec"]
    assert spec["backoffLimit"] == 0
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    assert 0 < spec["activeDeadlineSeconds"] <= 900
    assert spec["ttlSecondsAfterFinished"] > 0


def test_every_image_has_the_version_of_the_project() -> None:
    """The kustomization gives registry and tag to the one name that the manifests use."""
    assert kustomization()["images"] == [
        {"name": "obs-validator", "newName": IMAGE, "newTag": version()}
    ]
    used = {one["image"] for pod in pods().values() for one in pod["spec"]["containers"]}
    assert used == {"obs-validator"}


def test_every_name_that_is_referred_to_exists() -> None:
    """ConfigMaps, keys of Secrets, and the pods that services and policies select."""
    secret, config = of_kind("Secret"), of_kind("ConfigMap")
    for pod in pods().values():
        for volume in pod["spec"].get("volumes", ()):
            assert volume["configMap"]["name"] == config["metadata"]["name"]
        for container in pod["spec"]["containers"]:
            for variable in container.get("env", ()):
                ref = variable["valueFrom"]["secretKeyRef"]
                assert ref["name"] == secret["metadata"]["name"]
                assert ref["key"] in secret["stringData"]
    selected = [of_kind("Service")["spec"]["selector"]]
    policies = [one for one in objects() if one["kind"] == "NetworkPolicy"]
    selected += [one["spec"]["podSelector"]["matchLabels"] for one in policies]
    labels = [pod["metadata"]["labels"] for pod in pods().values()]
    for one in selected:
        assert one in labels
    assert all(label in selected for label in labels), "every pod has its policy"
    namespace = of_kind("Namespace")["metadata"]["name"]
    assert {kustomization()["namespace"], secret["metadata"]["namespace"]} == {namespace}


def _files(folder: Path) -> Path:
    """Write the files of the ConfigMap as Kubernetes mounts them: links into a folder."""
    data = folder / "..data"
    data.mkdir()
    for name, text in of_kind("ConfigMap")["data"].items():
        (data / name).write_text(text)
        (folder / name).symlink_to(Path("..data") / name)
    return folder / "obs-validator.yaml"


def test_the_configuration_of_the_config_map_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what the Secret has, and as the command itself sees it."""
    secret = of_kind("Secret")["stringData"]
    path = _files(tmp_path)
    settings = load_settings(path, secret)
    assert [suite.name for suite in load_suites(settings, CHECKS)] == ["pipeline"]
    for name, value in secret.items():
        monkeypatch.setenv(name, value)
    done = CliRunner().invoke(cli, ["config", "check", "--config", str(path)])
    assert done.exit_code == 0, done.output
    used = [one for one in secret if f"${{{one}}}" in path.read_text()]
    assert used == list(secret)


def test_the_check_may_reach_what_its_configuration_names(tmp_path: Path) -> None:
    """The collector by its Service, and the pipeline in the namespace that the policy allows."""
    settings = load_settings(_files(tmp_path), of_kind("Secret")["stringData"])
    service = of_kind("Service")
    (collector,) = settings.sources.values()
    assert isinstance(collector, RemoteCollectorSettings)
    ports = {one["port"] for one in service["spec"]["ports"]}
    assert collector.url == f"http://{service['metadata']['name']}:4318"
    assert ports == {4317, 4318}
    egress = of_kind("NetworkPolicy", "obs-validator-check")["spec"]["egress"]
    allowed = {port["port"] for rule in egress for port in rule["ports"]}
    assert allowed == {53, 4318, 8000}
    text = of_kind("ConfigMap")["data"]["obs-validator.yaml"]
    assert text.count(".pipeline.svc:8000") == text.count(".svc:") - 1  # one is the comment's


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not there to render it")
def test_kubectl_renders_what_is_applied_together() -> None:
    """Every object comes out, in the namespace, with the image of the registry."""
    done = subprocess.run(
        ["kubectl", "kustomize", str(KUBERNETES)],  # noqa: S607 - where it is, the machine says
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rendered = [one for one in yaml.safe_load_all(done.stdout) if one]
    assert sorted(map(_named, rendered)) == sorted(map(_named, applied()))
    assert done.stdout.count(f"image: {IMAGE}:{version()}") == len(pods())
    spaces = {one["metadata"].get("namespace") for one in rendered if one["kind"] != "Namespace"}
    assert spaces == {"obs-validator"}


def test_what_is_read_is_what_lies_there() -> None:
    """Each file has documents; none is empty."""
    assert all(read(path) for path in KUBERNETES.glob("*.yaml"))
