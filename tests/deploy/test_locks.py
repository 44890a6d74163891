"""The image installs what is tested: its locks are parts of requirements.lock."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from importlib.metadata import distribution

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.deploy.manifests import ROOT, version

_OLDEST = {"python_full_version": "3.11.0"}
"""What the locks are resolved for: `--python-version 3.11`."""


def _locked(name: str) -> dict[str, str]:
    """Return version and hashes by package."""
    text = re.sub(r"^ *#.*\n", "", (ROOT / name).read_text(), flags=re.MULTILINE)
    pins = re.findall(r"^([\w.-]+)(?:\[[^]]*\])?(==.*(?:\n +--hash.*)*)", text, re.MULTILINE)
    return {canonicalize_name(package): pin for package, pin in pins}


def _closure(wanted: Iterable[str]) -> set[str]:
    """Return the packages that these requirements lead to, as they are installed here."""
    found: set[str] = set()
    todo = [(Requirement(one), "") for one in wanted]
    seen: set[tuple[str, str]] = set()
    while todo:
        requirement, extra = todo.pop()
        if requirement.marker and not requirement.marker.evaluate({**_OLDEST, "extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        found.add(name)
        for inner in ("", *requirement.extras):
            if (name, inner) not in seen:
                seen.add((name, inner))
                needs = distribution(name).requires or ()
                todo += [(Requirement(one), inner) for one in needs]
    return found


@pytest.mark.parametrize("extra", ["", "pipeline"])
def test_a_lock_of_the_image_is_a_part_of_the_lock(extra: str) -> None:
    """The same versions and hashes, of exactly what is needed; `make lock` writes all of them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"]]
    wanted += project["optional-dependencies"][extra] if extra else []
    whole, part = _locked("requirements.lock"), _locked(f"requirements-{extra or 'run'}.lock")
    assert set(part) == _closure(wanted)
    assert {name: whole[name] for name in part} == part


def test_every_lock_has_hashes() -> None:
    """For `pip install --require-hashes`."""
    for path in ROOT.glob("requirements*.lock"):
        assert all("--hash=sha256:" in pin for pin in _locked(path.name).values()), path


def test_the_image_says_the_version_of_the_project() -> None:
    """In the label of both images."""
    text = (ROOT / "Dockerfile").read_text()
    labels = re.findall(r'org\.opencontainers\.image\.version="([^"]*)"', text)
    assert labels == [version()] * 2
