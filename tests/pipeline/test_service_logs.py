"""Log lines: whatever fields are given, the line is written, and an error with its traceback."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

import pytest

from pipeline import logs, telemetry
from pipeline.settings import Settings

pytestmark = pytest.mark.req("P-10")


def written(write: Callable[[], None]) -> list[dict[str, Any]]:
    """Return the lines on stdout; what is set up for the process is undone."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    with redirect_stdout(io.StringIO()) as out:
        logs.configure(Settings("test", {}))
        try:
            write()
        finally:
            root.handlers[:], root.level = handlers, level
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_fields_that_logging_has_of_its_own_are_renamed() -> None:
    """It would raise, in the middle of the work."""
    (line,) = written(lambda: logs.get("test").info("said", name="a", args=1, module="b", own="c"))
    assert line["event"] == "said"
    assert (line["name_"], line["args_"], line["module_"], line["own"]) == ("a", 1, "b", "c")


def test_an_error_has_its_traceback() -> None:
    """However it is asked for, what was raised is in the line."""

    def write() -> None:
        for log in (logs.get("test"), logging.getLogger("of a library")):
            try:
                int("three")
            except ValueError:
                log.exception("failed")
        logs.get("test").error("failed", exc_info=KeyError("of ours"))
        logs.get("test").info("fine", stack_info=True)

    *failed, other, fine = written(write)
    assert all("ValueError: invalid literal" in line["exception"] for line in failed)
    assert "KeyError: 'of ours'" in other["exception"]
    assert "stack_info_" not in fine


@pytest.mark.parametrize(("protocol", "exports"), [("http/protobuf", True), ("grpc", False)])
def test_who_forks_exports_its_lines_unless_that_takes_grpc(
    protocol: str, *, exports: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child of a process that has used gRPC cannot use it."""
    for name in telemetry.DEFAULTS:
        monkeypatch.setenv(name, telemetry.DEFAULTS[name])
    env = {"OTEL_LOGS_EXPORTER": "console", "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
    found = telemetry.parents_logger(Settings("scraper-worker", env))
    assert (found is not None) == exports
    if found is not None:
        found.shutdown()


def test_an_exporter_or_a_protocol_that_nobody_knows_is_refused() -> None:
    """By its variable, and with those that there are."""
    for env, words in (
        ({"OTEL_LOGS_EXPORTER": "otpl"}, "OTEL_LOGS_EXPORTER is 'otpl': known are otlp, console"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, "protocol is 'http/json': known are grpc"),
    ):
        with pytest.raises(LookupError, match=words):
            telemetry.parents_logger(Settings("scraper-worker", env))
