"""Promises of the Markdown summary: evidence does nothing but show, and GitHub takes it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.report import samples
from validator.model import Status
from validator.report.markdown import MOST, escape, render


def outside_fences(text: str) -> list[str]:
    """Return the lines that Markdown interprets."""
    lines, fence = [], ""
    for line in text.splitlines():
        mark = line.strip()
        if not fence and mark.startswith("```"):
            fence = mark
        elif fence and set(mark) == {"`"} and len(mark) >= len(fence):
            fence = ""
        elif not fence:
            lines.append(line)
    assert fence == ""
    return lines


def test_hostile_text_does_nothing() -> None:
    """Outside of fences there is no tag but ours, no open backtick, no cell too many."""
    lines = outside_fences(render([samples.HOSTILE]))
    for line in lines:
        bare = line.replace("<code>", "").replace("</code>", "").replace("<br>", "")
        assert "<" not in bare
        assert "`" not in bare.replace("\\`", "")
        assert "[" not in bare.replace("\\[", "")
    table = [line for line in lines if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in table} == {4}


@pytest.mark.parametrize("ticks", [1, 3, 8])
def test_a_query_cannot_leave_its_fence(ticks: int) -> None:
    """A query with backticks is fenced with more of them, and is there as it was."""
    for query in ("`" * ticks, f"{{ a = `x` }} {'`' * ticks} <b>"):
        finding = replace(samples.LOST_FINDING, query=query)
        verdict = samples.verdict("c", Status.FAIL, "s", findings=(finding,))
        text = render([samples.run("r", (verdict,), samples.evidence())])
        assert f"\n  {query}\n" in text
        assert query not in [line.strip() for line in outside_fences(text)]


def test_names_stay_readable() -> None:
    """An underscore within a word means nothing to GitHub, and is left alone."""
    assert escape("connected_trace") == "connected_trace"
    assert escape("_em_ *b* @team #1") == "\\_em\\_ \\*b\\* &#64;team \\#1"


def test_it_stays_below_the_limit() -> None:
    """Runs beyond what GitHub takes are left out, and their number is said."""
    text = render([samples.HOSTILE] * 300)
    assert len(text.encode()) < MOST + 200
    assert "more runs are not shown: the summary would be too long" in text
