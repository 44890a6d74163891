"""What all tests share: the rows that they prove are put into the results."""

from __future__ import annotations

import signal

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell has its background commands ignore Ctrl-C, and they hand that on to what they start;
    # what the tests start is to be interrupted as in the foreground.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the ids of `@pytest.mark.req` into the JUnit file, for `make requirements`."""
    for item in items:
        for marker in item.iter_markers("req"):
            item.user_properties.extend(("req", name) for name in marker.args)
