"""Cutting a text into overlapping chunks at sentence bounds, measured in tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Protocol

from rs_bpe import bpe

_SENTENCE: Final = re.compile(r"\s*[^.!?]*(?:[.!?]+|$)")


class Tokenizer(Protocol):
    """Counts the tokens of a text."""

    def count(self, text: str) -> int:
        """Return the number of tokens."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The most tokens in a chunk, and how many of them two neighbours share at most."""

    tokens: int = 400
    overlap: int = 60


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a text, in the order of the text."""

    index: int
    text: str
    tokens: int


def tokenizer() -> Tokenizer:
    """Return the tokenizer whose vocabulary comes with its package."""
    found: Tokenizer = bpe.openai.cl100k_base()
    return found


def split(text: str, counter: Tokenizer, limits: Limits | None = None) -> list[Chunk]:
    """Cut a text; an empty one has no chunks."""
    limits = limits or Limits()
    pieces = _pieces(text, counter, limits.tokens)
    chunks: list[Chunk] = []
    start = 0
    while start < len(pieces):
        end, total = start, 0
        while end < len(pieces) and total + pieces[end][1] <= limits.tokens:
            total += pieces[end][1]
            end += 1
        found = "".join(piece for piece, _ in pieces[start:end]).strip()
        chunks.append(Chunk(len(chunks), found, counter.count(found)))
        if end == len(pieces):
            break
        start = _step_back(pieces, start, end, limits.overlap)
    return chunks


def _step_back(pieces: list[tuple[str, int]], start: int, end: int, overlap: int) -> int:
    """Return where the next chunk starts: as many whole sentences back as the overlap takes."""
    back, shared = end, 0
    while back - 1 > start and shared + pieces[back - 1][1] <= overlap:
        back -= 1
        shared += pieces[back][1]
    return back


def _pieces(text: str, counter: Tokenizer, most: int) -> list[tuple[str, int]]:
    """Return the sentences with their tokens; one that is too long is cut by tokens."""
    found: list[tuple[str, int]] = []
    for match in _SENTENCE.finditer(text):
        sentence = match.group()
        if not sentence.strip():
            continue
        count = counter.count(sentence)
        if count <= most:
            found.append((sentence, count))
            continue
        found.extend(_cut(sentence, counter, most))
    return found


def _cut(sentence: str, counter: Tokenizer, most: int) -> list[tuple[str, int]]:
    pieces: list[tuple[str, int]] = []
    width = len(sentence)
    while sentence:
        piece = sentence[:width]
        count = counter.count(piece)
        if count > most:
            width = max(1, width * most // count - 1)
            continue
        pieces.append((piece, count))
        sentence = sentence[width:]
    return pieces
