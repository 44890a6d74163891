"""Chunking: token counts, overlap, order, bounds, and texts that are empty or very short."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import chunks, text

pytestmark = pytest.mark.req("P-07")

_COUNTER = chunks.tokenizer()


def _document(words: int) -> str:
    return "\n\n".join(text.paragraphs(words, seed=words))


@pytest.mark.parametrize(("words", "expected"), [(5_000, 17), (80_000, 244)])
def test_documents_have_the_documented_number_of_chunks(words: int, expected: int) -> None:
    """5,000 words give about 17 chunks and 80,000 about 244, each within ten percent."""
    found = chunks.split(_document(words), _COUNTER)
    assert abs(len(found) - expected) <= expected / 10


def test_chunks_are_within_the_limit_and_counted_right() -> None:
    """No chunk has more tokens than the limit, and each says how many it has."""
    limits = chunks.Limits(tokens=120, overlap=30)
    for chunk in chunks.split(_document(3_000), _COUNTER, limits):
        assert chunk.tokens == _COUNTER.count(chunk.text) <= limits.tokens


def test_chunks_are_in_the_order_of_the_text_and_lose_nothing() -> None:
    """The chunks follow each other in the text, and every sentence is in one of them."""
    document = _document(2_000)
    found = chunks.split(document, _COUNTER, chunks.Limits(tokens=150, overlap=40))
    places = [document.index(chunk.text) for chunk in found]
    assert places == sorted(places)
    assert [chunk.index for chunk in found] == list(range(len(found)))
    joined = "\n".join(chunk.text for chunk in found)
    assert all(sentence in joined for sentence in text.words(2_000, seed=2_000))


def test_neighbours_overlap_by_whole_sentences_within_the_limit() -> None:
    """Two neighbours share something, at most as many tokens as the overlap allows."""
    document = _document(2_000)
    limits = chunks.Limits(tokens=150, overlap=40)
    found = chunks.split(document, _COUNTER, limits)
    for left, right in pairwise(found):
        begin = document.index(right.text)
        shared = document[begin : document.index(left.text) + len(left.text)]
        assert shared.endswith(".")
        assert 0 < _COUNTER.count(shared) <= limits.overlap


@pytest.mark.parametrize("document", ["", " ", "\n\n\t"])
def test_empty_text_has_no_chunks(document: str) -> None:
    """Where there is no text there are no chunks."""
    assert chunks.split(document, _COUNTER) == []


@pytest.mark.parametrize("document", ["a", "One word", "No end", "Done."])
def test_very_short_text_is_one_chunk(document: str) -> None:
    """A very short text is one chunk, whole."""
    assert [chunk.text for chunk in chunks.split(document, _COUNTER)] == [document]


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="ab .!?\nß漢😀", max_size=400))
def test_any_text_is_cut_within_the_limit(document: str) -> None:
    """Whatever the text, also without a sentence's end, no chunk is too long and it ends."""
    limits = chunks.Limits(tokens=20, overlap=5)
    for chunk in chunks.split(document, _COUNTER, limits):
        assert chunk.tokens <= limits.tokens


def test_same_seed_same_text() -> None:
    """Generated documents are the same each time and have exactly the words asked for."""
    assert _document(500) == _document(500)
    assert len(_document(500).split()) == 500
