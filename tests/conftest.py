"""What all tests share: who runs where and in what order, and the rows that they prove."""

from __future__ import annotations

import signal

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell has its background commands ignore Ctrl-C, and they hand that on to what they start;
    # what the tests start is to be interrupted as in the foreground.
    signal.signal(signal.SIGINT, signal.default_int_handler)

_SHARING = {
    "tests/e2e/": ("check", "interrupt", "remote", "switches", "turns"),
    "tests/pipeline/": ("edge_nginx", "leases", "openapi", "running", "slo", "sweep", "switches"),
}
"""By folder the files whose tests share a pipeline: run by several workers, each had its own."""
_GROUPS = {
    f"{folder}test_{name}.py": folder for folder, names in _SHARING.items() for name in names
}


class _BySharing(LoadFileScheduling):  # type: ignore[misc]  # xdist ships no types
    """Gives each file to one worker, and those that share a pipeline to the same."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return _GROUPS.get(file, file)


@pytest.hookimpl(optionalhook=True)  # the tests of images run without xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> _BySharing | None:
    """Have `--dist loadfile` share pipelines."""
    return _BySharing(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest; put the ids of `@pytest.mark.req` into the JUnit file."""
    items.sort(key=_haste)
    for item in items:
        for marker in item.iter_markers("req"):
            item.user_properties.extend(("req", name) for name in marker.args)


def _haste(item: pytest.Item) -> tuple[int, str]:
    """Sort who shares a pipeline before who starts one or a command, and those before others."""
    group = _GROUPS.get(item.nodeid.partition("::")[0])
    if group:
        return 0, group
    return 1 if item.get_closest_marker("process") else 2, ""
