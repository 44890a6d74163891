"""What all tests share: the rows that they prove are put into the results."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell has its background commands ignore Ctrl-C, and they hand that on to what they start;
    # what the tests start is to be interrupted as in the foreground.
    signal.signal(signal.SIGINT, signal.default_int_handler)

_TRACED = "COVERAGE_PROCESS_CONFIG"
"""By this variable coverage.py begins in each process that is started."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Have what a test marked `untraced` starts run without the measurement of its coverage."""
    traced = os.environ.pop(_TRACED, None) if item.get_closest_marker("untraced") else None
    try:
        return (yield)
    finally:
        if traced is not None:
            os.environ[_TRACED] = traced


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the ids of `@pytest.mark.req` into the JUnit file, for `make requirements`."""
    for item in items:
        for marker in item.iter_markers("req"):
            item.user_properties.extend(("req", name) for name in marker.args)
