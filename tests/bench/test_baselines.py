"""The baselines of 000 §8: all nine are measured, and what slows the pipeline shows in them."""

from __future__ import annotations

import re

import pytest

from bench.baselines import measured
from bench.figures import Figure

pytestmark = [pytest.mark.process, pytest.mark.slow]

TARGETS = {
    "B-1": 100,
    "B-2": 2000,
    "B-3": 200,
    "B-4": 2000,
    "B-5": 50,
    "B-6": 2500,
    "B-7": 200,
    "B-8": 30,
    "B-9": 2,
}
"""Milliseconds, by the row (000 §8)."""
BEATEN = {"B-1", "B-3", "B-4", "B-7"}
"""Where only our own code is in the way: half of the target is what is promised."""

_DELAY = 0.3


def _by_row(figures: list[Figure]) -> dict[str, Figure]:
    """Return the figures that have a target, by their row."""
    found = {}
    for figure in figures:
        target = re.search(r"^(B-\d).*\(target ([\d,]+) ms\)", figure.name)
        if target:
            assert int(target[2].replace(",", "")) == TARGETS[target[1]], figure.name
            found[target[1]] = figure
    return found


def _named(figures: list[Figure], start: str) -> float:
    (found,) = [one.value for one in figures if one.name.startswith(start)]
    return found


@pytest.mark.req(*TARGETS)
def test_every_row_is_measured_beside_its_target_and_delays_show() -> None:
    """Each figure is there with the target of its row; what inference and the site take shows."""
    plain = list(measured({}, 0.05))
    rows = _by_row(plain)
    assert set(rows) == set(TARGETS)
    for row, figure in rows.items():
        assert figure.value > 0
        assert figure.bound == TARGETS[row] / (2 if row in BEATEN else 1)
    slow = list(measured({"PIPELINE_INFERENCE_LATENCY": str(_DELAY)}, 0.05))
    for name in ("B-5 embedding 17 chunks, P50", "B-6 whole pipeline without"):
        risen = _named(slow, name) - _named(plain, name)
        assert risen > _DELAY * 500, name
    cached = "B-5 embedding 17 chunks from the cache"
    assert _named(slow, cached) < _named(slow, "B-5 embedding 17 chunks, P50") - _DELAY * 500
    for name in ("B-2 scraping", "B-6 whole pipeline"):
        apart = _named(plain, f"{name}, P50") - _named(plain, f"{name} without")
        assert 1500 < apart < 3500, name
