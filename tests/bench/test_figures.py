"""Figures and their bounds."""

from __future__ import annotations

import math

import pytest

from bench.figures import Figure, markdown, percentile, table
from bench.scale import growth


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([3.0, 1.0, 2.0], 0.5, 2.0),
        ([float(n) for n in range(1, 201)], 0.95, 190.0),
        ([float(n) for n in range(1, 201)], 1.0, 200.0),
        ([7.0], 0.95, 7.0),
    ],
)
def test_a_percentile_is_a_value_that_was_measured(
    values: list[float], share: float, expected: float
) -> None:
    """It is the smallest one that so many values do not exceed: nothing is interpolated."""
    assert percentile(values, share) == expected


def test_a_percentile_of_nothing_is_no_number() -> None:
    """Where nothing was measured no figure can hold."""
    value = percentile([], 0.95)
    assert math.isnan(value)
    assert not Figure("lag", value, "ms", "", bound=100).holds


def test_a_figure_holds_within_both_bounds() -> None:
    """A figure that is suspiciously small fails as well as one that is too large."""
    verdicts = [Figure("rise", v, "ms", "", bound=400, least=180).holds for v in (1, 200, 500)]
    assert verdicts == [False, True, False]


def test_the_table_says_what_fails() -> None:
    """Each figure has its value, its bound, whether it holds, and how it was measured."""
    figures = [
        Figure("lag", 120.4, "ms", "200 runs", bound=100),
        Figure("requests", 7.5, "", "of one run"),
    ]
    assert table(figures).splitlines() == [
        "FAILS     120 ms  at most 100                lag",
        "                    200 runs",
        "             7.5                             requests",
        "                    of one run",
    ]
    assert "| lag | 120 ms | at most 100 | **no** |" in markdown(figures)


def test_growth_tells_quadratic_from_linear() -> None:
    """Tenfold time for tenfold size is a growth of ten; what is too short to tell is left out."""
    assert growth([0.1, 1.0, 10.0]) == pytest.approx(10)
    assert growth([0.1, 10.0]) == pytest.approx(100)
    assert growth([0.00001, 0.002, 0.02]) == pytest.approx(10)
