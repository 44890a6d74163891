"""From complaints about fields to findings: grouped by what is wrong, told of examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from checks._bounded import few, marked
from checks._fields import Complaint
from checks._words import listed
from validator.model import Finding

T = TypeVar("T")

_MOST_NAMED = 5

_LIKELY: Mapping[str, str] = {
    "missing": "the code no longer sets it, or something on the way (a processor of the "
    "collector, an attribute limit) removes it",
    "empty": "the value was not known yet when it was set",
    "type": "it is set from another source now (a number that went through text, say); "
    "queries that compare it no longer match",
    "value": "the code sets another value, or the value of another job or stage",
    "foreign_trace": "the context of an earlier job is still set where it is logged, or a new "
    "trace was begun on the way",
    "forbidden": "what should be removed before it is exported is not",
}


@dataclass(frozen=True, slots=True)
class Told(Generic[T]):
    """How pieces of one kind are told of.

    `code` begins the codes of findings. `noun` names what was matched, `name` one piece with its
    ids, `query` is what to paste to see it, `ids` gives the span of a piece (empty if it has
    none), `final` whether nothing can replace the piece any more.
    """

    code: str
    noun: str
    name: Callable[[T], str]
    query: Callable[[T], str]
    ids: Callable[[T], str]
    final: Callable[[T], bool]


Wrong = Sequence[tuple[T, Sequence[Complaint]]]
"""Pieces and what is wrong with each; nothing is wrong with some."""


def on_every(told: Told[T], wrong: Wrong[T]) -> list[Finding]:
    """Return a finding for each way in which pieces are wrong."""
    groups: dict[tuple[str, str, str], list[tuple[T, Complaint]]] = {}
    for piece, said in wrong:
        for complaint in said:
            group = (complaint.code, complaint.key, complaint.expected)
            groups.setdefault(group, []).append((piece, complaint))
    return [_finding(told, group, len(wrong)) for group in groups.values()]


def _finding(told: Told[T], group: Sequence[tuple[T, Complaint]], of: int) -> Finding:
    first = group[0][1]
    share = "" if of == 1 else f" (on {len(group)} of {of})"
    more = [f"… and {len(group) - _MOST_NAMED} more"] if len(group) > _MOST_NAMED else []
    return Finding(
        code=_code(told, first),
        summary=f"{told.noun} {first.seen}{share}",
        expected=f"{first.expected} on every one of {of}" if of > 1 else first.expected,
        seen=tuple(
            [f"{told.name(piece)} {said.seen}" for piece, said in group[:_MOST_NAMED]] + more
        ),
        likely=_likely(first, len(group), of),
        query=told.query(group[0][0]),
        spans=marked(told.ids(piece) for piece, _ in group),
        final=any(told.final(piece) for piece, _ in group),
    )


def _code(told: Told[T], complaint: Complaint) -> str:
    return complaint.code if "_" in complaint.code else f"{told.code}_{complaint.code}"


def _likely(complaint: Complaint, wrong: int, of: int) -> str:
    if complaint.near:
        return f"has `{complaint.near}`; was `{complaint.key}` renamed?"
    if complaint.code == "missing" and wrong < of:
        return f"one way through the code does not set it: {of - wrong} of {of} have it"
    if complaint.code == "missing" and complaint.key in ("trace_id", "span_id"):
        return "it is logged outside of a span: in a thread or handler that has no trace context"
    return _LIKELY[complaint.code]


def on_any(told: Told[T], wrong: Wrong[T]) -> list[Finding]:
    """Return a finding if no piece is right: it tells of the one that comes nearest."""
    if not wrong or any(not said for _, said in wrong):
        return []
    piece, said = min(wrong, key=lambda pair: len(pair[1]))
    hints = [_likely(complaint, 1, 1) for complaint in said]
    return [
        Finding(
            code="none_fits",
            summary=f"{told.noun}: none of {len(wrong)} is as asked; the nearest {said[0].seen}",
            expected=f"at least one with {listed(complaint.expected for complaint in said)}",
            seen=tuple(f"{told.name(piece)} {complaint.seen}" for complaint in said),
            likely=hints[0],
            query=told.query(piece),
            spans=marked([told.ids(piece)]),
            absent=True,
        )
    ]


def earlier_notes(told: Told[T], word: Callable[[T], str], earlier: Wrong[T]) -> tuple[str, ...]:
    """Tell what is wrong with pieces of attempts that another replaced; it decides nothing."""
    return few(
        f"{word(piece)}: {told.name(piece)} {complaint.seen}"
        for piece, said in earlier
        for complaint in said
    )
