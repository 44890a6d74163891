"""The state machine: every transition and every guard of the first document's section 5."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.jobs import failure
from pipeline.states import FINAL, ORDER, STAGES, Callback, Outcome, State, Status, advance

pytestmark = pytest.mark.req("P-02")

_PROGRESS = [
    ("t1:final", Status.SCRAPING),
    ("t1:final:chunked", Status.CHUNKING),
    ("t2:started", Status.EMBEDDING),
    ("t2:final", Status.EMBEDDING),
]


def _failed(callback_id: str, stage: Status, code: str = "test_error") -> Callback:
    return Callback(callback_id, stage, failure(stage, code, "Test failure"))


def _after(steps: int) -> State:
    state = State()
    for callback_id, stage in _PROGRESS[:steps]:
        state, _ = advance(state, Callback(callback_id, stage))
    return state


def test_full_pipeline_progression() -> None:
    """A job goes pending, scraping, chunking, embedding, done, without an error."""
    assert [_after(steps).status for steps in range(5)] == list(ORDER)
    assert _after(4).failed_stage is None
    assert _after(4).error is None


@pytest.mark.parametrize("stage", STAGES)
def test_failure_sets_correct_stage(stage: Status) -> None:
    """A stage that fails is the job's failed stage, and the error has its four fields."""
    state, outcome = advance(_after(STAGES.index(stage)), _failed("t9:final", stage))
    assert outcome is Outcome.ADVANCED
    assert state.status is Status.FAILED
    assert state.failed_stage == stage.value
    assert state.error is not None
    error = state.error.to_json()
    assert set(error) == {"stage", "code", "message", "at"}
    assert (error["stage"], error["code"]) == (stage.value, "test_error")
    assert error["at"]


@pytest.mark.parametrize("stage", STAGES)
def test_current_stage_may_fail(stage: Status) -> None:
    """A failure is taken for the stage that the job is in, too."""
    state, _ = advance(_after(STAGES.index(stage) + 1), _failed("t9:final", stage))
    assert (state.status, state.failed_stage) == (Status.FAILED, stage.value)


def test_duplicate_callback_is_safe_noop() -> None:
    """The same callback again changes nothing and says so."""
    before = _after(1)
    after, outcome = advance(before, Callback("t1:final", Status.SCRAPING))
    assert outcome is Outcome.ALREADY_ADVANCED
    assert after == before


def test_late_callback_from_earlier_stage_is_ignored() -> None:
    """A callback of an earlier stage, even a fresh one, does not roll a job back."""
    before = _after(2)
    for callback in (Callback("t7:final", Status.SCRAPING), _failed("t8:final", Status.SCRAPING)):
        after, outcome = advance(before, callback)
        assert outcome is Outcome.ALREADY_ADVANCED
        assert after == before


@pytest.mark.parametrize("stage", STAGES)
def test_failed_job_cannot_be_advanced(stage: Status) -> None:
    """Nothing changes a failed job."""
    failed, _ = advance(State(), _failed("t1:final", Status.SCRAPING, "http_403"))
    after, outcome = advance(failed, Callback("t9:final", stage))
    assert outcome is Outcome.ALREADY_ADVANCED
    assert after == failed


@pytest.mark.parametrize("stage", STAGES)
def test_done_job_cannot_be_failed(stage: Status) -> None:
    """Nothing changes a job that is done."""
    done = _after(4)
    after, outcome = advance(done, _failed("t9:final", stage))
    assert outcome is Outcome.ALREADY_ADVANCED
    assert after == done


def test_redelivered_start_of_embedding_is_not_its_end() -> None:
    """A killed and redelivered task repeats `started`: that must not end a job without vectors."""
    state, outcome = advance(_after(3), Callback("t2:started", Status.EMBEDDING))
    assert outcome is Outcome.ALREADY_ADVANCED
    assert state.status is Status.EMBEDDING


@pytest.mark.parametrize(
    ("steps", "stage"),
    [(0, Status.CHUNKING), (0, Status.EMBEDDING), (1, Status.EMBEDDING)],
)
def test_stage_cannot_be_skipped(steps: int, stage: Status) -> None:
    """A callback of a stage further than the next is out of order, success or not."""
    before = _after(steps)
    for callback in (Callback("t9:final", stage), _failed("t9:final", stage)):
        after, outcome = advance(before, callback)
        assert outcome is Outcome.OUT_OF_ORDER
        assert after == before


@pytest.mark.parametrize("status", [Status.PENDING, Status.DONE, Status.FAILED])
def test_only_stages_report(status: Status) -> None:
    """A callback for what is no stage cannot be made."""
    with pytest.raises(ValueError, match="is no stage"):
        Callback("t:final", status)


_CALLBACKS = st.builds(
    lambda number, stage, ok: Callback(f"c{number}", stage) if ok else _failed(f"c{number}", stage),
    st.integers(0, 6),
    st.sampled_from(STAGES),
    st.booleans(),
)


@given(st.lists(_CALLBACKS, max_size=12))
def test_no_order_of_callbacks_goes_back(callbacks: list[Callback]) -> None:
    """Whatever comes, a job only goes forward, one stage at a time, and ends once."""
    state = State()
    for callback in callbacks:
        before = state
        state, outcome = advance(before, callback)
        assert (state != before) == (outcome is Outcome.ADVANCED)
        if before.status in FINAL:
            assert state == before
        elif outcome is Outcome.ADVANCED and state.status is not Status.FAILED:
            assert ORDER.index(state.status) == ORDER.index(before.status) + 1
