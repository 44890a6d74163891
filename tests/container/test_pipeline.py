"""The image of the reference pipeline, which a compose file puts beside the validator."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from tests.container.engine import Engine, Told

pytestmark = pytest.mark.skipif(
    "PIPELINE_IMAGE" not in os.environ, reason="PIPELINE_IMAGE names no image of the pipeline"
)


_SHIPPED = "/usr/share/obs-validator/suites/obs-validator.yaml"


def _pipeline(engine: Engine) -> Engine:
    """Return what runs the pipeline's image, in a network of its own that leads nowhere."""
    return replace(engine, image=os.environ["PIPELINE_IMAGE"], network="none")


def test_the_pipeline_comes_up_and_ends_in_order(engine: Engine, tell: Told) -> None:
    """Read-only but for its state, without rights, as nobody: all healthy, and SIGTERM ends it."""
    pipeline = _pipeline(engine)
    with pipeline.running(options=["--tmpfs", "/var/lib/pipeline"]) as running:
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


def test_the_validator_beside_it_passes(engine: Engine, tell: Told) -> None:
    """In the pipeline's network, by the suites that the image carries; nothing is mounted."""
    sends = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
    options = [*engine.options({}, sends), "--tmpfs", "/var/lib/pipeline"]
    with _pipeline(engine).running(options=options) as running:
        running.wait_for("pipeline is up", 90)
        said = engine.call("exec", running.name, "cat", "/var/lib/pipeline/state/pipeline.env")
        variables = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
        beside = replace(engine, network=f"container:{running.name}")
        end = beside.to_end(
            "check", "pipeline", "-c", _SHIPPED, options=engine.options({}, variables)
        )
    assert end.code == 0, end.out + end.err
    assert "4 passed in 1 run" in end.out
    tell(f"`check` in the pipeline's network took {end.seconds:.1f} s")
