"""Values as suites write them and as evidence has them: types, equality, patterns, durations."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Strict,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)
from pydantic_core import SchemaError

from validator.model import AttributeValue

_LONGEST_SHOWN = 80
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h)")

Scalar = (
    Annotated[bool, Strict()]
    | Annotated[int, Strict()]
    | Annotated[float, Strict()]
    | Annotated[str, Strict()]
)


def _in_one_line(value: Any, take: ValidatorFunctionWrapHandler) -> Any:
    """Complain once, not once for each type that it is not."""
    try:
        return take(value)
    except ValidationError as error:
        raise ValueError("expected text, a number, true or false, or a list of those") from error


Value = Annotated[Scalar | tuple[Scalar, ...], WrapValidator(_in_one_line)]
"""A value that a suite compares with: text, a number, true or false, or a list of those."""

TypeName = Literal["string", "int", "float", "bool", "array", "bytes", "map"]
"""The types of attribute values, as OTLP has them."""


class Missing:
    """Stands for a field that is not there; None is a value."""


MISSING: Final = Missing()
Found = AttributeValue | Missing


_TYPES: Final[tuple[tuple[type, TypeName], ...]] = (
    (bool, "bool"),
    (int, "int"),
    (float, "float"),
    (str, "string"),
    (bytes, "bytes"),
    (tuple, "array"),
    (Mapping, "map"),
)


class Untyped(str):
    """The text of a value of which the backend kept nothing else: it may have been of any type."""

    __slots__ = ()

    def could_be(self, kind: TypeName) -> bool:
        """Whether a value of this type has this text."""
        return kind in ("string", "bytes") or (kind in _TEXTS and self._reads_as(kind))

    def must_be(self, kind: TypeName) -> bool:
        """Whether no value of another type has this text (bytes apart, which nobody writes so)."""
        return kind == "string" and not any(map(self._reads_as, _TEXTS))

    def means(self, other: AttributeValue) -> bool:
        """Whether `other` has this text."""
        if isinstance(other, str):
            return str.__eq__(self, other)
        kind = type_of(other)
        if kind not in _TEXTS or not self._reads_as(kind):
            return False
        if isinstance(other, tuple):
            items: list[AttributeValue] = _json(self)
            return len(items) == len(other) and all(map(same, items, other))
        return bool(_json(self) == other)

    def _reads_as(self, kind: str) -> bool:
        return _TEXTS[kind].fullmatch(self) is not None


def _json(text: str) -> Any:
    """Read JSON; what is none is an empty list, which is equal to nothing that a suite writes."""
    try:
        return json.loads(text)
    except ValueError:
        return []


_TEXTS: Final[Mapping[str, re.Pattern[str]]] = {
    "bool": re.compile("true|false"),
    "int": re.compile("-?(?:0|[1-9][0-9]*)"),
    "float": re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?"),
    "array": re.compile(r"\[.*\]", re.DOTALL),
}
"""What a value of each type looks like as text, as JSON and Go write it."""


def type_of(value: AttributeValue) -> str:
    """Return the name of a value's type (True is no int)."""
    return next((name for kind, name in _TYPES if isinstance(value, kind)), "nothing")


def same(one: AttributeValue, other: AttributeValue) -> bool:
    """Whether two values are equal and of one type: 1 is neither 1.0 nor True."""
    if isinstance(one, Untyped):
        return one.means(other)
    if type_of(one) != type_of(other):
        return False
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def is_empty(value: AttributeValue) -> bool:
    """Whether a value says nothing: None, blank text, nothing in a list."""
    if isinstance(value, str | bytes):
        return not value.strip()
    return value is None or (isinstance(value, tuple | Mapping) and not value)


def shown(value: AttributeValue) -> str:
    """Write a value for people, text in quotes, cut to what fits on a line."""
    if isinstance(value, str):
        text = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    elif isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, tuple):
        text = f"[{', '.join(shown(item) for item in value[:5])}{', …' * (len(value) > 5)}]"
    elif value is None:
        text = "nothing"
    elif isinstance(value, Mapping):
        text = f"a map of {len(value)}"
    else:
        text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"


@lru_cache(maxsize=256)
def _matcher(pattern: str) -> TypeAdapter[str]:
    """Compile with the engine of pydantic, whose time is linear in the text for any pattern."""
    whole = Annotated[str, StringConstraints(pattern=rf"\A(?:{pattern})\z")]
    return TypeAdapter(whole)


def matches(pattern: str, text: str) -> bool:
    """Whether the whole of `text` matches."""
    try:
        _matcher(pattern).validate_python(text)
    except ValidationError:
        return False
    return True


def _check_pattern(pattern: str) -> str:
    try:
        TypeAdapter(Annotated[str, StringConstraints(pattern=pattern)])
        _matcher(pattern)
    except SchemaError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise ValueError(f"is not a regular expression: {reason}") from error
    return pattern


Pattern = Annotated[str, AfterValidator(_check_pattern)]
"""A regular expression that has to match the whole value (no look-around, no back-references)."""


def glob(pattern: str, text: str) -> bool:
    """Whether `text` matches `pattern`, in which `*` stands for anything."""
    if "*" not in pattern:
        return pattern == text
    first, *middle, last = pattern.split("*")
    at, end = len(first), len(text) - len(last)
    if end < at or not text.startswith(first) or not text.endswith(last):
        return False
    for part in middle:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def _seconds(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f'a duration needs its unit: "{value}s", "{value}ms" or "{value}m"')  # noqa: TRY004 - pydantic takes ValueError
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("expected a duration such as 500ms, 60s, 2m or 1h")
    seconds = float(match[1]) * _UNITS[match[2]]
    if seconds <= 0:
        raise ValueError("must be longer than zero")
    return seconds


Duration = Annotated[
    float,
    BeforeValidator(_seconds),
    WithJsonSchema({"type": "string", "pattern": rf"^{_DURATION.pattern}$"}),
]
"""Seconds, longer than zero; written with a unit."""
