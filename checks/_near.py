"""The nearest candidate: what a missing word may be called now."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import lru_cache

_MOST_COMPARED = 500
_LEAST_ALIKE = 0.6


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the candidate most like `word`, empty if none is alike; spelling goes first."""
    candidates = sorted({name for name in known if name and name != word})
    return _nearest(word, tuple(candidates[:_MOST_COMPARED]))


@lru_cache(maxsize=1024)
def _nearest(word: str, candidates: tuple[str, ...]) -> str:
    """Compare once: a hundred thousand spans of a kind have the same keys."""
    bare = _bare(word)
    for name in candidates:
        if bare and _bare(name) == bare:
            return name
    close = difflib.get_close_matches(word, candidates, 1, _LEAST_ALIKE)
    return close[0] if close else ""


def _bare(word: str) -> str:
    return "".join(letter for letter in word.lower() if letter.isalnum())
