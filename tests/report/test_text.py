"""Promises of the texts' neutrality: nothing steers, nothing hides, nothing runs on."""

from __future__ import annotations

import math
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.report import samples
from validator.model import AttributeValue
from validator.report.text import duration, moment, plain, value_text


@given(st.text(st.characters()), st.integers(1, 50))
def test_any_text_is_neutral(text: str, limit: int) -> None:
    """What comes out is one line, encodable, of the length asked for, without steering."""
    shown = plain(text, limit)
    assert len(shown) <= limit
    assert len(shown.splitlines()) <= 1
    shown.encode("utf-8")
    assert not {unicodedata.category(mark) for mark in shown} & {"Cc", "Cs", "Zl", "Zp"}
    assert plain(shown, limit) == shown


def test_steering_is_replaced() -> None:
    """Escapes, NUL, direction marks, invisible and illegal characters do not get through."""
    evil = "a\x1b[31mb\x00c\u202ed\u2066e\u200bf\ufffeg\x9b1mh\ud800i\U000e0041j"
    assert plain(evil) == "a�[31mb�c�d�e�f�g�1mh�i�j"
    assert plain("one\r\ntwo\tthree\u2028four") == "one two three four"


def test_length_is_kept() -> None:
    """A long text ends in an ellipsis; one that just fits is left alone."""
    assert plain("x" * 10, 10) == "x" * 10
    assert plain("x" * 11, 10) == "x" * 9 + "…"
    long = plain(samples.EVIL * 10_000)  # its line breaks are shorter than they were
    assert 490 < len(long) <= 500
    assert long.endswith("…")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a b", "a b"),
        (True, "true"),
        (1, "1"),
        (1.0, "1.0"),
        (None, "null"),
        (math.nan, "NaN"),
        (b"\x00\xff", '"bytes 00ff"'),
        (("a", 1, {"k": (None,)}), '["a", 1, {"k": [null]}]'),
        ("\x1b[2J", "�[2J"),
        (("\x1b\ud800",), '["\\u001b�"]'),
    ],
)
def test_values_are_readable(value: AttributeValue, text: str) -> None:
    """Each kind of attribute value is shown as people would write it."""
    assert value_text(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.00045, "450 µs"),
        (0.041, "41 ms"),
        (-0.041, "-41 ms"),
        (1.62, "1.62 s"),
        (4.0, "4 s"),
        (125, "2 min 5 s"),
        (-125, "-2 min 5 s"),
        (119.9, "2 min 0 s"),
        (7200, "2.0 h"),
        (864_000, "10 d"),
    ],
)
def test_durations_are_readable(seconds: float, text: str) -> None:
    """A duration is in the unit that fits it."""
    assert duration(seconds) == text


def test_any_moment_is_shown() -> None:
    """A time that no calendar has is shown as the number it is."""
    assert moment(samples.BEGIN) == "2026-09-21 14:13:20 UTC"
    assert moment(1e30) == "1e+30"
    assert moment(math.nan) == "nan"
