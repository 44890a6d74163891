"""A small target for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pytest_plugin.target import Bench, bench


@pytest.fixture
def users(tmp_path: Path) -> Iterator[Bench]:
    """Return a folder where a user has tests, and the target that they are about."""
    with bench(tmp_path) as made:
        yield made
