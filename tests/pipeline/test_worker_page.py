"""The page of metrics of a worker, whose children count in files."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import generate_latest

from pipeline import metrics


def test_the_page_of_a_worker_that_has_counted_nothing_is_not_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From an empty page nobody could tell that it is a worker's, and that it was read whole."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    assert b"python_info{" in generate_latest(metrics.of_all_processes())
