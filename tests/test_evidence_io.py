"""Promises of stored evidence: nothing is lost, equal is equal byte for byte, broken is said."""

from __future__ import annotations

import dataclasses
import json
import math
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.report import samples
from validator.errors import ConfigError
from validator.evidence_io import (
    evidence_from_json,
    evidence_to_json,
    load_runs,
    run_from_json,
    run_to_json,
    save_run,
)
from validator.model import (
    Alert,
    AttributeValue,
    Coverage,
    CoverageState,
    Evidence,
    Exemplar,
    Job,
    JobState,
    Link,
    LogLine,
    Phase,
    Sample,
    SearchHit,
    Signal,
    SourceReport,
    Span,
    SpanEvent,
    SpanKind,
    SpanStatus,
    TraceRef,
)

pytestmark = pytest.mark.req("X-07")

TEXT = st.text(st.characters(), max_size=8)  # lone surrogates too: JSON can smuggle them in
KEYS = TEXT | st.sampled_from(["$bytes", "$float", "$int", "$map", "$"])
NUMBERS = st.integers() | st.floats() | st.sampled_from([1, 1.0, True, -0.0, 2**64 - 1, 2**64])
VALUES: st.SearchStrategy[AttributeValue] = st.recursive(
    st.none() | st.booleans() | TEXT | NUMBERS | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
ATTRIBUTES = st.dictionaries(KEYS, VALUES, max_size=4)
LABELS = st.dictionaries(KEYS, TEXT, max_size=3)


def few(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    """Return tuples of up to two items."""
    return st.lists(strategy, max_size=2).map(tuple)


def built(kind: type, **parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Build `kind` from its annotations, but for the `parts` that are given."""
    simple: dict[str, st.SearchStrategy[Any]] = {
        "str": TEXT,
        "int": st.integers(min_value=0, max_value=2**64 - 1),
        "float": st.floats(),
        "bool": st.booleans(),
        "float | None": st.none() | st.floats(),
        "bool | None": st.none() | st.booleans(),
        "tuple[str, ...]": few(TEXT),
        "Attributes": ATTRIBUTES,
        "Mapping[str, AttributeValue]": ATTRIBUTES,
        "Mapping[str, str]": LABELS,
        "SpanKind": st.sampled_from(SpanKind),
        "SpanStatus": st.sampled_from(SpanStatus),
        "Phase": st.sampled_from(Phase),
        "JobState": st.sampled_from(JobState),
        "CoverageState": st.sampled_from(CoverageState),
        "tuple[Signal, ...]": few(st.sampled_from(Signal)),
    }
    given_parts = {
        item.name: parts[item.name] if item.name in parts else simple[str(item.type)]
        for item in dataclasses.fields(kind)
    }
    return st.builds(kind, **given_parts)


SPANS = built(Span, links=few(built(Link)), events=few(built(SpanEvent)))
SAMPLES = built(Sample, exemplar=st.none() | built(Exemplar))
EVIDENCE = built(
    Evidence,
    job=built(Job, traces=few(built(TraceRef))),
    spans=few(SPANS),
    logs=few(built(LogLine)),
    samples=few(SAMPLES),
    alerts=few(built(Alert)),
    sources=few(built(SourceReport)),
    coverage=st.dictionaries(st.sampled_from(Signal), built(Coverage), max_size=3),
    hits=few(built(SearchHit)),
)


def same(one: Any, two: Any) -> bool:
    """Whether two values are equal with their types, NaN being equal to itself."""
    if type(one) is not type(two):
        return False
    if dataclasses.is_dataclass(one):
        return all(
            same(getattr(one, item.name), getattr(two, item.name))
            for item in dataclasses.fields(one)
        )
    if isinstance(one, tuple):
        return len(one) == len(two) and all(map(same, one, two))
    if isinstance(one, Mapping):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, float):
        return (math.isnan(one) and math.isnan(two)) or one.hex() == two.hex()
    return bool(one == two)


@pytest.mark.untraced
@given(EVIDENCE)
@settings(max_examples=100, suppress_health_check=list(HealthCheck), deadline=None)
def test_any_evidence_comes_back(evidence: Evidence) -> None:
    """Whatever evidence holds comes back with its types, and is the same bytes once more."""
    data = evidence_to_json(evidence)
    back = evidence_from_json(data)
    assert same(evidence, back)
    assert evidence_to_json(back) == data


@pytest.mark.parametrize(
    "value",
    [
        b"\x00\xff",
        math.nan,
        math.inf,
        -math.inf,
        1,
        1.0,
        -0.0,
        True,
        None,
        2**64 - 1,
        -(2**63),
        2**64,
        -(10**40),
        (1, 1.0, (), {}),
        {"$bytes": "not base64"},
        {"$map": {"$int": "1"}},
        {"$anything": 1},
        {"$int": 1, "other": 2},
        {"": {"b": (b"",)}},
        "lone \ud800 surrogate",
        "\x00\u2028",
    ],
    ids=repr,
)
def test_a_value_comes_back_as_it_was(value: AttributeValue) -> None:
    """Each value that plain JSON would bend keeps its value and its type."""
    evidence = samples.evidence(fields={"value": value, "$int": value})
    back = evidence_from_json(evidence_to_json(evidence))
    assert same(back.job.fields, {"value": value, "$int": value})


def test_deep_nesting_comes_back() -> None:
    """A value nested deeper than the fast writer goes is written by the slower one."""
    value: AttributeValue = "leaf"
    for _ in range(300):
        value = (value,)
    evidence = samples.evidence(fields={"value": value})
    data = evidence_to_json(evidence)
    assert evidence_to_json(evidence_from_json(data)) == data


def test_bottomless_nesting_is_said(tmp_path: Path) -> None:
    """A value nested beyond all reason is a plain error, and leaves no file."""
    value: AttributeValue = "leaf"
    for _ in range(5000):
        value = (value,)
    bad = dataclasses.replace(samples.GOOD, evidence=samples.evidence(fields={"value": value}))
    with pytest.raises(ConfigError, match="nested too deeply"):
        save_run(bad, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_order_of_keys_does_not_show() -> None:
    """Mappings filled in another order give the same bytes; tuples keep their order."""
    one = samples.evidence(fields={"a": 1, "b": {"x": 1, "y": (2, 1)}})
    two = samples.evidence(fields={"b": {"y": (2, 1), "x": 1}, "a": 1})
    assert evidence_to_json(one) == evidence_to_json(two)
    assert b"[2,1]" in evidence_to_json(one)


@pytest.mark.parametrize("name", sorted(samples.RUNS))
def test_a_run_comes_back(name: str) -> None:
    """A whole run comes back equal, and is the same bytes once more."""
    run = samples.RUNS[name]
    back = run_from_json(run_to_json(run))
    assert same(back, run)
    assert run_to_json(back) == run_to_json(run)


def altered(change: Callable[[dict[str, Any]], object]) -> bytes:
    """Return the stored good run with one thing altered."""
    document = orjson.loads(run_to_json(samples.GOOD))
    change(document)
    return orjson.dumps(document)


BROKEN: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not JSON at line 1, column 1"),
    "half": (run_to_json(samples.GOOD)[:700], "not JSON at line 1, column"),
    "binary": (b'{"a": "\xff"}', "not UTF-8 at byte 7"),
    "other JSON": (b"[1]", "no stored run of obs-validator"),
    "other version": (altered(lambda d: d.update(schema=99)), "schema 99"),
    "missing field": (
        altered(lambda d: d["run"]["evidence"]["spans"][1].pop("name")),
        "at run.evidence.spans[1].name: is missing",
    ),
    "wrong type": (
        altered(lambda d: d["run"]["evidence"]["spans"][0].update(start="soon")),
        "at run.evidence.spans[0].start: is 'soon', not of type int",
    ),
    "boolean for a number": (
        altered(lambda d: d["run"].update(started=True)),
        "at run.started: is True, not of type float",
    ),
    "unknown word": (
        altered(lambda d: d["run"]["verdicts"][0].update(status="fine")),
        "at run.verdicts[0].status: is 'fine', not one of pass, fail, inconclusive",
    ),
    "unknown key": (altered(lambda d: d["run"].update(colour=1)), "has unknown keys: colour"),
    "array for an object": (
        altered(lambda d: d["run"].update(evidence=[])),
        "at run.evidence: is [], not an object",
    ),
    "object for an array": (
        altered(lambda d: d["run"].update(verdicts={})),
        "at run.verdicts: is {}, not an array",
    ),
    "broken tag": (
        altered(lambda d: d["run"]["evidence"]["job"]["fields"].update(x={"$bytes": "%"})),
        "at run.evidence.job.fields['x']: has a broken $bytes",
    ),
    "unknown tag": (
        altered(lambda d: d["run"]["evidence"]["job"]["fields"].update(x={"$date": 1})),
        "has an unknown tag $date",
    ),
    "no end of arrays": (b"[" * 100_000, "nested too deeply"),
}


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_broken_file_says_where(name: str) -> None:
    """A file that cannot be read says where it is broken, and nothing else is raised."""
    data, message = BROKEN[name]
    with pytest.raises(ConfigError) as caught:
        run_from_json(data)
    assert message in str(caught.value)


def test_a_field_with_a_default_may_lack() -> None:
    """A file of before a field was added is read with the field's default."""
    data = altered(lambda d: d["run"]["evidence"]["job"].pop("sampling"))
    assert run_from_json(data).evidence.job.sampling == "all"
    data = altered(lambda d: d["run"]["evidence"].pop("hits"))
    assert run_from_json(data).evidence.hits == ()
    alert = Alert("Stall", "firing", {}, {}, None, ("pager",), "am", 1.0, muted_by=("nights",))
    evidence = dataclasses.replace(samples.evidence(), alerts=(alert,))
    shown = orjson.loads(evidence_to_json(evidence))
    del shown["evidence"]["alerts"][0]["muted_by"]
    assert evidence_from_json(orjson.dumps(shown)).alerts == (
        dataclasses.replace(alert, muted_by=()),
    )


def test_runs_are_saved_and_loaded(tmp_path: Path) -> None:
    """A directory of runs is read in the order in which they began, and holds nothing else."""
    runs = sorted(samples.RUNS.values(), key=lambda run: run.started)
    paths = [save_run(run, tmp_path / "new") for run in reversed(runs)]
    assert {path.name for path in (tmp_path / "new").iterdir()} == {path.name for path in paths}
    assert [run.id for run in load_runs(tmp_path / "new")] == [run.id for run in runs]
    assert load_runs(paths[-1])[0].id == runs[0].id
    assert paths[-1].name == f"{runs[0].suite}-{runs[0].id}.json"
    assert stat.S_IMODE(paths[0].stat().st_mode) == 0o600


def test_a_name_cannot_leave_the_directory(tmp_path: Path) -> None:
    """A suite's name with slashes or of great length stays a file of the directory."""
    for suite in ("../../up", "/etc/x", "a" * 100):
        run = dataclasses.replace(samples.GOOD, suite=suite)
        assert save_run(run, tmp_path).parent == tmp_path
    assert len(load_runs(tmp_path)) == 3


def test_what_cannot_be_read_or_written_is_said(tmp_path: Path) -> None:
    """No directory, no runs, a broken file, a file in the way: each is named with its path."""
    with pytest.raises(ConfigError, match="no stored run here"):
        load_runs(tmp_path / "nowhere")
    (tmp_path / "broken.json").write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"broken\.json: not JSON at line 1"):
        load_runs(tmp_path)
    with pytest.raises(ConfigError, match="cannot write the evidence: File exists"):
        save_run(samples.GOOD, tmp_path / "broken.json")
    (tmp_path / "broken.json").unlink()
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(ConfigError, match=r"folder\.json: cannot read"):
        load_runs(tmp_path)


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    """What cannot be encoded leaves neither a half file nor the file for the time between."""
    bad = dataclasses.replace(samples.GOOD, findings=(object(),))  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        save_run(bad, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.untraced
def test_it_is_fast_enough() -> None:
    """10,000 spans of ten attributes take well below a second of work each way."""
    span = samples.GOOD.evidence.spans[0]
    attributes: dict[str, AttributeValue] = {f"attribute.{n}": n for n in range(5)}
    attributes |= {f"text.{n}": f"value {n}" for n in range(5)}
    spans = tuple(
        dataclasses.replace(span, span_id=f"{n:016x}", attributes=dict(attributes))
        for n in range(10_000)
    )
    began = time.process_time()
    back = evidence_from_json(evidence_to_json(samples.evidence(spans=spans)))
    seconds = time.process_time() - began
    assert len(back.spans) == 10_000
    assert seconds < 6, f"{seconds:.1f} s"  # 0.5 s; coverage and a busy machine cost the rest


def test_the_file_is_plain_json() -> None:
    """Any JSON reader can read the file, and finds its version at the top."""
    document = json.loads(run_to_json(samples.GOOD))
    assert document["schema"] == 1
    assert document["run"]["suite"] == samples.GOOD.suite
