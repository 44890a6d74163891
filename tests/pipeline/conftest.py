"""One running pipeline for all process tests; switches are turned off after each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.testing import RunningPipeline

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPipeline]:
    """Return a pipeline whose spans and logs go to the console exporter."""
    found = RunningPipeline(tmp_path_factory.mktemp("pipeline") / "state")
    try:
        found.wait_until_up()
        yield found
    finally:
        found.stop()


@pytest.fixture
def whole(running: RunningPipeline) -> Iterator[RunningPipeline]:
    """Return the pipeline with all switches off, and turn them off afterwards."""
    yield running
    if running.description()["faults"]:
        mended = running.command("mend")
        assert mended.returncode == 0, mended.stderr
