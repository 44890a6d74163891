"""How much of what was found is told: reports stay readable, and stored runs small."""

from __future__ import annotations

from collections.abc import Iterable

_MOST_MARKED = 500
_MOST_NOTES = 20


def marked(ids: Iterable[str]) -> tuple[str, ...]:
    """Return the ids of spans to mark, each once, no more than can be looked at."""
    return tuple(dict.fromkeys(filter(None, ids)))[:_MOST_MARKED]


def few(notes: Iterable[str]) -> tuple[str, ...]:
    """Return the first notes, and how many more there are."""
    every = tuple(notes)
    more = len(every) - _MOST_NOTES
    return (*every[:_MOST_NOTES], *([f"… and {more} more"] if more > 0 else []))
