"""Dataclasses to JSON and back without loss, led by their types.

What JSON cannot say is tagged: an object with a single key that begins with `$`.

    {"$bytes": "AAE="}          bytes, base64
    {"$float": "NaN"}           NaN, Infinity, -Infinity
    {"$int": "36893488147419"}  an integer beyond 64 bits
    {"$map": {"$int": 1}}       a mapping that would itself look like a tag

Everything else is plain: a tuple is an array, `1` an integer, `1.0` a float. Keys are sorted and
nothing is indented, so equal values are equal bytes. A field that is not there takes its default
if it has one; what does not fit is a `MisfitError` with the path to it.
"""

from __future__ import annotations

import base64
import binascii
import builtins
import json
import math
import types
from collections import abc
from collections.abc import Callable, Hashable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, NoReturn, cast, get_args, get_origin, get_type_hints

import orjson

from validator.model import AttributeValue

_Decoder = Callable[[Any], Any]
_LOWEST, _HIGHEST = -(2**63), 2**64 - 1
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_PLAIN = frozenset({str, bool, types.NoneType})
_ALIASES = {"AttributeValue": Any, "Attributes": Mapping[str, Any]}
"""What the model's recursive types are read as: `Any` is an attribute's value."""


class MisfitError(Exception):
    """Something in a document does not fit its type; the path to it grows on the way up."""

    def __init__(self, message: str) -> None:
        """Say what does not fit."""
        super().__init__(message)
        self.path = ""

    def under(self, key: str) -> MisfitError:
        """Put `key` before the path."""
        self.path = key + self.path
        return self


def dump(document: dict[str, Any]) -> bytes:
    """Write JSON; what orjson refuses (lone surrogates, deep nesting) the slower module writes."""
    try:
        return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode("ascii")


def encode(value: Any) -> Any:
    """Turn a dataclass, or anything in one, into what JSON can say."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is tuple:
        return [encode(item) for item in value]
    if is_dataclass(value):
        return {name: encode(getattr(value, name)) for name in _names(cast("Hashable", kind))}
    if isinstance(value, Mapping):
        return _encode_values(value)
    if isinstance(value, Enum):
        return value.value
    return _encode_value(value)


@cache
def _names(kind: Any) -> tuple[str, ...]:
    """Return the names of a dataclass's fields."""
    return tuple(item.name for item in fields(kind))


def _encode_values(values: Mapping[Any, Any]) -> dict[str, Any]:
    """Turn a mapping that is known to be one: it needs no tag of its own."""
    return {
        (key if type(key) is str else str(key)): (
            value if type(value) in _PLAIN else _encode_member(value)
        )
        for key, value in values.items()
    }


def _encode_member(value: Any) -> Any:
    """Turn a value of a mapping: a dataclass (of `coverage`) or an attribute's value."""
    return encode(value) if is_dataclass(value) else _encode_value(value)


def _encode_value(value: AttributeValue) -> Any:
    """Turn an attribute's value, with a tag where JSON has no word for it."""
    if isinstance(value, str | bool | None):
        return value
    if isinstance(value, int):
        return value if _LOWEST <= value <= _HIGHEST else {"$int": str(value)}
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": json.dumps(value)}
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode("ascii")}
    if isinstance(value, tuple):
        return [_encode_value(item) for item in value]
    encoded = _encode_values(value)
    return {"$map": encoded} if _is_tag(encoded) else encoded


def _is_tag(value: Mapping[str, Any]) -> bool:
    """Whether this object would be read as a tag."""
    return len(value) == 1 and next(iter(value)).startswith("$")


def parse(data: bytes) -> Any:
    """Parse JSON; what orjson refuses gets a second look by the module that may have written it.

    Raises `json.JSONDecodeError` or `UnicodeDecodeError`.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return json.loads(data.decode("utf-8"))


def decode(document: Any, kind: type) -> Any:
    """Return the dataclass of type `kind` that `document` stands for."""
    return _decoder(kind)(document)


@cache
def _decoder(kind: Any) -> _Decoder:
    """Return the function that reads a value of type `kind`."""
    if kind is Any:
        return _value
    if is_dataclass(kind):
        return _dataclass(cast("type", kind))
    arguments = get_args(kind)
    match get_origin(kind):
        case types.UnionType:
            return _optional(next(item for item in arguments if item is not types.NoneType))
        case builtins.tuple:
            return _tuple(arguments[0])
        case abc.Mapping:
            return _mapping(arguments[0], arguments[1])
    return _enum(kind) if issubclass(kind, Enum) else _scalar(kind)


def _dataclass(kind: type) -> _Decoder:
    """Read an object with the fields of a dataclass, and with no others."""
    hints = get_type_hints(kind, localns=_ALIASES)
    members = [(item.name, _decoder(hints[item.name])) for item in fields(kind)]
    optional = {
        item.name
        for item in fields(kind)
        if item.default is not MISSING or item.default_factory is not MISSING
    }
    known = set(hints)

    def read(document: Any) -> Any:
        _expect(document, dict, "an object")
        values = {}
        name = ""
        try:
            for name, member in members:
                if name in document:
                    values[name] = member(document[name])
                elif name not in optional:
                    _refuse("is missing")
        except MisfitError as error:
            raise error.under(f".{name}") from None
        if len(document) > len(values):
            unknown = ", ".join(sorted(set(document) - known))
            raise MisfitError(f"has unknown keys: {unknown[:100]}")
        return kind(**values)

    return read


def _optional(kind: type) -> _Decoder:
    """Read `kind`, or null as None."""
    inner = _decoder(kind)
    return lambda document: None if document is None else inner(document)


def _tuple(kind: Any) -> _Decoder:
    """Read an array as a tuple."""
    inner = _decoder(kind)

    def read(document: Any) -> tuple[Any, ...]:
        _expect(document, list, "an array")
        items: list[Any] = []
        try:
            items.extend(map(inner, document))
        except MisfitError as error:
            raise error.under(f"[{len(items)}]") from None
        return tuple(items)

    return read


def _mapping(keys: Any, values: Any) -> _Decoder:
    """Read an object as a mapping whose keys are strings or an enum's values."""
    inner, read_key = _decoder(values), _decoder(keys)

    def read(document: Any) -> dict[Any, Any]:
        _expect(document, dict, "an object")
        result = {}
        key = ""
        try:
            for key, value in document.items():
                result[read_key(key)] = inner(value)
        except MisfitError as error:
            raise error.under(f"[{key[:100]!r}]") from None
        return result

    return read


def _enum(kind: type[Enum]) -> _Decoder:
    """Read an enum's value."""
    by_value = {item.value: item for item in kind}

    def read(document: Any) -> Enum:
        try:
            return by_value[document]
        except (KeyError, TypeError):
            allowed = ", ".join(by_value)
            raise MisfitError(f"is {_short(document)}, not one of {allowed}") from None

    return read


def _scalar(kind: type) -> _Decoder:
    """Read a string, boolean or number; an integer is good enough where a float may stand."""
    accepted = (int, float) if kind is float else (kind,)

    def read(document: Any) -> Any:
        if type(document) in accepted:
            return document
        value = _value(document)
        if type(value) in accepted:
            return value
        raise MisfitError(f"is {_short(document)}, not of type {kind.__name__}")

    return read


def _value(document: Any) -> AttributeValue:
    """Read an attribute's value."""
    if isinstance(document, list):
        return tuple(map(_value, document))
    if isinstance(document, dict):
        if _is_tag(document):
            return _tagged(*next(iter(document.items())))
        return {key: _value(value) for key, value in document.items()}
    return cast("AttributeValue", document)


def _tagged(tag: str, body: Any) -> AttributeValue:
    """Read what a tag says."""
    try:
        if tag == "$map":
            return {key: _value(value) for key, value in body.items()}
        if tag == "$bytes":
            return base64.b64decode(body, validate=True)
        if tag == "$float":
            return _NOT_FINITE[body]
        if tag == "$int":
            return int(body)
    except (binascii.Error, KeyError, ValueError, TypeError, AttributeError):
        raise MisfitError(f"has a broken {tag}: {_short(body)}") from None
    raise MisfitError(f"has an unknown tag {tag[:40]}")


def _refuse(message: str) -> NoReturn:
    """Give up on the document."""
    raise MisfitError(message)


def _expect(document: Any, kind: type, word: str) -> None:
    """Make sure that this is an object, or an array."""
    if not isinstance(document, kind):
        raise MisfitError(f"is {_short(document)}, not {word}")


def _short(document: Any) -> str:
    """Quote the beginning of what was found."""
    text = repr(document)
    return text if len(text) <= 60 else f"{text[:60]}…"
