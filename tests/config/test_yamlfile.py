"""YAML with lines, and no surprises in its scalars."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from validator.errors import ConfigError
from validator.yamlfile import nearest, parse, shown

PATH = Path("file.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("on", "on"),
        ("12:30", "12:30"),
        ("2026-01-01", "2026-01-01"),
        ("0o14", "0o14"),
        ("1_000", "1_000"),
        ("=", "="),
        (".inf", ".inf"),
        ("1e999", "1e999"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("-7", -7),
        ("007", 7),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ('"1"', "1"),
        ("'true'", "true"),
        ("", None),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    """What editors show as text is text here too."""
    found = parse(PATH, f"a: {text}\n").value["a"]
    assert (found, type(found)) == (value, type(value))


def test_every_value_knows_its_line() -> None:
    """Keys, items of lists, flow style; what is not there has the line of what it would be in."""
    document = parse(PATH, "a:\n  b:\n    - c\n    - {d: 1,\n       e: 2}\n")
    assert document.value == {"a": {"b": ["c", {"d": 1, "e": 2}]}}
    assert document.line(("a",)) == 1
    assert document.line(("a", "b", 0)) == 3
    assert document.line(("a", "b", 1, "e")) == 5
    assert document.line(("a", "b", 1, "missing", "deeper")) == 4
    assert document.line(("z",)) == 1
    assert document.where(("a", "b")) == "file.yaml:2"


def test_aliases_are_values() -> None:
    """An anchor may be used again."""
    assert parse(PATH, "a: &x [1]\nb: *x\n").value == {"a": [1], "b": [1]}


@pytest.mark.untraced
@pytest.mark.parametrize("text", ["[" * 2000, "{a: " * 2000, "- " * 2000])
def test_what_is_nested_too_deeply_is_refused(text: str) -> None:
    """No nesting ends in a stack trace."""
    with pytest.raises(ConfigError, match=r"file.yaml:1: "):
        parse(PATH, text)


def test_a_control_character_is_refused() -> None:
    """What YAML forbids is told, with the file."""
    with pytest.raises(ConfigError, match=r"file.yaml:1: is not YAML: unacceptable character"):
        parse(PATH, "a: \x07")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("Methode", '; did you mean "method"? known: body, method'),
        ("METHOD", '; did you mean "method"? known: body, method'),
        ("zzz", "; known: body, method"),
    ],
)
def test_the_nearest_word_is_offered_when_there_is_one(word: str, said: str) -> None:
    """A guess is made only where it is likely; what is known is always said."""
    assert nearest(word, ["method", "body"]) == said
    assert nearest(word, []) == ""


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "nothing"),
        (True, "the boolean true"),
        (1.5, "the number 1.5"),
        ("a" * 70, f'the text "{"a" * 57}..."'),
        ([], "a list"),
        ({}, "a mapping"),
    ],
)
def test_values_are_shown_in_words(value: Any, said: str) -> None:
    """Every kind of value can be named, shortly."""
    assert shown(value) == said
