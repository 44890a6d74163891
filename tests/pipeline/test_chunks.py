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


_TEXTS = st.one_of(
    st.text(alphabet="ab .!?\nß漢😀", max_size=400),
    st.text(max_size=200),
    st.text(alphabet="e\u0301\u200d👩👧🏽\ufe0f ", max_size=200),  # what is shown as one
    st.text(alphabet="אבג ד.؟\u202e", max_size=200),
    st.text(alphabet="漢字かな。\uff01\uff1f", max_size=300),
    st.text(alphabet=".!?\"')…—", max_size=300),
    st.text(alphabet="ab \t\n\x0b\x1c\x85\u2003\u2028", max_size=300),
    st.builds(
        lambda word, gap: f"{word} {gap}{word}. {word}",
        st.text("xyz", max_size=300),
        st.text(" \n", max_size=200),
    ),
)


def _check_whole(document: str, found: list[chunks.Chunk], limits: chunks.Limits) -> None:
    """Each chunk is what stands in the text, and what none of them has is white space."""
    assert [chunk.index for chunk in found] == list(range(len(found)))
    covered = 0
    for chunk in found:
        assert chunk.text == chunk.text.strip() == document[chunk.start : chunk.end]
        assert 0 < chunk.tokens == _COUNTER.count(chunk.text) <= limits.tokens
        assert document[covered : chunk.start].strip() == ""
        assert chunk.end > covered  # none is a part of those before it
        covered = chunk.end
    assert document[covered:].strip() == ""
    for left, right in pairwise(found):
        assert right.start > left.start
        shared = document[right.start : left.end] if right.start < left.end else ""
        assert _COUNTER.count(shared) <= limits.overlap


@settings(max_examples=60, deadline=None)
@given(_TEXTS, st.sampled_from([(20, 5), (16, 0), (30, 15), (200, 100)]))
def test_of_any_text_nothing_is_lost(document: str, numbers: tuple[int, int]) -> None:
    """The chunks without their overlaps are the text, but for white space; each within limits."""
    limits = chunks.Limits(*numbers)
    found = chunks.split(document, _COUNTER, limits)
    _check_whole(document, found, limits)
    left = "".join(
        document[max(chunk.start, before) : chunk.end]
        for chunk, before in zip(found, [0, *(chunk.end for chunk in found)], strict=False)
    )
    assert "".join(left.split()) == "".join(document.split())


_HOSTILE = {
    "one word": "a" * 100_000,
    "no sentence ends": "no end in sight " * 20_000,
    "no spaces": "漢字" * 20_000,
    "full stops": "." * 300_000,
    "questions": "?!" * 100_000 + " ",
    "quotes after each": '."' * 60_000,
    "tiny sentences": "a. " * 10_000,
    "wide gaps": ("a." + " " * 5_000) * 100,
    "lines of spaces": ("\n" + " " * 50) * 10_000 + "x",
    "white space": " " * 300_000 + "\n" * 100_000,
    "accents": "e" + "\u0301" * 50_000,
    "families": "👩\u200d👩\u200d👧 " * 5_000,
    "dense and thin by turns": ("漢" * 200 + "word " * 200) * 100,
    "dense, then thin": "é漢😀" * 10_000 + "word " * 20_000,
}


class _Measured:
    """Counts as if a token had three bytes, and remembers how much it was given."""

    def __init__(self) -> None:
        self.calls = self.characters = self.longest = 0

    def count(self, text: str) -> int:
        """Return the tokens of a text."""
        self.calls += 1
        self.characters += len(text)
        self.longest = max(self.longest, len(text))
        return (len(text.encode()) + 2) // 3


@pytest.mark.parametrize("name", _HOSTILE)
def test_work_grows_with_the_length_of_the_text(name: str) -> None:
    """Each character is counted a few times, and never are many counted in one call."""
    document, counter = _HOSTILE[name], _Measured()
    found = chunks.split(document, counter)
    assert (not found) is (not document.strip())
    assert counter.characters <= 6 * len(document)
    assert counter.calls <= len(document)
    assert counter.longest <= 16 * 400


@pytest.mark.parametrize("name", ["one word", "no sentence ends", "families", "tiny sentences"])
def test_of_a_hostile_text_nothing_is_lost(name: str) -> None:
    """It is whole, with neighbours that overlap, by the tokenizer that is used."""
    document = _HOSTILE[name][:15_000]
    found = chunks.split(document, _COUNTER)
    _check_whole(document, found, chunks.Limits())
    assert all(right.start < left.end for left, right in pairwise(found))
    assert sum(chunk.tokens for chunk in found) / len(found) > 300


def test_a_text_longer_than_is_searched_at_once_is_cut_the_same() -> None:
    """Where the search for ends of sentences goes on, no sentence ends that would not else."""
    sentence = "Ten words make this a sentence of a short text. "
    once = chunks.split(sentence * 200, _COUNTER)
    many = chunks.split(sentence * 5_000, _COUNTER)
    assert [chunk.text for chunk in many[:3]] == [chunk.text for chunk in once[:3]]
    assert {chunk.text for chunk in many[:-1]} == {once[0].text}


def test_sentences_end_where_readers_see_it() -> None:
    """Not within a number; after closing quotes; without a space in Chinese; at an empty line."""
    sentence = "It costs 3.14 euros, says e!Max, and nobody knows why it should cost any more"
    document = f'"{sentence}." {sentence}?! 它很好。{sentence}\n \n{sentence}'
    found = chunks.split(document, _COUNTER, chunks.Limits(tokens=24, overlap=0))
    assert [chunk.text for chunk in found] == [
        f'"{sentence}."',
        f"{sentence}?!",
        "它很好。",
        sentence,
        sentence,
    ]


def test_a_wide_gap_is_not_within_a_chunk() -> None:
    """Also not between what two chunks could share and what is new."""
    gap = " " * 90
    document = f"One is short. Another is too.{gap}The third is far away. The fourth is not."
    found = chunks.split(document, _COUNTER, chunks.Limits(tokens=400, overlap=200))
    assert [chunk.text for chunk in found] == [part.strip() for part in document.split(gap)]


def test_a_word_is_not_cut_nor_what_is_shown_as_one_character() -> None:
    """In a sentence that is too long, cuts are between words; without words, between characters."""
    limits = chunks.Limits(tokens=80, overlap=40)
    words = [f"word{number}" for number in range(500)]
    found = chunks.split(" ".join(words), _COUNTER, limits)
    assert {word for chunk in found for word in chunk.text.split()} == set(words)
    family = "👩🏽\u200d👧e\u0301"
    for tokens in range(60, 80):
        for chunk in chunks.split(family * 60, _COUNTER, chunks.Limits(tokens, tokens // 2)):
            assert chunk.text[0] in "👩e"
            assert chunk.text[-1] in "👧\u0301"


class _Sticky:
    """Counts words, and three for each joint of two sentences: the sum of parts is too little."""

    def count(self, text: str) -> int:
        """Return the tokens of a text."""
        return len(text.split()) + 3 * text.count(". ")


def test_limits_hold_where_tokens_do_not_add_up() -> None:
    """What sentences have one by one says little of what they have together."""
    document = "\n".join(" ".join(text.words(40, seed=seed)) for seed in range(40))
    limits, counter = chunks.Limits(tokens=60, overlap=30), _Sticky()
    found = chunks.split(document, counter, limits)
    assert all(counter.count(chunk.text) == chunk.tokens <= limits.tokens for chunk in found)
    shared = [document[right.start : left.end] for left, right in pairwise(found)]
    assert all(counter.count(part) <= limits.overlap for part in shared)
    assert sum(map(bool, shared)) > len(found) / 2
    short, long = f"{'short ' * 24}one. ", f"{'long ' * 49}one. "
    for chunk in chunks.split((short * 2 + long) * 20, counter, limits):
        assert counter.count(chunk.text) <= limits.tokens


@pytest.mark.parametrize(("tokens", "overlap"), [(15, 5), (100, 51), (100, -1)])
def test_limits_that_no_text_can_be_cut_by_are_refused(tokens: int, overlap: int) -> None:
    """One character may be four tokens, and chunks have to come to an end."""
    with pytest.raises(ValueError, match="at least 16 tokens"):
        chunks.Limits(tokens, overlap)


def test_same_seed_same_text() -> None:
    """Generated documents are the same each time and have exactly the words asked for."""
    assert _document(500) == _document(500)
    assert len(_document(500).split()) == 500
