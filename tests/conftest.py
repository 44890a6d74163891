"""What all tests share: the rows that they prove are put into the results."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the ids of `@pytest.mark.req` into the JUnit file, for `make requirements`."""
    for item in items:
        for marker in item.iter_markers("req"):
            item.user_properties.extend(("req", name) for name in marker.args)
