"""Two validators on one pipeline: they take turns, and a dead one holds nobody up for long."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.e2e.command import Checked, Running, Stage

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.req("V-11")]
TTL = 4.0
LONG = """\
suite: long
ring: 2
target: pipeline
job: {page: /article}
deadline: 60s
settle: 60s
checks:
  - span_attributes: {spans: {service: scraper, name: scrape_task}, require: [job.id]}
    catches: a test of who dies while having the lease
"""


@pytest.fixture(scope="module")
def collector(one_stage: Stage, good: Checked) -> Iterator[Running]:
    """Have a collector where the pipeline sends to, for both."""
    del good  # it listens on that port while it runs
    port = str(one_stage.port)
    args = ("collector", "--http-port", port, "--grpc-port", "-1")
    with one_stage.running("shared", *args) as found:
        found.wait_for("OTLP/HTTP and read API")
        yield found


@pytest.fixture
def remote(stage: Stage, collector: Running) -> str:
    """Return a configuration whose lease lasts for some seconds."""
    del collector
    text = (stage.folder / "remote.yaml").read_text()
    assert text.count("      holder: holder\n") == 1
    timed = f"      holder: holder\n      ttl: {TTL:g}s\n      every: 100ms\n"
    (stage.folder / "turns.yaml").write_text(text.replace("      holder: holder\n", timed))
    return "turns.yaml"


def at_work(stage: Stage) -> frozenset[str]:
    """Return the runs that have a job in the pipeline at this moment."""
    url = stage.pipeline.description()["servers"]["postgres"]["url"]
    with psycopg.connect(url) as database:
        rows = database.execute("SELECT run_id FROM jobs WHERE traffic = 'synthetic'").fetchall()
    return frozenset(str(row[0]) for row in rows)


def report(path: Path) -> dict[str, list[dict[str, str]]]:
    """Return a report."""
    found: dict[str, list[dict[str, str]]] = json.loads(path.read_text())
    return found


def test_two_checks_at_once_take_turns(stage: Stage, remote: str) -> None:
    """Both pass; at no time are jobs of both there, and their runs do not overlap.

    A check has two suites at once: what they do to metrics does not touch.
    """
    seen: set[frozenset[str]] = set()
    with (
        stage.running("one", "check", "-c", remote, "-o", "one.json") as one,
        stage.running("two", "check", "-c", remote, "-o", "two.json") as two,
    ):
        deadline = time.monotonic() + 90
        while one.process.poll() is None or two.process.poll() is None:
            assert time.monotonic() < deadline, one.said() + two.said()
            seen.add(at_work(stage))
        said = one.ended(), two.ended()
    assert [each.code for each in said] == [0, 0], said
    assert sum("waiting  for the lease of `pipeline`" in each.out for each in said) >= 1
    ours, theirs = (
        {run["id"]: (float(run["started"]), float(run["finished"])) for run in found["runs"]}
        for found in (report(stage.folder / f"{name}.json") for name in ("one", "two"))
    )
    assert len(ours) == len(theirs) == 2
    assert any(runs & ours.keys() for runs in seen)
    assert any(runs & theirs.keys() for runs in seen)
    assert not any(runs & ours.keys() and runs & theirs.keys() for runs in seen)
    for begun, ended in ours.values():
        assert all(end <= begun or ended <= begin for begin, end in theirs.values())


@contextmanager
def _begun(check: Running) -> Iterator[None]:
    """Go on when it has sent its job."""
    check.wait_for("submitted")
    yield


def test_a_killed_check_holds_the_next_up_for_its_time_and_no_longer(
    stage: Stage, remote: str
) -> None:
    """Killed with -9 in mid-run: the next waits for what was left of its time, and passes."""
    (stage.folder / "a-long.yaml").write_text(LONG)
    with (
        stage.running("dead", "check", "a-long.yaml", "-c", remote) as dead,
        _begun(dead),
        stage.running("next", "check", "pipeline", "-c", remote, "-o", "next.json") as after,
    ):
        after.wait_for("waiting  for the lease of `pipeline`", 60)
        dead.wait_for("ended")
        dead.process.send_signal(signal.SIGKILL)
        dead.process.wait(10)
        killed = time.monotonic()
        after.wait_for("submitted")
        waited = time.monotonic() - killed
        said = after.ended()
    assert said.code == 0, said
    assert waited < TTL + 6  # and what a busy machine takes to begin
    (run,) = report(stage.folder / "next.json")["runs"]
    leftover = at_work(stage)
    assert len(leftover - {run["id"]}) == 1
    url = f"{stage.pipeline.url('orchestrator')}/synthetic?older_than=0"
    swept = stage.pipeline.client.delete(url, headers=stage.pipeline.key("validator")).json()
    assert swept["removed"]["jobs"] == 1
    assert at_work(stage) == frozenset()


def test_who_cannot_have_a_turn_says_who_has_it(stage: Stage, remote: str) -> None:
    """Inconclusive and not failed: exit code 3, no job, and the other's name."""
    short = (stage.folder / remote).read_text().replace("every: 100ms", "wait: 300ms")
    (stage.folder / "short.yaml").write_text(short)
    lease = f"{stage.pipeline.url('orchestrator')}/lease"
    key, body = stage.pipeline.key("validator"), {"holder": "val-b", "ttl_seconds": 60}
    assert stage.pipeline.client.put(lease, json=body, headers=key).is_success
    try:
        done = stage.check("pipeline", "-c", "short.yaml", code=3)
    finally:
        assert stage.pipeline.client.delete(f"{lease}?holder=val-b", headers=key).is_success
    assert done.verdicts()["pipeline", "job_outcome"] == ("inconclusive", "not_submitted")
    assert {status for status, _ in done.verdicts().values()} == {"inconclusive", "blocked"}
    assert "val-b has the lease of `pipeline`" in done.said.out


def test_the_command_sweeps(stage: Stage, good: Checked) -> None:
    """`sweep` says what was removed; a target that has none is a mistake."""
    del good
    said = stage.run("sweep", code=0)
    assert said.out.startswith('pipeline: {"older_than":900')
    assert "there is no target `pipelin`" in stage.run("sweep", "pipelin", code=2).err
