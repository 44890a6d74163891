"""Cutting a text into overlapping chunks at sentence bounds, measured in tokens.

A chunk is a part of the text as it stands there, with the places where it begins and ends: what
lies between two chunks that do not overlap is white space and nothing else. The work grows with the
length of the text, whatever the text is: no part of it is counted more than a few times, and the
tokenizer, which lets no other thread run, is never given much at once.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from rs_bpe import bpe

if TYPE_CHECKING:
    from collections.abc import Iterator

_END: Final = re.compile(
    # Possessive, and begun only where a run begins: a million full stops are read once.
    r"(?<![.!?\u2026])[.!?\u2026]++[\"')\]\u201d\u2019\u00bb]*+(?=\s)"
    r"|[\u3002\uff01\uff1f]++[\u300d\u300f\uff09\u201d]*+"  # Chinese and Japanese, without spaces
    r"|\n[^\S\n]*+\n"
)
"""Where a sentence ends: its last mark with what closes after it, or an empty line."""
_LONGEST_GAP: Final = 64
"""Characters of white space that a chunk may have within; where there are more it ends."""
_CHARACTERS_A_TOKEN: Final = 16
"""A sentence of more than that for each token of the limit is cut without being counted whole."""
_LONGEST_CLUSTER: Final = 32
_WINDOW: Final = 50_000
_JOINER: Final = "\u200d"


class Tokenizer(Protocol):
    """Counts the tokens of a text."""

    def count(self, text: str) -> int:
        """Return the number of tokens."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The most tokens in a chunk, and how many of them two neighbours share at most."""

    tokens: int = 400
    overlap: int = 60

    def __post_init__(self) -> None:
        """Refuse what no text can be cut by: one character may be four tokens."""
        if self.tokens < 16 or not 0 <= self.overlap <= self.tokens // 2:
            raise ValueError(f"{self}: at least 16 tokens, of which the half may overlap")

    @property
    def piece(self) -> int:
        """The most tokens of a piece of a sentence that is too long; some overlap if any may."""
        return self.overlap if self.overlap >= 8 else self.tokens // 2


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a text, from the character `start` to before the character `end`."""

    index: int
    text: str
    tokens: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Piece:
    """A sentence, or a part of one that is too long; without white space around it."""

    start: int
    end: int
    tokens: int


def tokenizer() -> Tokenizer:
    """Return the tokenizer whose vocabulary comes with its package."""
    found: Tokenizer = bpe.openai.cl100k_base()
    return found


def split(text: str, counter: Tokenizer, limits: Limits | None = None) -> list[Chunk]:
    """Cut a text; an empty one has no chunks."""
    cutting = _Cutting(text, counter, limits or Limits())
    pieces = list(cutting.pieces())
    chunks: list[Chunk] = []
    start = new = 0
    while new < len(pieces):
        start = cutting.step_back(pieces, start, new)
        start, end, tokens = cutting.pack(pieces, start, new)
        first, last = pieces[start].start, pieces[end - 1].end
        chunks.append(Chunk(len(chunks), text[first:last], tokens, first, last))
        new = end
    return chunks


@dataclass(frozen=True, slots=True)
class _Cutting:
    """One text, and how it is to be cut."""

    text: str
    counter: Tokenizer
    limits: Limits

    def pieces(self) -> Iterator[_Piece]:
        """Yield the sentences; one that is too long is cut by tokens."""
        for start, end in _sentences(self.text):
            if end - start <= self.limits.tokens * _CHARACTERS_A_TOKEN:
                tokens = self._count(start, end)
                if tokens <= self.limits.tokens:
                    yield _Piece(start, end, tokens)
                    continue
            yield from self._cut(start, end)

    def step_back(self, pieces: list[_Piece], start: int, new: int) -> int:
        """Return the first piece of a chunk: as many before its first new one as may overlap.

        None of them is the first of the chunk before.
        """
        back, shared = new, 0
        while back - 1 > start:
            shared += pieces[back - 1].tokens + _gap(pieces, back)
            if shared > self.limits.overlap:
                break
            back -= 1
        # Tokens of pieces do not simply add up.
        while back < new and self._of(pieces, back, new) > self.limits.overlap:
            back += 1
        return back

    def pack(self, pieces: list[_Piece], start: int, new: int) -> tuple[int, int, int]:
        """Return the first piece of a chunk, the one after its last, and its tokens.

        At least the piece `new` is in it; where that needs the room, those before it are not.
        """
        end, total = start, 0
        while end < len(pieces):
            gap = _gap(pieces, end) if end > start else 0
            total += gap + pieces[end].tokens
            if end > new and (gap > _LONGEST_GAP or total > self.limits.tokens):
                break
            if end == new and gap > _LONGEST_GAP:
                start, total = new, pieces[new].tokens
            end += 1
        tokens = self._of(pieces, start, end)
        while tokens > self.limits.tokens and end - start > 1:
            over = tokens - self.limits.tokens
            if end - 1 > new:
                end = _without(pieces, new, end, over)
            else:
                start += 1
            tokens = self._of(pieces, start, end)
        return start, end, tokens

    def _cut(self, start: int, end: int) -> Iterator[_Piece]:
        """Cut a long sentence between words where it has any."""
        most = self.limits.piece
        at, width = start, most * 4
        while at < end:
            stop = min(at + width, end)
            tokens = self._count(at, stop)
            if tokens > most and stop - at > 1:
                width = max(1, min((stop - at) * most // tokens, (stop - at) * 3 // 4))
                continue
            if tokens * 2 < most:
                width = min(width * 2, most * _CHARACTERS_A_TOKEN)
            stop = _between_words(self.text, at, stop, end)
            for first, last in _trimmed(self.text, at, stop):
                yield _Piece(first, last, self._count(first, last))
            at = stop

    def _count(self, start: int, end: int) -> int:
        return self.counter.count(self.text[start:end])

    def _of(self, pieces: list[_Piece], start: int, end: int) -> int:
        return self._count(pieces[start].start, pieces[end - 1].end)


def _sentences(text: str) -> Iterator[tuple[int, int]]:
    """Yield where each sentence begins and ends, white space around it left out."""
    begin = 0
    for first, last in _windows(text):
        for found in _END.finditer(text, first, last):
            yield from _trimmed(text, begin, found.end())
            begin = found.end()
    yield from _trimmed(text, begin, len(text))


def _windows(text: str) -> Iterator[tuple[int, int]]:
    """Cut a text after letters or digits, where no sentence ends.

    A search lets no other thread run before its end.
    """
    first = 0
    while first < len(text):
        last = min(first + _WINDOW, len(text))
        while last < len(text) and not text[last - 1].isalnum():
            last += 1
        yield first, last
        first = last


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    part = text[start:end]
    kept = part.strip()
    if kept:
        first = start + len(part) - len(part.lstrip())
        yield first, first + len(kept)


def _gap(pieces: list[_Piece], at: int) -> int:
    """Return the tokens of the white space before a piece, or more.

    A space is part of its word's token, and an empty line of the full stop's before it.
    """
    between = pieces[at].start - pieces[at - 1].end if at else 0
    return between if between > 2 else 0


def _without(pieces: list[_Piece], new: int, end: int, over: int) -> int:
    """Return the end of a chunk without its last pieces, which have so many tokens."""
    while end - 1 > new and over > 0:
        end -= 1
        over -= pieces[end].tokens
    return end


def _between_words(text: str, at: int, stop: int, end: int) -> int:
    """Return a place near before `stop` at which no word is cut, or at least no character."""
    if stop == end:
        return stop
    for place in range(stop, at + (stop - at) // 2, -1):
        if text[place].isspace():
            return place
    for place in range(stop, max(at, stop - _LONGEST_CLUSTER), -1):
        if not _joined(text, place):
            return place
    return stop


def _joined(text: str, place: int) -> bool:
    """Tell whether the characters at both sides of a place are shown as one."""
    after = text[place]
    return (
        unicodedata.category(after).startswith("M")
        or _JOINER in text[place - 1 : place + 1]
        or "\U0001f3fb" <= after <= "\U0001f3ff"  # the tones of skin
    )
