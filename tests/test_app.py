"""How suites and options become runs: lanes, interrupts, metrics, existing jobs."""

from __future__ import annotations

import signal
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import requests

from tests.sources.servers import Canned, always, serving
from tests.traces import TRACE
from validator.app import App, Existing, Interrupted, existing_job, wanted_metrics, with_overrides
from validator.config import load_settings
from validator.model import JobState, Run
from validator.report import FORMATS, exit_code
from validator.submit.sender import Means
from validator.suite import CheckSpec, Suite
from validator.traces import parent_id_for

_CONFIG = """\
targets:
  api: {{submit: {{http: {{url: "{url}/jobs", job_id: id, timeout: 20s}}}}}}
sources:
  pages: {{type: scrape, pages: {{api: "{url}/metrics"}}}}
suites: []
"""


def suite(name: str, *checks: CheckSpec, concurrent: bool = False) -> Suite:
    """Return a suite of the target `api`."""
    return Suite(name, 2, "api", {"page": "/x"}, 30.0, 0.05, 0.05, concurrent, checks, "s.yaml")


def spec(**params: object) -> CheckSpec:
    """Return a check with these parameters."""
    return CheckSpec("metric_labels", "m", params, "a test", "required", "s.yaml:1")


@dataclass
class Watching:
    """Remembers runs and events, and lets a test wait for the first."""

    runs: list[Run] = field(default_factory=list)
    events: list[tuple[str, str]] = field(default_factory=list)
    submitting: threading.Event = field(default_factory=threading.Event)

    def on_event(self, run_id: str, suite: str, event: str, detail: str) -> None:
        """Remember the event."""
        del run_id, detail
        self.events.append((suite, event))
        if event == "submitting":
            self.submitting.set()

    def on_run(self, run: Run) -> None:
        """Remember the run."""
        self.runs.append(run)


def app(tmp_path: Path, url: str) -> App:
    """Return an app of one target and one page."""
    path = tmp_path / "obs-validator.yaml"
    path.write_text(_CONFIG.format(url=url).replace("suites: []", "suites: [x.yaml]"))
    return App(load_settings(path, {}))


def test_suites_run_one_after_the_other_and_return_in_order(tmp_path: Path) -> None:
    """The second begins when the first has ended; a concurrent one does not wait."""
    watching = Watching()
    with serving(always(Canned(body=b'{"id": "j"}'))) as served, app(tmp_path, served.url) as made:
        chosen = [suite("a"), suite("b", concurrent=True), suite("c")]
        runs = made.check(chosen, watching)
    assert [run.suite for run in runs] == ["a", "b", "c"]
    first, _, last = runs
    assert last.started >= first.finished
    assert {run.evidence.job.state for run in runs} == {JobState.PASSED}


def test_a_bug_of_ours_is_raised_and_not_swallowed(tmp_path: Path) -> None:
    """An observer that breaks is no verdict."""

    class Broken(Watching):
        def on_run(self, run: Run) -> None:
            raise ZeroDivisionError(run.id)

    with (
        serving(always(Canned(body=b'{"id": "j"}'))) as served,
        app(tmp_path, served.url) as made,
        pytest.raises(ZeroDivisionError),
    ):
        made.check([suite("a")], Broken())


def test_a_taken_port_leaves_nothing_open(tmp_path: Path) -> None:
    """Sources that were made before the one that cannot be are closed again."""
    with serving(always(Canned())) as served:
        path = tmp_path / "obs-validator.yaml"
        port = served.url.rpartition(":")[2]
        text = _CONFIG.format(url=served.url).replace("suites: []", "suites: [x.yaml]")
        taken = f"  collector: {{type: collector, http: '127.0.0.1:{port}', grpc: null}}\nsuites:"
        path.write_text(text.replace("suites:", taken))
        made = App(load_settings(path, {}))
        with pytest.raises(Exception, match=f"127.0.0.1:{port}"):
            made.__enter__()
        assert made.sources == ()
        assert not made._closing


def test_the_metrics_to_read_are_those_that_checks_name() -> None:
    """One, several, and nothing that is no name."""
    found = wanted_metrics(
        suite("a", spec(metric="one"), spec(metrics=["two", "three", 4]), spec(label="x"))
    )
    assert found == {"one", "two", "three"}


def test_options_win_over_the_suite_where_they_are_given() -> None:
    """Another target or deadline for every suite; else its own."""
    (changed,) = with_overrides([suite("a")], target="other", deadline=5.0)
    assert (changed.target, changed.deadline) == ("other", 5.0)
    assert with_overrides([suite("a")]) == (suite("a"),)


@pytest.mark.req("X-10")
@pytest.mark.parametrize(("job_id", "trace_id"), [("j-1", ""), ("", TRACE), ("j-1", TRACE)])
def test_of_an_existing_job_only_what_was_given_is_known(job_id: str, trace_id: str) -> None:
    """Its trace, if named, is given; a validator that sent it sent that parent."""
    job = existing_job(suite("a"), Existing(job_id, trace_id), "run")
    assert (job.id, job.existing, job.state) == (job_id, True, JobState.UNKNOWN)
    assert [(ref.trace_id, ref.via) for ref in job.traces] == (
        [(trace_id, "given")] if trace_id else []
    )
    assert job.sent_parent == (parent_id_for(trace_id) if trace_id else "")
    assert job.fields["job.page"] == "/x"
    assert job.submitted is None


@dataclass
class Pressing(Watching):
    """Presses Ctrl-C when the first run has ended, before it lets anybody go on."""

    pressed: bool = False

    def on_run(self, run: Run) -> None:
        """Press once, and wait until that was heard."""
        super().on_run(run)
        if not self.pressed:
            self.pressed = True
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            self.submitting.clear()
            self.submitting.wait(0.5)


def test_what_an_interrupt_kept_from_being_made_is_no_pass(tmp_path: Path) -> None:
    """Between two suites: a report of the first alone would say that all is well."""
    watching = Pressing()
    with serving(always(Canned(body=b'{"id": "j"}'))) as served, app(tmp_path, served.url) as made:
        done, other = made.check([suite("a"), suite("b")], watching)
    assert watching.runs == [done, other]
    assert (exit_code([done]), exit_code([done, other])) == (0, 3)
    assert (other.suite, other.interrupted) == ("b", True)
    assert len(served.requests) == 1
    for name in FORMATS:
        assert "interrupted before its turn" in FORMATS[name]([done, other])


def test_an_interrupt_when_all_is_judged_is_raised_again(tmp_path: Path) -> None:
    """Nothing is lost, and the process still ends as one that was interrupted."""
    watching = Pressing()
    with (
        serving(always(Canned(body=b'{"id": "j"}'))) as served,
        app(tmp_path, served.url) as made,
        pytest.raises(Interrupted) as interrupted,
    ):
        made.check([suite("a")], watching)
    assert interrupted.value.runs == tuple(watching.runs)
    assert not watching.runs[0].interrupted


def test_an_interrupt_before_a_second_look_makes_no_whole_run(tmp_path: Path) -> None:
    """The second look was asked for, and nobody has looked: neither raised nor a pass."""
    watching = Pressing()
    with serving(always(Canned(body=b'{"id": "j"}'))) as served, app(tmp_path, served.url) as made:
        (run,) = made.check([suite("a")], watching, second_look=60.0)
    assert (run.interrupted, run.second_look, exit_code([run])) == (True, None, 3)
    assert watching.runs[-1] == run


def test_each_run_lets_go_of_its_connections(tmp_path: Path) -> None:
    """The target's session of a run is closed with it, however many runs a process makes."""

    class Noting(requests.Session):
        closed = 0

        def close(self) -> None:
            Noting.closed += 1
            super().close()

    class Own(App):
        def _means(self) -> Means:
            return replace(super()._means(), session=Noting())

    with serving(always(Canned(body=b'{"id": "j"}'))) as served:
        settings = app(tmp_path, served.url).settings
        with Own(settings) as made:
            made.check([suite("a"), suite("b")], Watching())
            assert Noting.closed == 2
