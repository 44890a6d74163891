"""What is in the image, how large it is and how fast it starts."""

from __future__ import annotations

import re
import statistics
import tarfile
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from io import BytesIO
from json import load
from pathlib import Path

import pytest

from tests.container.engine import BASE, Engine, Told

ROOT = Path(__file__).resolve().parents[2]
MEGABYTE = 1_000_000
LARGEST = 250 * MEGABYTE
SLOWEST = 2.0
_CERTIFICATES = re.compile(r"site-packages/(certifi/cacert|grpc/_cython/_credentials/roots)\.pem$")
_SECRET = re.compile(
    r"(^|/)(\.env[^/]*|\.netrc|\.pypirc|\.git|pip\.conf|id_[a-z0-9]+|[^/]+\.(key|pem))$"
)
_CACHE = re.compile(r"^(root|home|tmp|src|build|wheels|var/(cache|tmp|lib/apt))/|\.(whl|cache)$")
_WITH_CREDENTIALS = re.compile(r"[a-z]+://[^/\s@\"]+@")


@pytest.fixture(scope="module")
def layers(
    engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[tarfile.TarFile]]:
    """Have the layers that are ours, as they were saved; the files in them are not unpacked."""
    path = tmp_path_factory.mktemp("saved") / "image.tar"
    engine.call("image", "save", "--output", str(path), engine.image, seconds=300)
    inherited = len(engine.inspect(BASE)["RootFS"]["Layers"])
    with ExitStack() as stack:
        archive = stack.enter_context(tarfile.open(path))
        (manifest,) = load(archive.extractfile("manifest.json") or BytesIO())
        names = manifest["Layers"]
        assert len(names) > inherited
        yield [
            stack.enter_context(tarfile.open(fileobj=archive.extractfile(name)))
            for name in names[inherited:]
        ]


def _files(layers: list[tarfile.TarFile]) -> Iterator[tarfile.TarInfo]:
    for layer in layers:
        yield from layer


def test_it_is_small(engine: Engine, tell: Told) -> None:
    """Under 250 MB beyond its base."""
    size = int(engine.inspect(engine.image)["Size"]) - int(engine.inspect(BASE)["Size"])
    tell(f"{size / MEGABYTE:.0f} MB beyond its base (at most 250)")
    assert 0 < size < LARGEST


def test_it_starts_fast(engine: Engine, tell: Told) -> None:
    """Under 2 s, the engine's own time included: the median of five."""
    ends = [engine.to_end("--version") for _ in range(5)]
    assert {end.code for end in ends} == {0}, ends[0].err
    took = statistics.median(end.seconds for end in ends)
    tell(f"`--version` after {took:.2f} s, the median of 5 (at most 2)")
    assert took < SLOWEST


def test_nobody_in_it_can_change_it(engine: Engine, layers: list[tarfile.TarFile]) -> None:
    """It runs as a number, not root; nothing of ours is that user's, or anybody's to write."""
    user = engine.inspect(engine.image)["Config"]["User"]
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user)
    theirs = [
        file.name
        for file in _files(layers)
        if not file.issym() and (file.uid == int(user.split(":")[0]) or file.mode & 0o002)
    ]
    assert theirs == []
    assert [file.name for file in _files(layers) if file.mode & 0o6000] == []


def test_no_secret_and_no_cache_is_in_its_layers(
    engine: Engine, layers: list[tarfile.TarFile]
) -> None:
    """Not in a file, not in a variable, and not in what is kept of how it was built."""
    files = [file.name.removeprefix("./") for file in _files(layers) if file.isfile()]
    assert any(name.endswith("validator/data/suites/pipeline.yaml") for name in files)
    assert [x for x in files if _SECRET.search(x) and not _CERTIFICATES.search(x)] == []
    assert [name for name in files if _CACHE.search(name)] == []
    # containers.sh and docker hand on the proxies and certificates of the machine; nothing else.
    names = [one.partition("=")[0] for one in engine.inspect(engine.image)["Config"]["Env"]]
    assert not [name for name in names if re.search("TOKEN|SECRET|PASS|KEY|CREDENTIAL", name)]
    assert not _WITH_CREDENTIALS.search(str(engine.inspect(engine.image)))
    assert not _WITH_CREDENTIALS.search(engine.call("history", "--no-trunc", engine.image))


def test_only_what_running_needs_is_in_it(layers: list[tarfile.TarFile]) -> None:
    """The packages of requirements-run.lock and this one: no pip, no tests, no pipeline."""
    locked = (ROOT / "requirements-run.lock").read_text()
    wanted = {_plain(name) for name in re.findall(r"^([\w.-]+)==", locked, re.MULTILINE)}
    found = {
        _plain(match[1])
        for file in _files(layers)
        if (match := re.search(r"site-packages/([^/]+?)-[^-/]+\.dist-info/METADATA$", file.name))
    }
    assert found == wanted | {"obs-validator"}
    assert not [x.name for x in _files(layers) if "/site-packages/pipeline/" in x.name]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_everything_that_is_imported_is_compiled(layers: list[tarfile.TarFile]) -> None:
    """With a read-only root what is not compiled now would be compiled at every start."""
    names = {file.name for file in _files(layers)}
    ours = [
        x for x in names if re.search(r"/site-packages/(validator|checks|rich|pydantic)/.*\.py$", x)
    ]
    assert len(ours) > 200
    compiled = (re.sub(r"([^/]+)\.py$", r"__pycache__/\1.cpython-311.pyc", name) for name in ours)
    assert [name for name in compiled if name not in names] == []


def test_it_says_what_it_is(engine: Engine) -> None:
    """The OCI labels, and a version that is the command's."""
    labels = engine.inspect(engine.image)["Config"]["Labels"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    prefix = "org.opencontainers.image"
    assert labels[f"{prefix}.title"] == project["name"]
    assert labels[f"{prefix}.version"] == project["version"]
    assert labels[f"{prefix}.licenses"] == project["license"]
    assert labels[f"{prefix}.base.name"] == BASE
    assert labels[f"{prefix}.description"]
    assert labels[f"{prefix}.revision"]
    assert engine.to_end("--version").out.strip().endswith(project["version"])
    assert engine.inspect(engine.image)["Config"]["Entrypoint"] == ["obs-validator"]
