"""Promises of how values are compared, matched and written."""

from __future__ import annotations

import time
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from checks._near import nearest
from checks._queries import job_key, logql, promql, traceql
from checks._values import Duration, Pattern, Value, glob, is_empty, matches, same, shown, type_of
from tests.checks.build import FAR, evidence, job, span
from validator.model import AttributeValue

DURATION: TypeAdapter[float] = TypeAdapter(Duration)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (True, "bool"),
        (1, "int"),
        (1.0, "float"),
        ("1", "string"),
        (b"1", "bytes"),
        ((1,), "array"),
        ({"a": 1}, "map"),
        (None, "nothing"),
    ],
)
def test_types_are_told_apart_and_values_of_two_types_differ(
    value: AttributeValue, name: str
) -> None:
    """Each type has its name; 1, 1.0, True and "1" are four values."""
    assert type_of(value) == name
    assert same(value, value)
    others: list[AttributeValue] = [True, 1, 1.0, "1", b"1", (1,), (1.0,), {"a": 1}, None]
    assert sum(same(value, other) for other in others) == 1


def test_arrays_are_the_same_item_by_item() -> None:
    """An array that is longer, or of another type within, is another."""
    assert not same((1,), (1, 2))
    assert not same((1,), (True,))


@pytest.mark.parametrize("value", ["", " \n", b"", (), {}, None])
def test_what_says_nothing_is_empty(value: AttributeValue) -> None:
    """Blank text, empty containers and no value are empty; zero and false are not."""
    assert is_empty(value)
    assert not is_empty(0)
    assert not is_empty(False)  # noqa: FBT003 - the value that is tested


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ('a "b"\\', '"a \\"b\\"\\\\"'),
        (True, "true"),
        ((1, "a"), '[1, "a"]'),
        ((1,) * 9, "[1, 1, 1, 1, 1, …]"),
        (None, "nothing"),
        ({"a": 1}, "a map of 1"),
        (1.5, "1.5"),
        (b"x", "b'x'"),
    ],
)
def test_values_are_written_for_people(value: AttributeValue, text: str) -> None:
    """Text is quoted, the rest is as in YAML."""
    assert shown(value) == text


def test_a_long_value_is_cut() -> None:
    """A value of a megabyte does not flood a report."""
    assert len(shown("x" * 1_000_000)) == 80


def test_a_pattern_matches_the_whole_text_in_linear_time() -> None:
    """Half a match is none, and no pattern is catastrophic."""
    assert matches("http_[0-9]{3}|other", "http_403")
    assert not matches("http_[0-9]{3}", "http_4033")
    assert not matches("a|b", "ab")
    begin = time.thread_time()
    assert not matches("(a+)+b", "a" * 100_000)
    assert time.thread_time() - begin < 5


@pytest.mark.parametrize("pattern", ["(", "(?=a)", "a)(b"])
def test_a_bad_pattern_is_refused_when_the_suite_is_loaded(pattern: str) -> None:
    """The reason is said in a line."""
    with pytest.raises(ValidationError, match="is not a regular expression"):
        TypeAdapter(Pattern).validate_python(pattern)


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("a", "a", True),
        ("a", "ab", False),
        ("a*", "ab", True),
        ("*b", "ab", True),
        ("a*a", "a", False),
        ("a*b*c", "a-b-c", True),
        ("a*x*c", "a-b-c", False),
        ("x*", "a", False),
        ("*x", "a", False),
        ("[a]", "a", False),
        ("*", "", True),
    ],
)
def test_a_star_stands_for_anything_and_nothing_else_is_special(
    pattern: str, text: str, fits: bool
) -> None:
    """Names may hold brackets and question marks."""
    assert glob(pattern, text) is fits


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("2s", 2.0), ("1.5m", 90.0), ("1h", 3600.0)]
)
def test_durations_have_units(text: str, seconds: float) -> None:
    """A duration is read in its unit."""
    assert DURATION.validate_python(text) == seconds


@pytest.mark.parametrize("value", [5, 1.5, "5", "0s", "-1s", True, None])
def test_what_is_no_duration_is_refused(value: Any) -> None:
    """Numbers without unit, zero and other things are refused."""
    with pytest.raises(ValidationError):
        DURATION.validate_python(value)


def test_values_of_suites_keep_their_types() -> None:
    """True stays a bool, 1 an int, a list becomes an array; a map is no value."""
    adapter: TypeAdapter[Value] = TypeAdapter(Value)
    for value in (True, 1, 1.0, "1", (1, "a")):
        assert same(adapter.validate_python(value), value)
    with pytest.raises(ValidationError, match="expected text, a number, true or false") as caught:
        adapter.validate_python({"a": 1})
    assert caught.value.error_count() == 1


def test_the_nearest_word_is_found_by_spelling_first() -> None:
    """`queue_name` is `queue.name` in other clothes; what is not alike is not named."""
    assert nearest("queue.name", ["queue.named", "queue_name"]) == "queue_name"
    assert nearest("queue.name", ["queue.nam"]) == "queue.nam"
    assert nearest("queue.name", ["job.id", "", "queue.name"]) == ""


def test_queries_find_the_job_by_what_is_known_of_it() -> None:
    """By its id under the key that its spans use, else by its trace; odd names are quoted."""
    with_id = evidence([span("a", "b", attributes={"job_id": "x"})])
    assert traceql(with_id).startswith("{ span.job_id = ")
    assert job_key(evidence([span("a", "b", attributes={})])) == "job.id"
    assert job_key(evidence(job_id_keys=())) == ""
    spaced = evidence(job_id_keys=("job id",))
    assert traceql(spaced, "s", "run/*").endswith(
        'resource.service.name = "s" && name =~ "run/.*" }'
    )
    assert traceql(spaced).startswith('{ span."job id" = ')
    nameless = evidence(job=job(id=""))
    assert traceql(nameless, name="x").startswith("{ trace:id = ")
    assert logql(nameless, "s").startswith('{service_name="s"} | trace_id=')
    unknown = evidence(job=job(id="", traces=()))
    assert traceql(unknown) == "{ }"
    assert logql(unknown) == '{service_name=~".+"}'
    assert traceql(with_id, trace=FAR) == f'{{ trace:id = "{FAR}" }}'
    assert promql("x", {"a": 'b"'}, "c.d") == (
        'sum by (instance, c_d) (increase(x{a="b\\""}[10m]))'
    )
