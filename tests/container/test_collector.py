"""The collector in the image: its health, its end, and a `check` in another container."""

from __future__ import annotations

from tests.container.engine import Engine, Told
from tests.e2e.command import free_port


def test_a_collector_is_well_as_long_as_it_answers(engine: Engine, tell: Told) -> None:
    """What the image declares as its health check is true; SIGTERM ends it with code 0."""
    port = str(free_port())
    given = ("collector", "--host", "0.0.0.0", "--http-port", port, "--grpc-port", "-1")  # noqa: S104
    with engine.running(*given) as collector:
        collector.wait_for("OTLP/HTTP and read API")
        assert collector.healthy() == (True, "")
        collector.signal("STOP")
        well, why = collector.healthy()
        assert not well
        assert "does not run" in why
        collector.signal("CONT")
        assert collector.healthy() == (True, "")
        collector.signal("TERM")
        end = collector.ended(30)
    tell(f"the collector ended {end.seconds:.1f} s after SIGTERM (at most 10)")
    assert end.code == 0
    assert end.seconds < 10
