"""kill -9 of any process at any moment: no job is lost, none is doubled, each one ends.

`make soak` does it fifty times. What is killed when follows from SEED and the number of the trial.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import httpx
import psutil
import psycopg
import pytest
from redis import Redis

from pipeline.host import control
from pipeline.testing import RunningPipeline, poll_until
from pipeline.vectors import chunk_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.process, pytest.mark.req("P-12", "H-01", "P-09")]

SEED: Final = 20261128
TRIALS: Final = 50
JOBS: Final = 3
VISIBILITY: Final = 5
CHILD: Final = ":child"
VICTIMS: Final = (
    "scraper-worker",
    "orchestrator",
    "broker",
    f"embedding-worker{CHILD}",
    "postgres",
    "embedding-worker",
    f"scraper-worker{CHILD}",
    "chunking",
    "cache",
    "inference",
    "membership",
    "site",
    "scraper",
    "embedding-api",
    "search",
)
MOMENTS: Final = (
    "acknowledged",
    "scrape_started",
    "scraped",
    "document_chunked",
    "scraping",
    "chunking",
    "embedding",
    "embedded",
)
"""Lines of a log, or states of a job, that the kill follows as soon as one is seen."""
WRITERS: Final = {
    "scrape_started": "scraper-worker",
    "scraped": "scraper-worker",
    "document_chunked": "chunking",
    "embedded": "embedding-worker",
}
ORDER: Final = ["pending", "scraping", "chunking", "embedding", "done"]
MAY_FAIL: Final = {
    "site": {"unreachable", "timeout"},
    "inference": {"inference_unavailable"},
    "chunking": {"chunking_unavailable"},
}
"""Codes that a job may end with when somebody else's system, or chunking, was away."""


@dataclass(frozen=True)
class Trial:
    """One kill: of whom, and when."""

    number: int
    victim: str
    moment: str
    pages: tuple[str, ...]

    @classmethod
    def of(cls, number: int) -> Trial:
        """Return the trial of a number."""
        rng = random.Random(f"{SEED}-{number}")
        pages = tuple(rng.choice(["article", "slow?seconds=1", "flaky"]) for _ in range(JOBS))
        return cls(number, VICTIMS[number % len(VICTIMS)], rng.choice(MOMENTS), pages)

    def __str__(self) -> str:
        """Return what has to be known to do it again."""
        return f"seed {SEED}, trial {self.number}: {self.victim} at {self.moment} of {self.pages}"


class Patient:
    """A pipeline whose processes are killed, and what of it is looked at."""

    def __init__(self, state: Path) -> None:
        """Start it, with short waits and without telemetry."""
        quiet = {"OTEL_TRACES_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}
        waits = {"PIPELINE_VISIBILITY_SECONDS": str(VISIBILITY), "PIPELINE_LOST_SECONDS": "3"}
        self.pipeline = RunningPipeline(state, {**quiet, **waits})
        self.pipeline.wait_until_up()
        self.state = state

    def database(self) -> psycopg.Connection[Any]:
        """Return a connection to what the pipeline has stored."""
        url = self.pipeline.description()["servers"]["postgres"]["url"]
        return psycopg.connect(url, connect_timeout=5, autocommit=True)

    def broker(self) -> Redis:
        """Return a client of the broker."""
        return Redis.from_url(self.pipeline.description()["servers"]["broker"]["url"])

    def submit(self, page: str) -> str:
        """Submit a job until that is acknowledged; return its id."""
        job_id, key = str(uuid4()), self.pipeline.key("user")
        base = self.pipeline.description()["urls"]["article"].rsplit("/", 1)[0]
        glue = "&" if "?" in page else "?"
        body = {"url": f"{base}/{page}{glue}nonce={job_id}", "job_id": job_id}
        url = f"{self.pipeline.url('orchestrator')}/jobs"

        def acknowledged() -> bool:
            try:
                answer = self.pipeline.client.post(url, json=body, headers=key)
            except httpx.HTTPError:
                return False
            assert answer.status_code in {200, 202, 503}, answer.text
            return answer.is_success

        poll_until(acknowledged, f"the acknowledgement of {job_id}", 30)
        return job_id

    def seen(self, moment: str, jobs: list[str]) -> bool:
        """Tell whether the moment has come, or gone, for one of the jobs."""
        if moment == "acknowledged":
            return True
        if moment in WRITERS:
            path = self.state / "logs" / f"{WRITERS[moment]}.log"
            lines = path.read_text(errors="replace").splitlines()
            return any(f'"event": "{moment}"' in line and _of(line, jobs) for line in lines)
        with self.database() as found:
            rows = found.execute("SELECT status FROM jobs WHERE id = ANY(%s)", (jobs,)).fetchall()
        return any(status in {moment, "done", "failed"} for (status,) in rows)

    def kill(self, victim: str) -> None:
        """Kill a process; there may be none at the moment."""
        name, _, of_child = victim.partition(":")
        status = control.ask(self.state, {"op": "status"})["processes"]
        pid = status[name]["pid"]
        if not of_child:
            os.kill(pid, signal.SIGKILL)
            return
        for child in psutil.Process(pid).children():
            child.kill()

    def healthy(self) -> bool:
        """Tell whether everything runs again."""
        processes = control.ask(self.state, {"op": "status"})["processes"]
        return all(process["state"] == "healthy" for process in processes.values())


def _of(line: str, jobs: list[str]) -> bool:
    return any(job in line for job in jobs)


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patient]:
    """Return a pipeline for all the trials of this file."""
    found = Patient(tmp_path_factory.mktemp("kills") / "state")
    yield found
    assert found.pipeline.stop() == 0


@pytest.mark.parametrize("number", range(5))
@pytest.mark.timeout(180)
def test_no_job_is_lost_or_doubled(patient: Patient, number: int) -> None:
    """A few of the trials, for every change."""
    survives(patient, Trial.of(number))


@pytest.mark.soak
@pytest.mark.parametrize("number", range(5, TRIALS))
@pytest.mark.timeout(180)
def test_no_job_is_lost_or_doubled_in_the_long_run(patient: Patient, number: int) -> None:
    """The rest of them: each process several times, at moments of all sorts."""
    survives(patient, Trial.of(number))


def survives(patient: Patient, trial: Trial) -> None:
    """Kill in the middle of some jobs, and look at what has become of each."""
    jobs = [patient.submit(page) for page in trial.pages]
    poll_until(lambda: patient.seen(trial.moment, jobs), f"{trial.moment} ({trial})", 60)
    patient.kill(trial.victim)
    poll_until(lambda: _ended(patient, jobs), f"the end of every job ({trial})", 60)
    poll_until(patient.healthy, f"a healthy pipeline ({trial})", 30)
    with patient.broker() as broker:
        left = ("scrape", "embed", "unacked", "unacked_index", "dead:scrape", "dead:embed")
        poll_until(lambda: not broker.exists(*left), f"empty queues ({trial})", 30)
    with patient.database() as found:
        for job_id in jobs:
            _whole(found, job_id, trial)


def _ended(patient: Patient, jobs: list[str]) -> bool:
    try:
        with patient.database() as found:
            rows = found.execute("SELECT status FROM jobs WHERE id = ANY(%s)", (jobs,)).fetchall()
    except psycopg.OperationalError:
        return False
    assert len(rows) == len(jobs)
    return all(status in {"done", "failed"} for (status,) in rows)


def _whole(found: psycopg.Connection[Any], job_id: str, trial: Trial) -> None:
    """Hold a job's row, history, document and vectors against each other."""
    row = found.execute(
        "SELECT status, failed_stage, error, history, chunks FROM jobs"
        " LEFT JOIN documents ON job_id = id WHERE id = %s",
        (job_id,),
    ).fetchone()
    assert row, f"{trial}: {job_id} is lost"
    status, failed_stage, error, history, chunks = row
    states = [entry["status"] for entry in history]
    vectors = [
        name
        for (name,) in found.execute(
            "SELECT id FROM vectors WHERE job_id = %s ORDER BY id", (job_id,)
        ).fetchall()
    ]
    said = f"{trial}: {job_id} {states} {error}"
    if status == "failed":
        assert error["code"] in MAY_FAIL.get(trial.victim, set()), said
        assert states == [*ORDER[: len(states) - 1], "failed"], said
        assert failed_stage == error["stage"], said
        assert not vectors, said
        return
    assert states == ORDER, said
    assert vectors == [chunk_id(job_id, at) for at in range(chunks)], said
    assert 16 <= chunks <= 18, said


def test_what_ends_is_started_again_and_told(patient: Patient) -> None:
    """On the same port with a new id, which pipeline.json has; `up` says so, `status` counts it."""
    before = patient.pipeline.description()["services"]["search"]
    restarts = _restarts(patient, "search")
    os.kill(before["pid"], signal.SIGKILL)
    after = poll_until(lambda: _changed(patient, "search", before["pid"]), "another process", 10)
    poll_until(patient.healthy, "a healthy pipeline", 20)
    assert (after["url"], after["instance"]) == (before["url"], f"search-{after['pid']}")
    assert patient.pipeline.client.get(f"{after['url']}/health").json()["service"] == "search"
    assert _restarts(patient, "search") == restarts + 1
    said = patient.pipeline.said()
    assert "search was ended by SIGKILL, is started again in 0." in said
    assert "search started again after 0." in said
    shown = patient.pipeline.command("status").stdout
    assert f"restarts {restarts + 1}" in next(
        line for line in shown.splitlines() if line.startswith("search ")
    )


def test_what_is_stopped_stays_down_until_it_is_started(patient: Patient) -> None:
    """Drills take a process away; nothing brings it back but `start`."""
    stopped = patient.pipeline.command("stop", "membership", "inference", "--kill")
    assert (stopped.returncode, stopped.stdout) == (0, "stopped: membership, inference\n")
    status = patient.pipeline.command("status", "--json")
    assert status.returncode == 1
    found = json.loads(status.stdout)["processes"]
    assert {found[name]["state"] for name in ("membership", "inference")} == {"stopped"}
    # What happens to others does not bring it back: the supervisor looks at all of them.
    restarts = _restarts(patient, "site")
    patient.kill("site")
    poll_until(lambda: _restarts(patient, "site") == restarts + 1, "the site started again", 10)
    assert _state(patient, "membership") == "stopped"
    started = patient.pipeline.command("start", "membership", "inference")
    assert started.returncode == 0
    assert started.stdout.startswith("started: membership, inference (after ")
    poll_until(patient.healthy, "a healthy pipeline", 20)
    unknown = patient.pipeline.command("stop", "nobody")
    assert unknown.returncode == 1
    assert "no process is called 'nobody': known are" in unknown.stderr


def _state(patient: Patient, name: str) -> str:
    return str(control.ask(patient.state, {"op": "status"})["processes"][name]["state"])


def _restarts(patient: Patient, name: str) -> int:
    return int(control.ask(patient.state, {"op": "status"})["processes"][name]["restarts"])


def _changed(patient: Patient, name: str, pid: int) -> dict[str, Any] | None:
    found: dict[str, Any] = patient.pipeline.description()["services"][name]
    return found if found["pid"] != pid else None


@pytest.mark.slow
def test_without_restarts_what_ends_stays_down(tmp_path: Path) -> None:
    """As whoever looks into the end of a process wants it."""
    state = tmp_path / "state"
    command = [sys.executable, "-m", "pipeline", "up", "--detach", "--no-restart"]
    subprocess.run([*command, "--state-dir", str(state)], check=True, timeout=60)
    try:
        pid = json.loads((state / "pipeline.json").read_text())["services"]["search"]["pid"]
        os.kill(pid, signal.SIGKILL)

        def down() -> bool:
            status = control.ask(state, {"op": "status"})["processes"]["search"]
            return bool(status["state"] == "ended" and status["restart_in"] is None)

        poll_until(down, "the end of search")
        log, told = state / "supervisor.log", "search was ended by SIGKILL\n"
        poll_until(lambda: told in log.read_text(), "a word of it in the log")
    finally:
        control.ask(state, {"op": "down"})
        control.wait_until_free(state)
