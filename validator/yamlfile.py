"""YAML files read so that every complaint can name its line.

Scalars are YAML 1.2's (as editors' language servers have them): `yes`, `on` and `12:30` are text.
A file is read whole: every problem found is kept, and nothing is half accepted.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from validator.errors import ConfigError

MAX_BYTES = 1024 * 1024
MAX_NODES = 50_000
"""Far beyond any configuration; a file of aliases of aliases stops here."""
MAX_DEPTH = 60

At = tuple[str | int, ...]
"""Where a value stands in a document: keys and indexes from the top."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong in a file: the line (from 1) and what to do about it."""

    line: int
    message: str


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file: its value, and the line of each value in it."""

    path: Path
    value: Any
    lines: Mapping[At, int]

    def line(self, at: Sequence[str | int]) -> int:
        """Return the line of the value at `at`, or of the nearest one around it."""
        place = tuple(at)
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)

    def where(self, at: Sequence[str | int]) -> str:
        """Return `file:line` of the value at `at`."""
        return f"{self.path}:{self.line(at)}"


def reject(path: Path, problems: Iterable[Problem], cause: Exception | None = None) -> None:
    """Raise one `ConfigError` that has every problem on a line of its own; none, and return."""
    lines = [f"{path}:{problem.line}: {problem.message}" for problem in sorted(set(problems))]
    if lines:
        raise ConfigError("\n".join(lines)) from cause


def nearest(word: str, known: Iterable[str]) -> str:
    """Say which known word is meant and which are known, as the end of a message."""
    words = sorted(known)
    folded = {known_word.lower(): known_word for known_word in words}
    close = difflib.get_close_matches(word.lower(), folded, n=1, cutoff=0.6)
    meant = f'; did you mean "{folded[close[0]]}"?' if close else ";"
    return f"{meant} known: {', '.join(words)}" if words else ""


def shown(value: Any) -> str:
    """Say in a few words what was found."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        return f'the text "{value if len(value) <= 60 else value[:57] + "..."}"'
    return "a list" if isinstance(value, list) else "a mapping"


def read(path: Path) -> Document:
    """Parse the file; raises `ConfigError` with all that is wrong with it as YAML."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path}: is larger than {MAX_BYTES} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}:{line}: is not UTF-8 text") from error
    return parse(path, text)


def parse(path: Path, text: str) -> Document:
    """Parse the text of the file `path`."""
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        reject(path, [_syntax(error)], error)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}:1: is not YAML: {_first_line(error)}") from error
    except RecursionError as error:
        raise ConfigError(f"{path}:1: is nested too deeply") from error
    if node is None:
        raise ConfigError(f"{path}:1: is empty")
    building = _Building()
    try:
        value = building.value(node, ())
    except _TooMuchError as error:
        raise ConfigError(f"{path}:{error.line}: {error}") from error
    reject(path, building.problems)
    return Document(path, value, building.lines)


class _Loader(yaml.SafeLoader):
    """PyYAML's loader with the scalars of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


_INT = re.compile(r"[-+]?[0-9]+")
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", _INT.pattern, list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+0123456789.")),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first
    )


_PLAIN_TAGS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


class _TooMuchError(Exception):
    """A document that is too large or too deep once its aliases are followed."""

    def __init__(self, line: int, message: str) -> None:
        """Say where it became too much."""
        super().__init__(message)
        self.line = line


@dataclass(slots=True)
class _Building:
    """The walk from nodes to values."""

    lines: dict[At, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    nodes: int = 0

    def value(self, node: yaml.Node, at: At) -> Any:
        """Return the value of a node and note the lines of all that is in it."""
        line = node.start_mark.line + 1
        self.nodes += 1
        if self.nodes > MAX_NODES or len(at) > MAX_DEPTH:
            raise _TooMuchError(line, "has too many or too deeply nested values (aliases count)")
        self.lines.setdefault(at, line)
        if not isinstance(node, yaml.ScalarNode) and node.tag not in _PLAIN_TAGS:
            self._complain(line, f"the tag {node.tag} is not supported")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, at)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*at, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, line)

    def _mapping(self, node: yaml.MappingNode, at: At) -> dict[str, Any]:
        """Return a mapping; its keys are text, each once."""
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = self._key(key_node, line)
            if key is None:
                continue
            if key in found:
                first = self.lines[(*at, key)]
                self._complain(line, f'the key "{key}" is here twice; first on line {first}')
                continue
            self.lines[(*at, key)] = line
            found[key] = self.value(value_node, (*at, key))
        return found

    def _key(self, node: yaml.Node, line: int) -> str | None:
        """Return a key, or None after complaining of it."""
        if not isinstance(node, yaml.ScalarNode):
            self._complain(line, "a key must be text; write templates and {...} in quotes")
            return None
        if node.tag == "tag:yaml.org,2002:str":
            if node.value == "<<" and node.style is None:
                self._complain(line, "merge keys (<<) are not supported; write the keys out")
                return None
            return str(node.value)
        self._complain(line, f'a key must be text; write "{node.value}" in quotes')
        return None

    def _scalar(self, node: yaml.Node, line: int) -> Any:
        """Return the value of a scalar."""
        kind, text = node.tag.rpartition(":")[2], str(node.value)
        if kind == "str":
            return text
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        if kind == "int" and _INT.fullmatch(text) and len(text) <= 20:
            return int(text)
        if kind == "float":
            return _number(text)
        tag = node.tag.replace("tag:yaml.org,2002:", "!!")
        self._complain(line, f"{tag} {text[:40]!r} is not supported")
        return None

    def _complain(self, line: int, message: str) -> None:
        """Keep a problem."""
        self.problems.append(Problem(line, message))


def _number(text: str) -> float | str:
    """Return the number, or the text if it is beyond what a number can be."""
    number = float(text)
    return text if number in (float("inf"), float("-inf")) else number


def _syntax(error: yaml.MarkedYAMLError) -> Problem:
    """Say in a line what PyYAML complains of."""
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 1
    problem = error.problem or "cannot be parsed"
    if "'\\t'" in problem:
        return Problem(line, "a tab where spaces belong; YAML is indented with spaces alone")
    if "expected a single document" in (error.context or ""):
        return Problem(line, "a second document (---) begins here; a file holds one")
    if "end of stream" in problem and error.context_mark:
        line = error.context_mark.line + 1
    context = f" {error.context}" if error.context else ""
    return Problem(line, f"is not YAML: {problem}{context}; is a quote, colon or indent missing?")


def _first_line(error: Exception) -> str:
    """Return the first line of an error's message."""
    return str(error).partition("\n")[0]
