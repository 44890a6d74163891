"""Which spans and log lines a check is about, and why none may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from checks._params import Params
from checks._queries import traceql
from checks._values import MISSING, Found, Missing, Pattern, Value, glob, matches, same, shown
from checks._words import names_job
from validator.model import Evidence, Span, SpanKind

_DEEPEST = 64
"""How many maps within each other are looked into; protobuf carries no more than 33."""


class Matching(Params):
    """A condition on a field's text."""

    matches: Pattern = Field(description="a regular expression that the whole text has to match")


Condition = Value | Matching
"""A value to be equal to, or `{matches: regex}`."""


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


def fits(condition: Condition, value: Found) -> bool:
    """Whether a field's value fulfils a condition."""
    if isinstance(value, Missing):
        return False
    if isinstance(condition, Matching):
        return isinstance(value, str) and matches(condition.matches, value)
    return same(value, condition)


def condition_text(conditions: Mapping[str, Condition]) -> str:
    """Write conditions for people."""
    return ", ".join(
        f"{key} matching /{wanted.matches}/"
        if isinstance(wanted, Matching)
        else f"{key} = {shown(wanted)}"
        for key, wanted in conditions.items()
    )


class SpanSelector(Params):
    """Which spans: each part that is given has to fit."""

    service: str | None = Field(None, min_length=1, description="`service.name`, exactly")
    name: str | None = Field(
        None, min_length=1, description="the span's name (`*` stands for anything)"
    )
    kind: Annotated[SpanKind, BeforeValidator(_upper)] | None = Field(
        None, description="the span's kind: INTERNAL, SERVER, CLIENT, PRODUCER or CONSUMER"
    )
    where: Mapping[str, Condition] = Field(
        {}, description="attributes and their values, or `{matches: regex}`"
    )

    def selects(self, span: Span) -> bool:
        """Whether the span is one of those that are meant."""
        return not self.misfits(span)

    def misfits(self, span: Span) -> tuple[str, ...]:
        """Return the parts that do not fit, in the order in which a near miss is likely."""
        wrong = []
        if self.service is not None and span.service != self.service:
            wrong.append("service")
        if self.name is not None and not glob(self.name, span.name):
            wrong.append("name")
        if self.kind is not None and span.kind is not self.kind:
            wrong.append("kind")
        if any(not fits(wanted, attribute(span, key)) for key, wanted in self.where.items()):
            wrong.append("where")
        return tuple(wrong)

    def words(self) -> str:
        """Name what is meant."""
        text = f"span `{self.name}`" if self.name else "span"
        text = f"{self.kind} {text}" if self.kind else text
        text = f"{text} of {self.service}" if self.service else text
        return f"{text} with {condition_text(self.where)}" if self.where else text


def attribute(span: Span, key: str) -> Found:
    """Return a span's attribute; a key that begins with `resource.` may be the resource's."""
    return own_or_resource(span.attributes, span.resource, key)


def own_or_resource(attributes: Mapping[str, Any], resource: Mapping[str, Any], key: str) -> Found:
    """Read a key of the attributes, of a map within them by its dotted path, or of the resource."""
    found = _dotted(attributes, key)
    if isinstance(found, Missing) and key.startswith("resource."):
        return _dotted(resource, key.removeprefix("resource."))
    return found


def _dotted(values: Mapping[str, Any], key: str) -> Found:
    if key in values:
        found: Found = values[key]
        return found
    head, dot, rest = key.partition(".")
    while dot:
        inner = values.get(head)
        if isinstance(inner, Mapping):
            below = _dotted(inner, rest)
            if not isinstance(below, Missing):
                return below
        more, dot, rest = rest.partition(".")
        head = f"{head}.{more}"
    return MISSING


def keys_of(attributes: Mapping[str, Any], resource: Mapping[str, Any]) -> list[str]:
    """Return the keys under which `own_or_resource` finds something, those within maps as well."""
    return [*_paths("", attributes), *_paths("resource.", resource)]


def _paths(prefix: str, values: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    todo = [(prefix, values, 0)]
    while todo:
        above, here, depth = todo.pop()
        for key, value in here.items():
            path = f"{above}{key}"
            found.append(path)
            if isinstance(value, Mapping) and depth < _DEEPEST:
                todo.append((f"{path}.", value, depth + 1))
    return found


def span_query(evidence: Evidence, selector: SpanSelector, span: Span) -> str:
    """Return a query for what is selected, of which `span` is an example."""
    trace = "" if names_job(span, evidence) else span.trace_id
    return traceql(evidence, selector.service or "", selector.name or "", trace)
