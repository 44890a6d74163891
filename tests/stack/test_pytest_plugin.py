"""The three promises in a team's own tests, read from the real backends."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.e2e.command import ROOT
from tests.pytest_plugin.promises import BROKEN, failing, prepared
from tests.stack.both import Real, real

pytestmark = [
    pytest.mark.stack,
    pytest.mark.process,
    pytest.mark.timeout(1800),
    pytest.mark.req("X-09"),
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    """Return the stack, with the tests in a folder of their own."""
    with real(tmp_path_factory.mktemp("promises")) as found:
        shutil.copy(ROOT / "suites" / "pipeline.yaml", found.folder)
        config = (ROOT / "stack" / "obs-validator.yaml").read_text()
        suites = '"${STACK_SUITES:-../suites}/pipeline*.yaml"'
        assert suites in config
        prepared(found.folder, config.replace(suites, "pipeline.yaml"))
        yield found


@pytest.mark.req("V-03", "V-04", "V-05")
@pytest.mark.parametrize("switch", ["", *BROKEN], ids=lambda name: name or "good")
def test_the_promises_are_proven_and_broken(stack: Real, switch: str) -> None:
    """All pass on what is good; a break fails the test that should see it, and no other."""
    stack.broken(*filter(None, [switch]))
    try:
        failed, said = failing(stack.folder, stack.up.variables)
    finally:
        stack.broken()
    tests, text = BROKEN[switch] if switch else (set[str](), "3 passed")
    assert failed == tests, said
    assert text in said
