"""Rules of judging: the job itself, other validators, existing jobs, and the loop."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest

from checks import CHECKS
from tests.run.world import (
    CONNECTED,
    EVERY,
    LABELS,
    World,
    but,
    metrics_world,
    sample,
    verdict,
)
from tests.traces import EPOCH, JOB, TRACE, pipeline
from validator.errors import SourceFailure
from validator.judge import Judge
from validator.model import (
    JobState,
    Status,
    Verdict,
)
from validator.report.summary import exit_code
from validator.suite import CheckSpec, Suite
from validator.testing import (
    FakeMetrics,
    FakeSource,
)

# -- Exit code, and a target that refuses or hangs -------------------------------------------------


def test_a_refused_job_fails_its_outcome_and_blocks_the_rest() -> None:
    """One cause, one fail; nothing was gathered, and nothing else is said."""
    world = World(checks=[("connected_trace", CONNECTED), EVERY])
    world.target.refusal = "targets.t: 500 Internal Server Error"
    run = world.run()
    assert verdict(run, "job_outcome").status is Status.FAIL
    assert "500 Internal Server Error" in str(verdict(run, "job_outcome"))
    assert {one.status for one in run.verdicts if one.check != "job_outcome"} == {Status.BLOCKED}
    assert exit_code([run]) == 1


def test_a_job_that_never_ends_is_given_up_at_the_deadline() -> None:
    """A hanging job fails `job_outcome` at the deadline, not later, and is cleaned up."""
    world = World(deadline=12.0)
    world.target.script = []
    world.source.span(0.5, *pipeline()[:4])
    run = world.run()
    assert run.evidence.job.state is JobState.TIMED_OUT
    assert verdict(run, "job_outcome").status is Status.FAIL
    assert verdict(run).status is Status.BLOCKED
    assert 12 <= run.finished - run.started < 12.5
    assert world.target.cleaned == [run.id]


def test_a_fail_outranks_an_inconclusive() -> None:
    """One of each: exit code 1. Blocked changes nothing."""
    world = metrics_world([])
    pages = world.sources[0]
    assert isinstance(pages, FakeMetrics)
    pages.fails(-1.0, 1e9, SourceFailure.CONNECT)
    world.checks = [("connected_trace", CONNECTED), LABELS]
    world.source = FakeSource(world.clock).span(0.1, *but(pipeline(), "chunking"))
    run = world.run()
    assert {one.status for one in run.verdicts} == {Status.PASS, Status.FAIL, Status.INCONCLUSIVE}
    assert exit_code([run]) == 1


def test_a_follow_up_that_fails_fails_the_job() -> None:
    """What the target's configuration does with a finished job is part of the job."""
    world = World()
    world.target.broken_finish = "search answered 500"
    world.source.span(0.1, *pipeline())
    run = world.run()
    assert verdict(run, "job_outcome").status is Status.FAIL
    assert run.evidence.job.detail == "search answered 500"


# -- Several validators, trust, existing jobs ------------------------------------------------------


def test_every_run_has_marks_of_its_own_and_is_cleaned_up() -> None:
    """Two runs share neither run id, nonce nor corpus, and each is removed by its id."""
    marks, cleaned = [], []
    for _ in range(2):
        world = World()
        world.source.span(0.1, *pipeline())
        world.run()
        marks += world.target.marks
        cleaned += world.target.cleaned
    first, second = marks
    assert {first.run_id, first.nonce, first.corpus}.isdisjoint(
        {second.run_id, second.nonce, second.corpus}
    )
    assert cleaned == [first.run_id, second.run_id]
    assert f"obs_validator.run_id={first.run_id}" in first.baggage


@pytest.mark.req("X-10")
def test_an_existing_job_is_judged_and_left_alone() -> None:
    """Nothing is submitted and nothing is cleaned up; its trace is judged as it is."""
    from validator.app import Existing, existing_job  # noqa: PLC0415 - what `check` builds

    suite = Suite("s", 1, "t", {}, 1.0, 2.0, 0.05, False, (), "s.yaml")  # noqa: FBT003
    world = World(existing=existing_job(suite, Existing(JOB, ""), "r"))
    world.target.script = [(0.0, "done", JobState.UNKNOWN)]
    world.source.span(-5.0, *pipeline())
    run = world.run()
    assert verdict(run).status is Status.PASS
    assert not world.target.marks
    assert not world.target.cleaned
    assert [one.check for one in run.verdicts] == ["connected_trace"]


@pytest.mark.req("X-10")
def test_a_job_known_by_its_trace_gets_its_id_from_it() -> None:
    """`--trace-id` alone: checks that name `{{ job.id }}` are judged all the same."""
    from validator.app import Existing, existing_job  # noqa: PLC0415 - what `check` builds

    suite = Suite("s", 1, "t", {}, 1.0, 2.0, 0.05, False, (), "s.yaml")  # noqa: FBT003
    equals = {"spans": {"name": "scrape_task"}, "equals": {"job.id": "{{ job.id }}"}}
    world = World(
        checks=[("span_attributes", equals)],
        existing=existing_job(suite, Existing("", TRACE), "r"),
    )
    world.target.script = [(0.0, "", JobState.UNKNOWN)]
    world.source.span(-5.0, *pipeline())
    run = world.run()
    assert run.evidence.job.id == JOB
    assert verdict(run, "span_attributes").status is Status.PASS


@pytest.mark.req("X-10")
@pytest.mark.parametrize("ids", [(42, 42), (42, "42")], ids=["number", "number and text"])
def test_an_id_that_was_sent_as_a_number_is_the_jobs_id(ids: tuple[int | str, ...]) -> None:
    """The job has it as text, as its API would; of which type it should be is for a check."""
    from validator.app import Existing, existing_job  # noqa: PLC0415 - what `check` builds

    suite = Suite("s", 1, "t", {}, 1.0, 2.0, 0.05, False, (), "s.yaml")  # noqa: FBT003
    world = World(existing=existing_job(suite, Existing("", TRACE), "r"))
    world.target.script = [(0.0, "", JobState.UNKNOWN)]
    both = zip(pipeline(), itertools.cycle(ids), strict=False)
    world.source.span(-5.0, *(replace(one, attributes={"job.id": value}) for one, value in both))
    assert world.run().evidence.job.id == "42"


@pytest.mark.req("X-10")
def test_an_existing_jobs_metrics_have_no_before() -> None:
    """Nobody read the pages before a job that is there already: inconclusive, and said so."""
    from validator.app import Existing, existing_job  # noqa: PLC0415

    suite = Suite("s", 1, "t", {}, 1.0, 2.0, 0.05, False, (), "s.yaml")  # noqa: FBT003
    world = metrics_world([sample("read", 6), sample("write", 7)])
    grew = {
        "expr": "samples.all(s, s.value > s.before)",
        "message": "all of it grew",
        "reads": ["metrics"],
        "metrics": ["embedding_request_duration_seconds"],
    }
    world.checks = [LABELS, ("expression", grew)]
    world.existing = existing_job(suite, Existing("", TRACE), "r")
    world.target.script = [(0.0, "done", JobState.UNKNOWN)]
    run = world.run()
    assert [one.status for one in run.verdicts] == [Status.INCONCLUSIVE, Status.INCONCLUSIVE]
    assert {one.code for one in run.verdicts} == {"no_before"}


# -- The loop itself -------------------------------------------------------------------------------


def test_an_interrupt_cleans_up_and_is_recorded() -> None:
    """Ctrl-C in mid-run: the job's traces are removed, and the run says that it was cut short."""
    world = World()
    world.target.script = []

    def press() -> None:
        raise KeyboardInterrupt

    world.executor.at(EPOCH + 3.0, press)
    run = world.run()
    assert run.interrupted
    assert verdict(run).status is Status.INCONCLUSIVE
    assert world.target.cleaned == [run.id]
    assert world.target.within == 5.0  # nobody waits longer for a target that hangs
    assert exit_code([run]) == 3


@pytest.mark.req("V-13")
def test_a_check_that_breaks_loses_nothing() -> None:
    """An error within a check is inconclusive, says so, and leaves the others' verdicts."""

    def broken(_params: object, _evidence: object) -> Verdict:
        raise ZeroDivisionError("oops")

    kinds = {**CHECKS, "broken": replace(CHECKS["connected_trace"], evaluate=broken)}
    spec = CheckSpec("broken", "broken", CONNECTED, "a test", "required", "x")
    good = replace(spec, kind="connected_trace", name="connected_trace")
    world = World()
    world.source.span(0.1, *pipeline())
    found = Judge(kinds, (spec, good)).verdicts(world.run().evidence)
    by_name: dict[str, Status] = {one.name: one.status for one in found}
    assert by_name["broken"] is Status.INCONCLUSIVE
    assert by_name["connected_trace"] is Status.PASS


def test_requests_to_a_quiet_source_are_few() -> None:
    """A run of one second asks a polled source at most ten times."""
    world = World()
    world.source.span(0.1, *pipeline())
    world.run()
    assert len(world.source.asked) <= 10


Script = Callable[[World], None]
