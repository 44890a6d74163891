"""What a task is told: one model on both sides, published as a schema that holds nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import jsonschema
import pytest
from hypothesis import given as examples
from hypothesis import strategies as st

from pipeline import payloads
from pipeline.celery_app import EMBED_TASK, QUEUES, SCRAPE_TASK
from pipeline.dead_letters import DeadLetterError, Reason
from pipeline.workers.given import given

pytestmark = pytest.mark.req("H-01", "P-09")

PUBLISHED = Path(__file__).parents[2] / "docs" / "task-payloads.json"
GOOD: dict[str, dict[str, Any]] = {
    SCRAPE_TASK: {"job_id": str(uuid4()), "url": "http://site.test/a"},
    EMBED_TASK: {
        "job_id": str(uuid4()),
        "corpus_name": "corpus",
        "source_url": "",
        "chunks": ["One.", "Two."],
    },
}
ODD = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.text(max_size=3))
)


def read(task: str, told: dict[str, Any]) -> bool:
    """Tell whether the task's worker takes what it is told."""
    try:
        given(task, payloads.OF_TASK[task], (), told)
    except DeadLetterError as error:
        return error.reason is not Reason.PAYLOAD
    return True


def published(task: str, told: dict[str, Any]) -> bool:
    """Tell whether it would be published."""
    try:
        payloads.checked(task, told)
    except payloads.PayloadError:
        return False
    return True


def test_the_schemas_are_published_as_they_are() -> None:
    """A change of what tasks are told is a change of this file, to be seen in a review."""
    assert json.loads(PUBLISHED.read_text()) == payloads.schemas()
    assert set(payloads.OF_TASK) == set(QUEUES)


@pytest.mark.parametrize("task", list(QUEUES))
def test_what_is_told_gets_its_default(task: str) -> None:
    """A job's task reports to the orchestrator unless it says otherwise."""
    assert payloads.checked(task, GOOD[task]) == {**GOOD[task], "sink": "orchestrator"}


@examples(
    task=st.sampled_from(list(QUEUES)),
    changes=st.dictionaries(
        st.sampled_from(["job_id", "url", "corpus_name", "source_url", "chunks", "sink", "depth"]),
        ODD | st.just("cache") | st.just("http://site.test/b"),
        max_size=3,
    ),
    gone=st.sets(st.sampled_from(["job_id", "url", "corpus_name", "chunks"]), max_size=1),
)
def test_both_sides_and_the_schema_agree(
    task: str, changes: dict[str, Any], gone: set[str]
) -> None:
    """Whatever it is: published is what is taken, and what the published schema holds."""
    told = {key: value for key, value in {**GOOD[task], **changes}.items() if key not in gone}
    schema = json.loads(PUBLISHED.read_text())[task]
    holds = jsonschema.Draft202012Validator(schema).is_valid(told)
    assert published(task, told) == read(task, told) == holds


def test_what_does_not_fit_is_said_without_the_document() -> None:
    """By its fields: a document of megabytes is in no log."""
    told = {**GOOD[EMBED_TASK], "chunks": "a" * 10_000, "corpus_name": ""}
    with pytest.raises(payloads.PayloadError) as refused:
        payloads.checked(EMBED_TASK, told)
    said = str(refused.value)
    assert said.startswith("the payload of embedding.embed_task does not fit: corpus_name: ")
    assert "chunks: Input should be a valid list" in said
    assert len(said) < 300


def test_arguments_by_place_and_unknown_tasks_are_refused() -> None:
    """Nobody knows what they mean."""
    with pytest.raises(DeadLetterError, match="takes no arguments by place"):
        given(SCRAPE_TASK, payloads.ScrapePayload, ["x"], GOOD[SCRAPE_TASK])
    with pytest.raises(payloads.PayloadError, match="no task is called x"):
        payloads.checked("x", {})
