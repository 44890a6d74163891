"""The histogram of a source's lag."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from validator.lag import LagHistogram


def filled(lags: list[float]) -> LagHistogram:
    """Return a histogram of these observations."""
    histogram = LagHistogram()
    for lag in lags:
        histogram.note(lag)
    return histogram


@given(st.lists(st.floats(0.0, 500.0), min_size=20, max_size=200))
def test_a_quantile_is_no_less_than_it_says_and_at_most_a_third_more(lags: list[float]) -> None:
    """Buckets round up, by 30 % at most."""
    histogram = filled(lags)
    for share in (0.5, 0.95, 1.0):
        exact = sorted(lags)[max(0, -(-int(share * 1000) * len(lags) // 1000) - 1)]
        found = histogram.quantile(share)
        assert found is not None
        assert exact <= found <= max(exact * 1.3, 0.005) + 1e-9


def test_few_observations_are_not_believed() -> None:
    """Nineteen lags say nothing yet: the declared budget holds and no look is planned by them."""
    histogram = filled([9.0] * 19)
    assert histogram.quantile(0.5) is None
    assert histogram.looks() == ()
    assert histogram.budget(2.0) == 2.0


@pytest.mark.req("X-08")
def test_the_budget_is_never_less_than_declared_nor_more_than_thrice() -> None:
    """Fast sources get the declared time, slower ones more, within bounds."""
    assert filled([0.01] * 50).budget(2.0) == 2.0
    assert 2.9 < filled([2.5] * 50).budget(2.0) < 4.0
    assert filled([60.0] * 50).budget(2.0) == 6.0


def test_beyond_the_last_bucket_the_longest_counts() -> None:
    """An hour's lag is an hour's lag, and a negative one (clocks that differ) is none."""
    assert filled([3600.0] * 20).quantile(0.5) == 3600.0
    assert filled([-5.0] * 20).quantile(0.5) == 0.0
