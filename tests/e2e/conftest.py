"""One pipeline for all tests of a worker; switches are turned off after each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline.testing import RunningPipeline
from tests.e2e.command import OTLP, Checked, Stage, free_port


@pytest.fixture(scope="session")
def one_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Return a pipeline that exports over OTLP to the port where the commands listen."""
    folder, port = tmp_path_factory.mktemp("e2e"), free_port()
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
    pipeline = RunningPipeline(folder / "state", {**OTLP, **endpoint})
    try:
        pipeline.wait_until_up()
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


@pytest.fixture(scope="session")
def good(one_stage: Stage) -> Checked:
    """Return a `check` of the whole pipeline with all its reports."""
    outputs = [x for name in ("r.html", "r.xml", "r.md", "r.txt") for x in ("-o", name)]
    return one_stage.check(*outputs, code=0)
