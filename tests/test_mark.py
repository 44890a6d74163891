"""What marks a run's job, to the letter of W3C Trace Context and Baggage."""

from __future__ import annotations

import re

from validator.mark import new_mark
from validator.traces import parent_id_for


def test_the_headers_are_those_of_the_specifications() -> None:
    """A sampled version 00 context, with a parent that is known from the trace; two members."""
    mark = new_mark({"page": "/x"})
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", mark.traceparent)
    assert mark.traceparent == f"00-{mark.trace_id}-{parent_id_for(mark.trace_id)}-01"
    assert mark.baggage == f"traffic=synthetic,obs_validator.run_id={mark.run_id}"
    assert mark.context["job.page"] == "/x"
    assert mark.context["run.corpus"] == f"obs-validator-{mark.run_id}"


def test_nothing_is_sent_that_is_not_wanted() -> None:
    """Without a context the ids of one are not known to templates either."""
    mark = new_mark({}, traceparent=False, baggage=False)
    assert (mark.traceparent, mark.trace_id, mark.parent_id, mark.baggage) == ("", "", "", "")
    assert mark.context["trace.id"] == ""


def test_chance_is_given_from_outside() -> None:
    """The same chance gives the same mark."""
    one, other = (new_mark({}, random_hex=lambda size: "ab" * size) for _ in range(2))
    assert one == other
    assert one.trace_id == "ab" * 16
