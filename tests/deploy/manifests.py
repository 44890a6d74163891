"""The files of deploy/, read."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
IMAGE = "registry.example.com/obs-validator"


def version() -> str:
    """Return the project's version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return str(project["version"])


def read(path: Path) -> list[dict[str, Any]]:
    """Return the documents of a YAML file."""
    return [one for one in yaml.safe_load_all(path.read_text()) if one is not None]


def kustomization() -> dict[str, Any]:
    """Return the list of what is applied together."""
    (found,) = read(KUBERNETES / "kustomization.yaml")
    return found


def applied() -> list[dict[str, Any]]:
    """Return every object that the kustomization applies."""
    return [one for name in kustomization()["resources"] for one in read(KUBERNETES / name)]


def objects() -> list[dict[str, Any]]:
    """Return every object of the folder, the example of the Secret included."""
    return [*applied(), *read(KUBERNETES / "secret.example.yaml")]


def of_kind(kind: str, name: str = "") -> dict[str, Any]:
    """Return the object of this kind and name."""
    (found,) = [
        one
        for one in objects()
        if one["kind"] == kind and (not name or one["metadata"]["name"] == name)
    ]
    return found


def pods() -> dict[str, dict[str, Any]]:
    """Return each pod template by the name of what makes pods of it."""
    return {
        one["metadata"]["name"]: one["spec"]["template"]
        for one in objects()
        if one["kind"] in {"Job", "Deployment"}
    }
