"""The image of the reference pipeline, which a compose file puts beside the validator."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from tests.container.engine import Engine, Told

pytestmark = pytest.mark.skipif(
    "PIPELINE_IMAGE" not in os.environ, reason="PIPELINE_IMAGE names no image of the pipeline"
)


def test_the_pipeline_comes_up_and_ends_in_order(engine: Engine, tell: Told) -> None:
    """Read-only but for /tmp, without rights, as nobody: all healthy, and SIGTERM ends it."""
    pipeline = replace(engine, image=os.environ["PIPELINE_IMAGE"])
    with pipeline.running(options=["--tmpfs", "/tmp"]) as running:  # noqa: S108 - of the container
        running.wait_for("pipeline is up", 90)
        well, why = running.healthy()
        assert well, why
        running.signal("TERM")
        end = running.ended(30)
    tell(
        f"the pipeline's image: {end.out.splitlines()[0]}; ended {end.seconds:.1f} s after SIGTERM"
    )
    assert end.code == 0
    assert end.seconds < 10
