"""The mark of synthetic traffic: what makes one, and what is taken away."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from opentelemetry.baggage.propagation import W3CBaggagePropagator

from pipeline import mark
from pipeline.mark import Mark

pytestmark = pytest.mark.req("P-10")


@pytest.mark.parametrize(
    ("traffic", "run_id", "expected"),
    [
        ("synthetic", "run-1", Mark("synthetic", "run-1")),
        ("synthetic", None, Mark("synthetic")),
        ("synthetic", "no spaces", Mark("synthetic")),
        ("synthetic", "x" * 65, Mark("synthetic")),
        ("load-test", "run-1", Mark("user")),
        (None, "run-1", Mark("user")),
    ],
)
def test_only_known_values_make_a_mark(traffic: object, run_id: object, expected: Mark) -> None:
    """The label stays bounded and the run id harmless, whatever is sent."""
    assert Mark.checked(traffic, run_id) == expected


@pytest.mark.parametrize(
    "header",
    [
        "traffic=synthetic",
        "traffic=synthetic;prop=1",
        " traffic = synthetic",
        "tr%61ffic=synthetic",
        "tenant=a,obs_validator.run_id=r",
        "tenant=a,obs_validator%2Erun_id=r,traffic=synthetic",
    ],
)
def test_no_spelling_of_the_mark_is_left(header: str) -> None:
    """What is stripped is what the propagator would read as the mark, however it is written."""
    assert mark.has_mark(header)
    left = W3CBaggagePropagator().extract({"baggage": mark.without_mark(header)})
    assert mark.current(left) == Mark()


def test_other_baggage_is_kept() -> None:
    """A caller's own baggage goes on."""
    assert not mark.has_mark("tenant=a,traffic-light=red")
    assert mark.without_mark("tenant=a,traffic=synthetic,colour=red") == "tenant=a,colour=red"


def test_mark_survives_in_the_headers_of_a_task() -> None:
    """What is put into a task's headers is read from them, in the queue and in the worker."""
    marked = Mark("synthetic", "run-1")
    headers = marked.task_headers()
    assert mark.of_message(headers) == marked
    assert mark.of_task(SimpleNamespace(**headers)) == marked
    assert mark.of_task(SimpleNamespace()) == Mark()


def test_mark_is_read_from_the_context_that_carries_it() -> None:
    """A context made with a mark has it; one made with a user's has none."""
    marked = Mark("synthetic", "run-1")
    assert mark.current(mark.in_context(marked)) == marked
    assert mark.current(mark.in_context(Mark())) == Mark()
