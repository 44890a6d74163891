"""The text of pages: charsets, paragraphs, nothing at all, and HTML that costs too much."""

from __future__ import annotations

import re
from pathlib import Path

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import extract, reading, text
from pipeline.fetch_errors import PermanentError
from pipeline.reading import Limits

pytestmark = pytest.mark.req("P-06")

_MANY_TAGS = "<b></b>" * 2_000
"""So many that a page is read in a process of its own."""


def test_main_content_is_kept_and_the_rest_is_not() -> None:
    """Scripts, navigation and footers are left out; paragraphs are apart by a blank line."""
    page = (
        "<!doctype html><title>Title</title><script>let x</script><style>p {}</style>"
        "<nav><a href=/>Home</a></nav><article><h1>Head</h1><p>One.</p><p>Two\n <b>b</b>.</p>"
        "<ul><li>first</li><li>second</li></ul></article><footer>Foot</footer>"
    )
    found = reading.html(page.encode(), "")
    assert found.startswith("Head\n\nOne.\n\nTwo b.")
    assert found.split()[-2:] == ["first", "second"]
    assert not {"Title", "Home", "Foot", "let"} & set(found.split())


def test_a_page_without_main_content_is_its_text() -> None:
    """Where all is navigation, that is what there is."""
    assert reading.html(b"<nav>Only this</nav>", "") == "Only this"


@pytest.mark.parametrize(
    "body", [b"", b" \n\t ", b"<html></html>", b"<p> </p>", b"<title>x</title>", b"\xef\xbb\xbf"]
)
def test_nothing_is_nothing(body: bytes) -> None:
    """A page that is empty or white has an empty text, as HTML and as plain text."""
    assert reading.html(body, "") == ""
    if b"<" not in body:
        assert reading.plain(body, "") == ""


def test_plain_text_stays_as_it_is() -> None:
    """White space and what looks like HTML are left alone."""
    assert reading.plain(b"  a <b> &amp;\r\n\n\tc ", "utf-8") == "  a <b> &amp;\r\n\n\tc "


@pytest.mark.parametrize(
    ("charset", "written", "meta"),
    [
        ("utf-8", "utf-8", ""),
        ("ISO-8859-1", "cp1252", ""),
        ("windows-1251", "cp1251", "utf-8"),
        ("", "shift_jis", "shift_jis"),
        ("no-such-charset", "koi8-r", "koi8-r"),
        ("", "utf-8", ""),
        ("iso-8859-1", "utf-8-sig", "koi8-r"),
        ("utf-8", "utf-16", ""),
    ],
)
def test_charsets_are_those_of_bom_header_and_meta(charset: str, written: str, meta: str) -> None:
    """The byte order mark tells first, then the header, then the page, then a guess."""
    words = {
        "cp1252": "déjà vu",
        "shift_jis": "\u65e5\u672c\u8a9e",
        "cp1251": "\u043f\u0440\u0438",
    }
    said = words.get(written, "\u043f\u0440\u0438\u0432\u0435\u0442")
    page = f'<meta charset="{meta}"><p>{said}</p>' if meta else f"<p>{said}</p>"
    assert reading.html(page.encode(written), charset) == said


@pytest.mark.parametrize("charset", ["unicode_escape", "idna", "utf-7", "hex", "undefined"])
def test_pythons_own_codecs_cannot_be_asked_for(charset: str) -> None:
    """A charset is one of the Web's; others are guessed."""
    assert reading.plain(b"\\u0041+AEE-", charset) == "\\u0041+AEE-"


@settings(max_examples=80, deadline=None)
@given(
    st.binary(max_size=200),
    st.sampled_from(["", "utf-8", "utf-16", "utf-16be", "iso-2022-jp", "gb18030", "big5", "x"]),
    st.booleans(),
)
def test_any_bytes_are_a_text_that_can_be_stored(body: bytes, charset: str, apart: bool) -> None:
    """Nothing raises, and no NUL and no half surrogate is left for PostgreSQL."""
    wrapped = b"<p>&#0;&#xD800;" + body if apart else body
    for found in (reading.html(wrapped, charset), reading.plain(body, charset)):
        assert "\0" not in found
        assert found.encode().decode() == found


def test_one_word_of_a_hundred_thousand_letters_is_one_word() -> None:
    """A word is not cut, and takes no time."""
    page = b"<p>" + b"a" * 100_000 + b"</p>"
    assert reading.html(page, "") == "a" * 100_000


def test_what_may_be_costly_is_read_apart_with_the_same_result() -> None:
    """A page with many tags or bytes is read by another process, in the charset it was sent in."""
    page = f"<article><p>déjà</p><p>vu</p></article>{_MANY_TAGS}".encode("cp1252")
    assert reading.html(page, "iso-8859-1") == "déjà\n\nvu"
    long = f"<p>{'déjà ' * 20_000}".encode("cp1252")
    assert reading.html(long, "iso-8859-1").split() == ["déjà"] * 20_000


@pytest.mark.parametrize(
    ("page", "limits"),
    [
        (b"<div>" * 13_000, Limits(seconds=1)),
        (b"<table><tr><td>" * 20_000, Limits(memory=60_000_000)),
    ],
    ids=["time", "memory"],
)
def test_what_costs_too_much_is_unreadable(page: bytes, limits: Limits) -> None:
    """The process that reads it is ended at its limits; this one and its memory are untouched."""
    before = set(psutil.Process().children())
    with pytest.raises(PermanentError, match=f"with {limits.seconds} s of one") as refused:
        reading.html(page, "", limits)
    assert refused.value.code == "unreadable"
    assert set(psutil.Process().children()) == before


def test_a_process_that_is_starved_is_ended_too() -> None:
    """Processor time is not all: one that gets none is ended after twice the time."""
    with pytest.raises(PermanentError, match="ended after 0 s"):
        reading.html(b"<div>" * 20_000, "", Limits(seconds=0))


@pytest.mark.slow
def test_nine_megabytes_on_one_line_again_and_again_take_no_more_memory() -> None:
    """A large page is read in seconds, and after many there is no more in use than after one."""
    words = " ".join(text.words(100_000, seed=1))
    page = f"<article><p>{words * 20}"[:9_000_000].encode()
    counts = []
    for _ in range(8):
        assert len(reading.html(page, "").split()) > 1_200_000
        counts.append(psutil.Process().memory_info().rss)
    assert counts[-1] - counts[1] < 20_000_000


def test_the_program_imports_nothing_of_ours() -> None:
    """It is started for each large page, so it has to start at once."""
    text = Path(extract.__file__).read_text()
    assert "resiliparse" in text
    assert not {line for line in text.splitlines() if re.match(r"\s*(from|import) pipeline", line)}
