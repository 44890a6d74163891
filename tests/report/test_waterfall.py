"""Promises of the waterfall's layout: every span has its place, whatever shape the trace has."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.report import samples
from validator.model import Link, Run, Span, SpanStatus, Status
from validator.report.axis import WIDTH, Axis, axis_of
from validator.report.forest import forest
from validator.report.waterfall import MOST_ROWS, Waterfall, colours_of, waterfall


def drawn(run: Run) -> Waterfall:
    """Lay out one run by itself."""
    return waterfall(run, colours_of([run]))


def run_with(*spans: Span, marked: tuple[str, ...] = ()) -> Run:
    """Return a run over these spans, with a finding that names `marked`."""
    finding = replace(samples.LOST_FINDING, spans=marked)
    verdict = samples.verdict("c", Status.FAIL, "s", findings=(finding,))
    return samples.run("r", (verdict,), samples.evidence(spans=spans))


def test_children_stand_below_their_parents() -> None:
    """Rows are in the order of the tree, siblings by time, each one deeper than its parent."""
    rows = drawn(samples.GOOD).blocks[0].rows
    assert [(row.depth, row.span_id[:2]) for row in rows] == [
        (0, "a1"),
        (1, "a2"),
        (1, "a3"),
        (2, "b1"),
        (3, "b2"),
        (3, "b3"),
        (3, "b4"),
        (4, "c1"),
        (5, "c2"),
        (5, "d1"),
        (6, "d2"),
        (6, "d3"),
    ]
    assert not [row.remarks for row in rows if row.remarks]
    assert rows[0].facts[1] == (
        "parent id",
        "f0f0f0f0f0f0f0f0 (the validator's own, which nobody exports)",
    )


def test_a_lost_context_is_two_traces_on_one_axis() -> None:
    """Both traces share the axis, the gap is between their marked spans, and is measured."""
    picture = drawn(samples.LOST)
    first, second = picture.blocks
    assert (first.trace_id, second.trace_id) == (samples.TRACE, samples.FAR)
    before, after = first.rows[2], second.rows[0]
    assert before.marks == after.marks
    assert before.marks[0].text == "lost between orchestrator and scraper"
    assert first.gaps == ()
    (gap,) = second.gaps
    assert gap.took == "41 ms"
    assert gap.x == pytest.approx(before.x + before.width, abs=0.1)
    assert gap.x + gap.width == pytest.approx(after.x, abs=0.1)


def test_only_a_lost_context_is_a_gap() -> None:
    """A finding that names spans of two traces for another reason draws no gap."""
    verdict = samples.LOST.verdicts[1]
    other = replace(verdict, findings=(replace(verdict.findings[0], code="attribute_missing"),))
    picture = drawn(replace(samples.LOST, verdicts=(other,)))
    assert [block.gaps for block in picture.blocks] == [(), ()]


def test_what_is_missing_is_a_ghost() -> None:
    """A service that a finding calls missing has a row without a bar, once, with its number."""
    (ghost,) = drawn(samples.LOST).ghosts
    assert (ghost.name, ghost.number) == ("reranker", 2)
    assert drawn(samples.GOOD).ghosts == ()


def test_odd_spans_are_called_odd() -> None:
    """An orphan, a cycle and an impossible time are each told at the span."""
    root, child = samples.GOOD_SPANS[:2]
    orphan = replace(child, parent_id="99" * 8)
    one = replace(child, span_id="e1" * 8, parent_id="e2" * 8)
    two = replace(child, span_id="e2" * 8, parent_id="e1" * 8, start=one.start + 1)
    late = replace(child, span_id="e3" * 8, end=2**64 - 1)
    remarks = {
        row.span_id[:2]: row.remarks
        for row in drawn(run_with(root, orphan, one, two, late)).blocks[0].rows
    }
    assert remarks == {
        "a1": (),
        "a2": ("its parent 9999999999999999 is not in this trace",),
        "e1": ("its parents form a cycle",),
        "e2": (),
        "e3": ("its times are off this axis",),
    }


def test_a_service_keeps_its_colour() -> None:
    """A service has the same colour in every run of one report."""
    runs = [samples.GOOD, samples.INCONCLUSIVE]
    colours = colours_of(runs)
    pictures = [waterfall(run, colours) for run in runs]
    assert dict(pictures[1].services).items() <= dict(pictures[0].services).items()
    assert len(set(colours.values())) == 4


def test_marked_and_failed_rows_are_always_shown() -> None:
    """Of too many spans those that findings name are all shown, failed ones first of the rest."""
    root = samples.GOOD_SPANS[0]
    many = [
        replace(root, span_id=f"{n:016x}", parent_id=root.span_id, start=root.start + n)
        for n in range(1, 5000)
    ]
    many[4000] = replace(many[4000], status=SpanStatus.ERROR)
    marked = tuple(span.span_id for span in many[-3:])
    (block,) = drawn(run_with(root, *many, marked=marked)).blocks
    shown = {row.span_id for row in block.rows}
    assert {*marked, many[4000].span_id, root.span_id} <= shown
    assert len(block.rows) == MOST_ROWS + 3
    assert block.hidden == 5000 - MOST_ROWS - 3


def test_facts_are_whole_or_counted() -> None:
    """A span's links, events and attributes are listed; of too many attributes the rest is told."""
    span = replace(
        samples.GOOD_SPANS[3],
        links=(Link(samples.FAR, "ee" * 8),),
        attributes={f"key.{n:05}": n for n in range(10_000)},
    )
    (row,) = drawn(run_with(span)).blocks[0].rows
    assert ("link", f"{samples.FAR} {'ee' * 8}") in row.facts
    assert ("event", "received at 0 s") in row.facts
    assert ("key.00099", "99") in row.facts
    assert ("…", "and 9900 more attributes") in row.facts
    assert ("resource service.version", "1.4.2") in row.facts
    assert len(row.facts) < 120


def test_no_span_no_picture() -> None:
    """Without spans there is nothing to draw, and nothing fails."""
    picture = drawn(samples.BLOCKED)
    assert picture.blocks == ()
    assert picture.services == ()


IDS = st.sampled_from(["", "1", "2", "3", "4"])
TIMES = st.integers(0, 2**64 - 1) | st.sampled_from([samples.nanoseconds(n) for n in range(5)])
SPANS = st.lists(
    st.builds(
        lambda span_id, parent, trace, start, end: replace(
            samples.GOOD_SPANS[0],
            span_id=span_id,
            parent_id=parent,
            trace_id=trace,
            start=start,
            end=end,
        ),
        IDS,
        IDS,
        IDS,
        TIMES,
        TIMES,
    ),
    max_size=12,
)


@given(SPANS)
def test_any_spans_have_their_place(spans: list[Span]) -> None:
    """Each span is in the picture once, and its bar is visible and within the axis."""
    run = run_with(*spans, marked=("1", "2", "3"))
    picture = drawn(run)
    rows = [row for block in picture.blocks for row in block.rows]
    assert len(rows) == len(spans)
    assert sum(map(len, forest(spans).values())) == len(spans)
    for row in rows:
        assert 0 <= row.x <= WIDTH
        assert row.width > 0
        assert row.x + row.width <= WIDTH + 0.01


def test_the_axis_ignores_impossible_times() -> None:
    """One span with a time of zero does not squeeze all others into a line."""
    odd = replace(samples.GOOD_SPANS[1], start=0, end=0)
    axis = axis_of(samples.evidence(spans=(*samples.GOOD_SPANS, odd)))
    assert axis == Axis(samples.nanoseconds(0), samples.nanoseconds(1600))
    assert axis.ticks() == ("0 s", "400 ms", "800 ms", "1.2 s", "1.6 s")


def test_an_axis_for_times_of_another_world() -> None:
    """When no span's times can be true, they are drawn by themselves all the same."""
    root, child = samples.GOOD_SPANS[:2]
    evidence = samples.evidence(
        spans=(replace(root, start=1000, end=9000), replace(child, start=2000, end=3000))
    )
    assert axis_of(evidence) == Axis(1000, 9000)
