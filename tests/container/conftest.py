"""These tests are collected where `make test-container` says which engine and which image."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.testing import RunningPipeline
from tests.container.engine import Engine, Told
from tests.e2e.command import OTLP, Stage, free_port

collect_ignore_glob = [] if "CONTAINERS" in os.environ else ["test_*.py"]

_FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture
def tell(pytestconfig: pytest.Config) -> Told:
    """Return what takes a line with a figure."""
    return pytestconfig.stash.setdefault(_FIGURES, []).append


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the figures, whatever became of the tests."""
    for line in config.stash.get(_FIGURES, []):
        terminalreporter.write_line(f"  {line}")


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """Return the engine with the image."""
    return Engine.given(tmp_path_factory.mktemp("engine"))


@pytest.fixture(scope="session")
def one_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Return a pipeline on this host, and a folder with its configuration for the container."""
    folder, port = tmp_path_factory.mktemp("stage"), free_port()
    folder.chmod(0o755)  # the image's user is another one than whoever runs the tests
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
    pipeline = RunningPipeline(folder / "state", {**OTLP, **endpoint})
    try:
        pipeline.wait_until_up(60)
        stage = Stage(pipeline, folder, port)
        stage.configure()
        yield stage
    finally:
        pipeline.stop()


@pytest.fixture
def stage(one_stage: Stage) -> Iterator[Stage]:
    """Return the stage with all switches off, and turn them off afterwards."""
    yield one_stage
    if one_stage.pipeline.description()["faults"]:
        mended = one_stage.pipeline.command("mend")
        assert mended.returncode == 0, mended.stderr


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    """Return a folder that the image's user may write to."""
    folder = tmp_path / "reports"
    folder.mkdir()
    folder.chmod(0o777)
    return folder
