"""Jobs in a real PostgreSQL: whatever is reported, in whatever order and however often at once."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from pipeline.jobs import Document, JobStore, NewJob, failure
from pipeline.mark import Mark
from pipeline.states import FINAL, ORDER, STAGES, Callback, Outcome, Status

if TYPE_CHECKING:
    from psycopg_pool import ConnectionPool

pytestmark = pytest.mark.req("P-02")

_DOCUMENT = Document("http://site.test/", "Some words.")


def _new(store: JobStore) -> UUID:
    job_id = uuid4()
    store.insert(NewJob(job_id, "user", "http://site.test/", "corpus", Mark()))
    return job_id


def _callback(callback_id: str, stage: Status, *, ok: bool) -> Callback:
    return Callback(callback_id, stage, None if ok else failure(stage, "test_error", "a test"))


def _report(store: JobStore, job_id: UUID, callback: Callback) -> Outcome:
    scraped = callback.stage is Status.SCRAPING and callback.failure is None
    advanced = store.advance(job_id, callback, _DOCUMENT if scraped else None)
    assert advanced is not None
    return advanced.outcome


class Jobs(RuleBasedStateMachine):
    """One job, driven by random reports; the model is a list of what may follow what."""

    store: JobStore

    def __init__(self) -> None:
        """Submit the job."""
        super().__init__()
        self.job_id = _new(self.store)
        self.history = [Status.PENDING]
        self.failed_at: Status | None = None
        self.taken: list[Callback] = []
        self.number = 0

    def _expected(self, callback: Callback) -> Status | Outcome:
        """Say what the job becomes, or why it does not change (000 §5)."""
        here = self.history[-1]
        if here in FINAL:
            return Outcome.ALREADY_ADVANCED
        ahead = ORDER.index(callback.stage) - ORDER.index(here)
        if ahead > 1:
            return Outcome.OUT_OF_ORDER
        if callback.failure is not None:
            return Status.FAILED if ahead >= 0 else Outcome.ALREADY_ADVANCED
        if ahead == 1:
            return callback.stage
        if ahead == 0 and callback.stage is Status.EMBEDDING:
            return Status.DONE
        return Outcome.ALREADY_ADVANCED

    @rule(stage=st.sampled_from(STAGES), ok=st.sampled_from([True, True, True, False]))
    def report(self, stage: Status, ok: bool) -> None:
        """Report a stage under a new id."""
        self.number += 1
        callback = _callback(f"task:{self.number}", stage, ok=ok)
        expected = self._expected(callback)
        outcome = _report(self.store, self.job_id, callback)
        if isinstance(expected, Outcome):
            assert outcome is expected
            return
        assert outcome is Outcome.ADVANCED
        self.history.append(expected)
        self.taken.append(callback)
        if expected is Status.FAILED:
            self.failed_at = stage

    @rule()
    def go_on(self) -> None:
        """Report what is due, as a worker does."""
        here = self.history[-1]
        if here in FINAL:
            return
        due = ORDER[ORDER.index(here) + 1]
        self.report(Status.EMBEDDING if due is Status.DONE else due, ok=True)

    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """Report again, under the same id, what was taken at some time."""
        if not self.taken:
            return
        callback = data.draw(st.sampled_from(self.taken))
        assert _report(self.store, self.job_id, callback) is Outcome.ALREADY_ADVANCED

    @invariant()
    def as_modelled(self) -> None:
        """Compare the stored job with the model: state, history, error."""
        job = self.store.get(self.job_id)
        assert job is not None
        assert job.status is self.history[-1]
        assert [entry["status"] for entry in job.history] == [one.value for one in self.history]
        assert job.failed_stage == (self.failed_at and self.failed_at.value)
        if self.failed_at is None:
            assert job.error is None
        else:
            assert job.error is not None
            assert set(job.error) == {"stage", "code", "message", "at"}
            assert job.error["stage"] == self.failed_at.value
            assert job.error["code"] == "test_error"
        assert job.updated_at >= job.created_at


def test_random_reports_follow_the_model(pool: ConnectionPool) -> None:
    """Random callbacks, duplicates, late ones and failures change the job as 000 §5 has it."""

    class OnThisDatabase(Jobs):
        store = JobStore(pool)

    run_state_machine_as_test(
        OnThisDatabase,
        settings=settings(
            max_examples=30,
            stateful_step_count=12,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


def _rounds(store: JobStore, rounds: int) -> None:
    with ThreadPoolExecutor(10) as threads:
        for number in range(rounds):
            job_id = _new(store)
            stage = STAGES[number % 3]
            for before in STAGES[: STAGES.index(stage)]:
                _report(store, job_id, _callback(f"before:{before}", before, ok=True))
            reports = [
                threads.submit(
                    _report, store, job_id, _callback(f"at-once:{at}", stage, ok=number % 2 == 0)
                )
                for at in range(10)
            ]
            found = Counter(one.result(30) for one in reports)
            job = store.get(job_id)
            assert job is not None
            # Two fresh reports of a successful embedding are its begin and its end.
            twice = stage is Status.EMBEDDING and number % 2 == 0
            assert found[Outcome.ADVANCED] == (2 if twice else 1)
            assert found[Outcome.OUT_OF_ORDER] == 0
            assert len(job.history) == 1 + STAGES.index(stage) + found[Outcome.ADVANCED]


def test_ten_reports_at_once_advance_once(pool: ConnectionPool) -> None:
    """Ten callbacks for one job at the same time: one advances it, whatever the stage."""
    _rounds(JobStore(pool), 20)


@pytest.mark.slow
def test_ten_reports_at_once_advance_once_in_two_hundred_rounds(pool: ConnectionPool) -> None:
    """The same, two hundred times over."""
    _rounds(JobStore(pool), 200)


def test_a_report_waits_for_the_one_before(pool: ConnectionPool) -> None:
    """The row is locked from the look at the state to its change."""
    store = JobStore(pool)
    job_id = _new(store)
    with pool.connection() as holding, ThreadPoolExecutor(1) as threads:
        holding.execute("SELECT 1 FROM jobs WHERE id = %s FOR UPDATE", (job_id,))
        second = threads.submit(
            _report, store, job_id, _callback("second", Status.SCRAPING, ok=True)
        )
        holding.execute("UPDATE jobs SET status = 'failed' WHERE id = %s", (job_id,))
        assert not second.done()
        holding.commit()
        assert second.result(10) is Outcome.ALREADY_ADVANCED


def test_a_report_on_no_job_is_told(pool: ConnectionPool) -> None:
    """A job that was never submitted, or was cleaned up, cannot be advanced."""
    assert JobStore(pool).advance(uuid4(), Callback("c", Status.SCRAPING)) is None
