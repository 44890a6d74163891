"""CEL expressions: compiled when a suite is loaded, with what is wrong said in place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, cast

from checks._near import nearest
from checks._pieces import FIELDS, PROTOTYPE

_LONGEST = 4000
_TEXT = re.compile(r"r?(\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*')")
_MACRO = re.compile(r"\.\s*(?:all|exists|exists_one|map|filter)\s*\(\s*([A-Za-z_]\w*)\s*,")
_OVER = re.compile(
    r"\b(spans|logs|samples)\s*\.\s*(?:all|exists|exists_one|map|filter)\s*\(\s*([A-Za-z_]\w*)\s*,"
)
_FIELD = re.compile(r"(?<![\w.])([A-Za-z_]\w*)\s*\.\s*([A-Za-z_]\w*)\b(?!\s*\()")
_PLACE = re.compile(r"ERROR: <input>:(\d+):(\d+): (?:Syntax error: )?([^\n]*)")
_FUNCTIONS = frozenset(
    {"bool", "bytes", "contains", "double", "duration", "endsWith", "int", "matches", "size"}
    | {"startsWith", "string", "timestamp", "type", "uint", "getFullYear", "getHours"}
    | {"getMilliseconds", "getMinutes", "getSeconds"}
    | {"has", "all", "exists", "exists_one", "map", "filter"}
)
_ALL = re.compile(r"\s*(spans|logs|samples)\s*\.\s*all\s*\(\s*([A-Za-z_]\w*)\s*,")


class _Program(Protocol):
    """What `cel` compiles to, as far as it is used here."""

    def execute(self, context: Mapping[str, Any]) -> Any:
        """Return the value."""

    def variables(self) -> list[str]:
        """Return the names that are read, those bound by macros among them."""

    def functions(self) -> list[str]:
        """Return the names of functions and operators."""


class ExpressionError(Exception):
    """An expression that could not be evaluated; the message says why."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression: `reads` are the variables it names, `depth` how macros nest."""

    text: str
    program: _Program
    reads: tuple[str, ...]
    depth: int

    def value(self, context: Mapping[str, Any]) -> Any:
        """Evaluate; raises `ExpressionError` for whatever goes wrong."""
        return _executed(self.program, context)


def _executed(program: _Program, context: Mapping[str, Any]) -> Any:
    try:
        return program.execute(context)
    except KeyError as error:
        key = error.args[0] if error.args else error
        raise ExpressionError(
            f"there is no `{key}` in some item; test for it with has()"
        ) from error
    except Exception as error:
        raise ExpressionError(str(error).partition("\n")[0]) from error


@lru_cache(maxsize=256)
def compiled(text: str) -> Expression:
    """Compile an expression; raises `ValueError` that says where it is wrong, and what is known."""
    if len(text) > _LONGEST:
        raise ValueError(f"is longer than {_LONGEST} characters")
    program = _parsed(text)
    bare = _TEXT.sub('""', text)
    bound = set(_MACRO.findall(bare))
    read = [name for name in program.variables() if name not in bound]
    for name in program.functions():
        if name.isidentifier() and name not in _FUNCTIONS:
            raise ValueError(f"the function `{name}` is not known{_meant(name, _FUNCTIONS)}")
    for name in read:
        if name not in FIELDS and name not in _FUNCTIONS:
            raise ValueError(f"`{name}` is not known{_meant(name, FIELDS)}")
    _check_fields(bare)
    _check_bool(program)
    reads = tuple(name for name in FIELDS if name in read)
    return Expression(text, program, reads, _depth(bare))


def _parsed(text: str) -> _Program:
    import cel  # noqa: PLC0415 - brings a terminal library with it: only suites that use it pay

    try:
        return cast("_Program", cel.compile(text))
    except Exception as error:
        raise ValueError(f"is not a CEL expression: {reason_of(str(error))}") from error


def reason_of(message: str) -> str:
    """Return the first complaint of the parser with its place, without what it expected."""
    found = _PLACE.search(message)
    if found is None:
        return message.partition("\n")[0]
    line, column, reason = found.groups()
    return f"line {line}, column {column}: {reason.partition(' expecting ')[0]}"


def _meant(name: str, known: Mapping[str, Any] | frozenset[str]) -> str:
    near = nearest(name, known)
    return f"; did you mean `{near}`?" if near else f"; known are {', '.join(sorted(known))}"


def _check_fields(bare: str) -> None:
    """Refuse fields that no item has: `spans.all(s, s.servce == ...)` would break on each."""
    owners: dict[str, set[str]] = {"job": set(FIELDS["job"])}
    for variable, name in _OVER.findall(bare):
        owners.setdefault(name, set()).update(FIELDS[variable])
    over = [name for _, name in _OVER.findall(bare)]
    bound = _MACRO.findall(bare)
    for name in set(bound):
        if bound.count(name) != over.count(name):
            owners.pop(name, None)  # bound over something else as well
    for name, field in _FIELD.findall(bare):
        if name in owners and field not in owners[name]:
            known = frozenset(owners[name])
            raise ValueError(f"`{name}.{field}`: `{field}` is not known{_meant(field, known)}")


def _check_bool(program: _Program) -> None:
    try:
        value = _executed(program, PROTOTYPE)
    except ExpressionError:
        return  # on other evidence it may do; in a run it is said if it does not
    if not isinstance(value, bool):
        raise ValueError(f"has to be true or false; it gives {value!r:.60}")  # noqa: TRY004 - pydantic takes ValueError


def _depth(bare: str) -> int:
    """Return how many macros stand within each other at most."""
    deepest = 0
    stack: list[bool] = []
    starts = {bare.index("(", match.start()) for match in _MACRO.finditer(bare)}
    for place, letter in enumerate(bare):
        if letter == "(":
            stack.append(place in starts)
            deepest = max(deepest, sum(stack))
        elif letter == ")" and stack:
            stack.pop()
    return deepest


def offenders(expression: Expression, context: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the items for which an `items.all(item, …)` does not hold; nothing of other forms."""
    text = expression.text
    head = _ALL.match(text)
    if head is None or _closing(text, head.end()) != len(text.rstrip()) - 1:
        return []
    variable, name = head.groups()
    predicate = text[head.end() : text.rstrip().rindex(")")]
    try:
        program = _parsed(f"{variable}.filter({name}, !({predicate}\n))")
        return cast("list[dict[str, Any]]", _executed(program, context))
    except (ExpressionError, ValueError):
        return []  # `all` ends at the first that is wrong; a later one cannot be evaluated


def _closing(text: str, start: int) -> int:
    """Return where the parenthesis that is open at `start` closes, -1 if it does not."""
    bare = _TEXT.sub(lambda match: "_" * len(match[0]), text)
    level = 1
    for place in range(start, len(bare)):
        level += (bare[place] == "(") - (bare[place] == ")")
        if level == 0:
            return place
    return -1
