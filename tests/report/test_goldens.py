"""Promises of the texts: each format says exactly this of the sample runs."""

from __future__ import annotations

import pytest

from tests.report.goldens import GOLDENS, HERE, rendered


@pytest.mark.parametrize("name", sorted(GOLDENS))
def test_a_format_says_exactly_this(name: str) -> None:
    """The text is the golden file, to the letter."""
    assert rendered(name) == (HERE / name).read_text(encoding="utf-8")


def test_no_golden_file_is_forgotten() -> None:
    """Every file in the folder is one that a test reads."""
    assert {path.name for path in HERE.iterdir()} == set(GOLDENS)
