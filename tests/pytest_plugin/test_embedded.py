"""The three promises in a team's own tests, on the embedded pipeline and the built-in collector."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest

from tests.e2e.command import Stage, given
from tests.pytest_plugin.promises import BROKEN, failing, prepared
from tests.stack.both import embedded

pytestmark = [
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.req("X-09"),
]


TURN = """\
import os
import psycopg
from validator.pytest_plugin import submit_job, wait_for_completion


def rows(table):
    with psycopg.connect(os.environ["DATABASE"]) as database:
        return database.execute(f"SELECT * FROM {table}").fetchall()


def test_meanwhile():
    job_id = submit_job(url="https://example.com")
    wait_for_completion(job_id)
    assert len(rows("leases")) == 1
    with psycopg.connect(os.environ["DATABASE"]) as database:
        query = "SELECT count(*) FROM jobs WHERE run_id IS NOT NULL"
        assert database.execute(query).fetchone() == (1,)


def test_afterwards():
    assert rows("leases") == rows("jobs") == []
"""


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
    assert _rows(stage) == {"jobs": 0, "leases": 0}


@pytest.mark.req("V-11")
def test_a_job_has_the_lease_and_the_mark_until_its_test_ends(stage: Stage) -> None:
    """No other validator sends a job meanwhile; the next test finds neither job nor lease."""
    (stage.folder / "test_turn.py").write_text(TURN)
    url = stage.pipeline.description()["servers"]["postgres"]["url"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "test_turn.py"],
        cwd=stage.folder,
        env=given({**stage.variables, "DATABASE": url}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    (stage.folder / "test_turn.py").unlink()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


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
    assert _rows(stage) == {"jobs": 0, "leases": 0}


def _rows(stage: Stage) -> dict[str, int]:
    """Return how many rows the pipeline has in the tables that a test must leave empty."""
    with psycopg.connect(stage.pipeline.description()["servers"]["postgres"]["url"]) as database:
        row = database.execute(
            "SELECT (SELECT count(*) FROM jobs), (SELECT count(*) FROM leases)"
        ).fetchone()
    assert row is not None
    return {"jobs": int(row[0]), "leases": int(row[1])}
