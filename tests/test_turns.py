"""Beside production: turns, the rate, the sweep; and what is said of a run that was not made."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from checks import CHECKS
from tests.submit.server import Server
from tests.test_app import Watching
from validator.app import App, Existing
from validator.config import load_settings
from validator.evidence_io import load_runs, save_run
from validator.judge import Judge
from validator.judging import verdicts_of_record
from validator.model import JobState, Run, Status
from validator.report import FORMATS, exit_code
from validator.suite import CheckSpec, Suite

pytestmark = pytest.mark.req("V-11")

_CONFIG = """\
targets:
  api:
    submit:
      http:
        url: "{url}/jobs"
        job_id: id
        clean_up: {{method: DELETE, url: "{url}/runs/{{{{ run.id }}}}"}}
        sweep: {{method: DELETE, url: "{url}/old"}}
    lease:
      acquire: {{method: PUT, url: "{url}/lease/{{{{ lease.holder }}}}"}}
      release: {{method: DELETE, url: "{url}/lease/{{{{ lease.holder }}}}"}}
      holder: holder
      {lease}
    {more}
sources:
  pages: {{type: scrape, lag_budget: 100ms, pages: {{api: "{url}/metrics"}}}}
suites: [x.yaml]
"""
_PAGE = """\
# TYPE work_seconds histogram
work_seconds_count{{operation="write",traffic="synthetic"}} {count}
work_seconds_sum{{operation="write",traffic="synthetic"}} {count}
work_seconds_bucket{{operation="write",traffic="synthetic",le="+Inf"}} {count}
"""


@dataclass
class Api:
    """A target with a lease; `log` is what was asked of it, `on` what a test does at a request."""

    holder: str = ""
    jobs: int = 0
    sweep_status: int = 200
    log: list[str] = field(default_factory=list)
    on: dict[str, Callable[[], None]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer a request."""
        kind = handler.path.split("/")[1]
        with self.lock:
            self.log.append(f"{handler.command} {kind}")
            status, body = self._answer(handler, kind)
        self.on.get(f"{handler.command} {kind}", lambda: None)()
        data = body.encode()
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(data)))
        handler.send_header("Content-Type", "text/plain; version=0.0.4")
        handler.end_headers()
        handler.wfile.write(data)

    def _answer(self, handler: BaseHTTPRequestHandler, kind: str) -> tuple[int, str]:
        name = handler.path.rpartition("/")[2]
        if kind == "lease":
            if self.holder not in ("", name):
                return 409, json.dumps({"holder": self.holder})
            self.holder = name if handler.command == "PUT" else ""
            return 200, "{}"
        if kind == "metrics":
            return 200, _PAGE.format(count=self.jobs)
        if kind == "jobs":
            self.jobs += 1
        return (self.sweep_status if kind == "old" else 200), '{"id": "j"}'

    def acts(self) -> list[str]:
        """Return what was asked, less what is only read: a last look may come late."""
        return [line for line in self.log if line != "GET metrics"]

    def asked(self, *wanted: str) -> list[str]:
        """Return the requests of these kinds, in order."""
        return [line for line in self.log if line.split()[1] in wanted]


@pytest.fixture
def api() -> Iterator[tuple[Api, str]]:
    """Have a target, and its address."""
    found = Api()
    server = Server([found])
    try:
        yield found, server.url
    finally:
        server.close()


def app(folder: Path, url: str, lease: str = "every: 20ms", more: str = "") -> App:
    """Return an app of this target; each is a validator of its own."""
    path = folder / "obs-validator.yaml"
    path.write_text(_CONFIG.format(url=url, lease=lease, more=more))
    return App(load_settings(path, {}))


def suite(name: str, *, concurrent: bool = False) -> Suite:
    """Return a suite that looks at a metric."""
    params = {"metric": "work_seconds", "label": "operation", "values": ["write"]}
    spec = CheckSpec("metric_labels", "labels", params, "a test", "required", "s.yaml:1")
    return Suite(name, 2, "api", {}, 30.0, 0.05, 0.05, concurrent, (spec,), "s.yaml")


def statuses(run: Run) -> dict[str, tuple[Status, str]]:
    """Return status and code of each verdict."""
    return {verdict.name: (verdict.status, verdict.code) for verdict in run.verdicts}


def test_a_run_is_made_under_the_lease_from_baseline_to_clean_up(
    api: tuple[Api, str], tmp_path: Path
) -> None:
    """Nothing of it is asked before it is ours, and nothing after it was given back."""
    target, url = api
    with app(tmp_path, url) as made:
        (run,) = made.check([suite("a")], Watching())
    assert statuses(run)["labels"] == (Status.PASS, "ok")
    assert target.acts()[:2] == ["PUT lease", "DELETE old"]
    assert target.asked("runs", "lease")[-2:] == ["DELETE runs", "DELETE lease"]
    assert target.acts()[-1] == "DELETE lease"
    assert target.asked("metrics", "jobs")[:2] == ["GET metrics", "POST jobs"]
    assert target.holder == ""
    assert run.findings == ()


def test_two_validators_take_turns(api: tuple[Api, str], tmp_path: Path) -> None:
    """However they come, between a lease and its end there is one job, cleaned up."""
    target, url = api
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    found: list[tuple[Run, ...]] = []

    def validator(folder: Path) -> None:
        with app(folder, url) as made:
            found.append(made.check([suite("one"), suite("two")], Watching()))

    threads = [threading.Thread(target=validator, args=(folder,)) for folder in folders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    runs = [run for runs in found for run in runs]
    assert [statuses(run)["labels"][0] for run in runs] == [Status.PASS] * 4
    turns = target.asked("jobs", "runs")
    assert turns == ["POST jobs", "DELETE runs"] * 4


def test_suites_at_once_share_the_lease(api: tuple[Api, str], tmp_path: Path) -> None:
    """A process does not wait for itself."""
    target, url = api
    with app(tmp_path, url) as made:
        runs = made.check([suite("a"), suite("b", concurrent=True)], Watching())
    assert {run.evidence.job.state for run in runs} == {JobState.PASSED}
    assert target.holder == ""
    assert target.asked("old") == ["DELETE old"]


def test_a_run_that_another_validator_kept_from_beginning_is_inconclusive(
    api: tuple[Api, str], tmp_path: Path
) -> None:
    """No job is sent; one verdict says who had the lease, the rest is blocked; the code is 3."""
    target, url = api
    target.holder = "val-b"
    watching = Watching()
    with app(tmp_path, url, "wait: 100ms") as made:
        (run,) = made.check([suite("a")], watching)
    assert target.asked("jobs", "metrics", "runs", "old") == []
    assert target.holder == "val-b"
    assert statuses(run) == {
        "job_outcome": (Status.INCONCLUSIVE, "not_submitted"),
        "labels": (Status.BLOCKED, "blocked"),
    }
    assert "val-b has the lease of `api`" in run.verdicts[0].summary
    assert exit_code([run]) == 3
    assert ("a", "waiting") in watching.events
    assert watching.runs == [run]
    for render in FORMATS.values():
        assert "val-b has the lease" in render([run])
    save_run(run, tmp_path / "kept")
    (again,) = load_runs(tmp_path / "kept")
    judged = verdicts_of_record(Judge(CHECKS, suite("a").checks), again.evidence)
    assert judged == run.verdicts


def test_what_metrics_showed_does_not_count_when_the_lease_was_lost(
    api: tuple[Api, str], tmp_path: Path
) -> None:
    """Another validator's job may be in them: a pass would be its, and not ours."""
    target, url = api

    def steal() -> None:
        target.holder = "thief"

    target.on["DELETE runs"] = steal
    with app(tmp_path, url) as made:
        (run,) = made.check([suite("a")], Watching())
    assert statuses(run)["labels"] == (Status.INCONCLUSIVE, "source_unreachable")
    assert statuses(run)["job_outcome"][0] is Status.PASS
    assert run.findings == ("the lease of `api` was not ours any more at the end",)
    assert exit_code([run]) == 3
    assert target.holder == "thief"


def test_a_run_that_loses_its_lease_ends_early_and_is_cleaned_up(
    api: tuple[Api, str], tmp_path: Path
) -> None:
    """It does not go on at the other's cost."""
    target, url = api
    over = threading.Event()

    def steal() -> None:
        target.holder = "thief"
        over.wait(20)

    target.on["POST jobs"] = steal
    try:
        with app(tmp_path, url, "ttl: 3s") as made:
            (run,) = made.check([suite("a")], Watching())
    finally:
        over.set()
    assert run.interrupted
    assert run.findings == ("thief has the lease of `api` in mid-run",)
    assert exit_code([run]) == 3
    assert target.acts()[-1] == "DELETE runs"


def test_an_interrupt_ends_the_waiting(api: tuple[Api, str], tmp_path: Path) -> None:
    """Nothing was begun, nothing is sent, and nobody takes it for a whole check."""
    target, url = api
    target.holder = "val-b"

    class Pressing(Watching):
        def on_event(self, run_id: str, suite: str, event: str, detail: str) -> None:
            super().on_event(run_id, suite, event, detail)
            if event == "waiting":
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    with app(tmp_path, url) as made:
        runs = made.check([suite("a"), suite("b")], Pressing())
    assert set(target.log) == {"PUT lease"}
    assert [(run.suite, run.interrupted) for run in runs] == [("a", True), ("b", True)]
    assert exit_code(runs) == 3


def test_an_interrupt_in_mid_run_gives_the_lease_back(api: tuple[Api, str], tmp_path: Path) -> None:
    """Cleaned up first, then the other's turn."""
    target, url = api
    over = threading.Event()

    def press() -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        over.wait(20)

    target.on["POST jobs"] = press
    try:
        with app(tmp_path, url) as made:
            (run,) = made.check([suite("a")], Watching())
    finally:
        over.set()
    assert run.interrupted
    assert target.asked("runs", "lease")[-2:] == ["DELETE runs", "DELETE lease"]
    assert target.acts()[-1] == "DELETE lease"
    assert target.holder == ""


def test_an_interrupt_does_not_wait_for_a_target_that_hangs(
    api: tuple[Api, str], tmp_path: Path
) -> None:
    """Neither for cleaning up nor for the lease: together within the 10 s that Docker waits."""
    target, url = api
    over = threading.Event()

    def press() -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        hang()

    def hang() -> None:
        over.wait(30)

    target.on["POST jobs"] = press
    for hanging in ("DELETE runs", "DELETE lease"):
        target.on[hanging] = hang
    try:
        with app(tmp_path, url) as made:
            began = time.monotonic()
            (run,) = made.check([suite("a")], Watching())
    finally:
        over.set()
    assert time.monotonic() - began < 9
    assert run.interrupted
    assert any("cleaning up failed" in finding for finding in run.findings)
    assert any("the lease could not be given back" in finding for finding in run.findings)


def test_no_more_jobs_are_sent_than_the_rate_allows(api: tuple[Api, str], tmp_path: Path) -> None:
    """The third of two a second waits, and says so; it does not hold the lease meanwhile."""
    target, url = api
    watching = Watching()
    with app(tmp_path, url, more="rate_limit: 2/s") as made:
        runs = made.check([suite(name) for name in "abcde"], watching)
    assert {run.evidence.job.state for run in runs} == {JobState.PASSED}
    assert runs[-1].started - runs[0].started > 1.5  # two, a second, two, a second, one
    assert ("c", "waiting") in watching.events
    assert ("a", "waiting") not in watching.events
    assert len(target.asked("jobs")) == 5


def test_a_sweep_that_fails_is_a_finding(api: tuple[Api, str], tmp_path: Path) -> None:
    """It is told once, and decides nothing."""
    target, url = api
    target.sweep_status = 500
    with app(tmp_path, url) as made:
        first, second = made.check([suite("a"), suite("b")], Watching())
    assert "sweeping failed" in first.findings[0]
    assert second.findings == ()
    assert exit_code([first, second]) == 0


def test_a_job_that_is_there_already_needs_no_turn(api: tuple[Api, str], tmp_path: Path) -> None:
    """Nothing is sent, so nothing is asked for."""
    target, url = api
    target.holder = "val-b"
    with app(tmp_path, url, more="rate_limit: 1/h") as made:
        for _ in range(2):
            made.check([suite("a")], Watching(), Existing("j", ""))
    assert target.asked("lease", "old", "jobs") == []


def test_a_second_look_is_told_once_more_and_needs_no_lease(
    api: tuple[Api, str], tmp_path: Path
) -> None:
    """The run is told of after its turn, and again after the look; the lease was given back."""
    target, url = api
    watching = Watching()
    with app(tmp_path, url) as made:
        (run,) = made.check([suite("a")], watching, second_look=0.05)
    assert run.second_look is not None
    assert watching.runs[-1] == run
    assert [one.second_look is None for one in watching.runs] == [True, False]
    assert target.asked("lease") == ["PUT lease", "DELETE lease"]


def test_a_run_that_lost_its_lease_is_not_looked_at_again(
    api: tuple[Api, str], tmp_path: Path
) -> None:
    """That would judge the samples that were dropped."""
    target, url = api

    def steal() -> None:
        target.holder = "thief"

    target.on["DELETE runs"] = steal
    with app(tmp_path, url) as made:
        (run,) = made.check([suite("a")], Watching(), second_look=0.05)
    assert run.second_look is None
    assert run.evidence.samples == ()
    assert statuses(run)["labels"] == (Status.INCONCLUSIVE, "source_unreachable")
