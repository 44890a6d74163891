"""The three promises in a team's own tests, on the embedded pipeline and the built-in collector."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.e2e.command import Stage
from tests.pytest_plugin.promises import BROKEN, failing, prepared
from tests.stack.both import embedded

pytestmark = [
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.req("X-09"),
]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Return a pipeline that exports to where the tests' collector listens."""
    with embedded(tmp_path_factory.mktemp("promises")) as found:
        (found.folder / "pipeline-failure.yaml").unlink()
        prepared(found.folder, (found.folder / "obs-validator.yaml").read_text())
        yield found


@pytest.mark.req("V-03", "V-04", "V-05")
def test_the_promises_hold_and_nothing_is_left(stage: Stage) -> None:
    """All three pass; the jobs and what they made are gone."""
    failed, said = failing(stage.folder, stage.variables)
    assert failed == set(), said
    assert _jobs(stage) == 0


@pytest.mark.req("V-03", "V-04", "V-05")
@pytest.mark.parametrize("switch", BROKEN)
def test_a_break_fails_the_test_that_should_see_it(stage: Stage, switch: str) -> None:
    """That test and no other, with an explanation; the jobs are cleaned up all the same."""
    stage.broken(switch)
    try:
        failed, said = failing(stage.folder, stage.variables)
    finally:
        stage.pipeline.command("mend")
    tests, text = BROKEN[switch]
    assert failed == tests, said
    assert text in said
    assert _jobs(stage) == 0


def _jobs(stage: Stage) -> int:
    """Return how many jobs the pipeline has."""
    with psycopg.connect(stage.pipeline.description()["servers"]["postgres"]["url"]) as database:
        row = database.execute("SELECT count(*) FROM jobs").fetchone()
    assert row is not None
    return int(row[0])
