"""The real backends give the verdicts that the built-in collector gives, one by one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.command import Stage
from tests.stack.both import Real, embedded, real
from validator.demo import BREAKS, GOOD, Break, judge_break

pytestmark = [pytest.mark.stack, pytest.mark.process, pytest.mark.timeout(1800)]
NEEDED = ("prometheus", "loki")
STORES = ("tempo", "jaeger")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    """Return the stack, with a backend for every signal that the suites read."""
    with real(tmp_path_factory.mktemp("stack")) as found:
        for name in NEEDED:
            assert name in found.up.servers, f"{name}: {found.up.missing[name]}"
        assert set(STORES) & set(found.up.servers), found.up.missing
        yield found


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Return a pipeline that exports to the built-in collector."""
    with embedded(tmp_path_factory.mktemp("embedded")) as found:
        yield found


@pytest.mark.parametrize("broken", [GOOD, *BREAKS], ids=lambda b: " ".join(b.switches) or "good")
def test_verdicts_and_reasons_are_the_same(stack: Real, stage: Stage, broken: Break) -> None:
    """Status and reason code of every check, in the good case and in every break of the demo."""
    stack.broken(*broken.switches)
    if broken.switches:
        stage.broken(*broken.switches)
    code = 1 if broken.caught_by else 0
    asked, collected = stack.check(), stage.check(code=code)
    assert collected.verdicts()
    assert asked.verdicts() == collected.verdicts(), asked.said.out
    assert asked.said.code == code, asked.said
    assert judge_break(broken, asked.runs) == ()
