"""What may be asked of the fields of a span or a log line, and what is wrong with one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from pydantic import Field, model_validator

from checks._near import nearest
from checks._params import Params
from checks._values import (
    Found,
    Missing,
    Pattern,
    TypeName,
    Untyped,
    Value,
    glob,
    is_empty,
    matches,
    same,
    shown,
    type_of,
)
from validator.model import AttributeValue

_RULES = ("require", "types", "equals", "matches", "one_of", "absent")


class FieldRules(Params):
    """Rules for fields by their keys; a key under any rule but `absent` has to be there."""

    require: tuple[str, ...] = Field(
        (), description="keys that have to be there and must not be empty"
    )
    types: Mapping[str, TypeName] = Field({}, description="the type of each key's value, strictly")
    equals: Mapping[str, Value] = Field({}, description="the value of each key, of the same type")
    matches: Mapping[str, Pattern] = Field(
        {}, description="a regular expression that each key's whole text has to match"
    )
    one_of: Mapping[str, tuple[Value, ...]] = Field(
        {}, description="the values that each key may have"
    )
    absent: tuple[str, ...] = Field(
        (), description="keys that must not be there (`*` stands for anything)"
    )

    @model_validator(mode="after")
    def _consistent(self) -> FieldRules:
        for key in self.wanted_keys():
            for pattern in self.absent:
                if glob(pattern, key):
                    raise ValueError(f"`{key}` is asked for, and `absent` ({pattern}) forbids it")
        for key, values in self.one_of.items():
            if not values:
                raise ValueError(f"one_of: `{key}` has no values to choose from")
        return self

    def wanted_keys(self) -> tuple[str, ...]:
        """Return the keys that have to be there, in the order of the suite."""
        asked = (self.require, self.types, self.equals, self.matches, self.one_of)
        return tuple(dict.fromkeys(key for keys in asked for key in keys))

    def says_nothing(self) -> bool:
        """Whether no rule is given at all."""
        return not any(getattr(self, rule) for rule in _RULES)


@dataclass(frozen=True, slots=True)
class Piece:
    """The fields of one span or line: `get` reads one by its key, `known` lists those it has.

    `spelled` returns the keys that a glob may mean where the backend has a spelling of its own.
    """

    get: Callable[[str], Found]
    known: Callable[[], Iterable[str]]
    spelled: Callable[[str], Iterable[str]] = lambda _pattern: ()


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing wrong with one field of one piece; `near` is what the key may be called now."""

    code: str
    key: str
    expected: str
    seen: str
    near: str = ""


def complaints(rules: FieldRules, piece: Piece) -> list[Complaint]:
    """Return what is wrong with a piece, key by key, at most one complaint for each."""
    found = [_of_key(rules, piece, key) for key in rules.wanted_keys()]
    forbidden = [
        Complaint("forbidden", key, f"no `{pattern}`", f"has `{key}` (its value is not shown here)")
        for pattern in rules.absent
        for key in _present(piece, pattern)
    ]
    return [*filter(None, found), *forbidden]


def _present(piece: Piece, pattern: str) -> list[str]:
    if "*" in pattern:
        meant = {key for key in piece.known() if glob(pattern, key)}
        return sorted(meant.union(piece.spelled(pattern)))
    return [] if isinstance(piece.get(pattern), Missing) else [pattern]


def _of_key(rules: FieldRules, piece: Piece, key: str) -> Complaint | None:
    value = piece.get(key)
    if isinstance(value, Missing):
        near = nearest(key, piece.known())
        seen = f"has no `{key}`" + (f"; has `{near}`" if near else "")
        return Complaint("missing", key, f"`{key}`{_ask(rules, key)}", seen, near)
    if key in rules.require and is_empty(value):
        seen = f"has `{key}`, present but empty ({shown(value)})"
        return Complaint("empty", key, f"`{key}`{_ask(rules, key)}", seen)
    what = f"has `{key}` = {shown(value)} ({type_of(value)})"
    if key in rules.types and not _is_of(value, rules.types[key]):
        return Complaint("type", key, f"`{key}` of type {rules.types[key]}", what)
    if not _fits(rules, key, value):
        return Complaint("value", key, f"`{key}`{_ask(rules, key)}", what)
    return None


def _is_of(value: AttributeValue, kind: TypeName) -> bool:
    return value.could_be(kind) if isinstance(value, Untyped) else type_of(value) == kind


def untold(rules: FieldRules, piece: Piece) -> dict[str, str]:
    """Return the keys of a piece whose type is asked for and cannot be known, with their text."""
    values = {key: piece.get(key) for key in rules.types}
    return {
        key: value
        for key, value in values.items()
        if isinstance(value, Untyped) and not value.must_be(rules.types[key])
    }


def _fits(rules: FieldRules, key: str, value: AttributeValue) -> bool:
    if key in rules.equals and not same(value, rules.equals[key]):
        return False
    if key in rules.matches and not (isinstance(value, str) and matches(rules.matches[key], value)):
        return False
    return key not in rules.one_of or any(same(value, one) for one in rules.one_of[key])


def _ask(rules: FieldRules, key: str) -> str:
    """Say what is asked of the key beyond its being there."""
    asks = []
    if key in rules.equals:
        wanted = rules.equals[key]
        asks.append(f"= {shown(wanted)} ({type_of(wanted)})")
    if key in rules.matches:
        asks.append(f"matching /{rules.matches[key]}/")
    if key in rules.one_of:
        asks.append(f"one of {', '.join(shown(value) for value in rules.one_of[key])}")
    if not asks and key in rules.types:
        asks.append(f"of type {rules.types[key]}")
    return " " + " and ".join(asks) if asks else ""
