"""From pydantic's complaints to lines that say what was found, what is allowed and what was meant.

Nothing that stands under `headers` is repeated: it may be a secret.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from validator.config_env import without_userinfo
from validator.yamlfile import At, Document, Problem, nearest, shown

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

Schema = Mapping[str, Any]

_EXPECTED = {
    "string": "text (in quotes, if it looks like something else)",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
}
_TYPES = {
    "string_type": "string",
    "int_type": "integer",
    "int_parsing": "integer",
    "int_from_float": "integer",
    "float_type": "number",
    "float_parsing": "number",
    "bool_type": "boolean",
    "bool_parsing": "boolean",
    "tuple_type": "array",
    "list_type": "array",
    "frozen_set_type": "array",
    "dict_type": "object",
    "mapping_type": "object",
    "model_type": "object",
    "model_attributes_type": "object",
}


def problems(
    error: ValidationError, model: type[BaseModel], document: Document, prefix: At = ()
) -> list[Problem]:
    """Return a problem for each complaint; `prefix` is where in the document the model stands."""
    schema = model.model_json_schema()
    found = []
    for detail in error.errors(include_url=False):
        at = (*prefix, *_place(detail["loc"], _inside(document.value, prefix), detail["type"]))
        found.append(Problem(document.line(at), _message(detail, schema, document, at)))
    return found


def _place(loc: Sequence[str | int], value: Any, kind: str) -> At:
    """Return where a complaint is about: its `loc` without the names of union members."""
    at: list[str | int] = []
    for index, part in enumerate(loc):
        last = index == len(loc) - 1
        if isinstance(value, dict) and part in value:
            value = value[str(part)]
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        elif not (last and kind == "missing"):
            continue
        at.append(part)
    return tuple(at)


def _inside(value: Any, at: At) -> Any:
    """Return what stands at `at`, None if nothing does."""
    for part in at:
        if isinstance(value, dict) and part in value:
            value = value[str(part)]
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            return None
    return value


def _message(detail: ErrorDetails, schema: Schema, document: Document, at: At) -> str:
    """Return the message for one complaint."""
    kind = detail["type"]
    if kind == "extra_forbidden":
        known = nearest(str(at[-1]), known_keys(schema, detail["loc"][:-1]))
        return f'{dotted(at[:-1])}unknown key "{at[-1]}"{known or "; no keys are known here"}'
    if kind == "missing":
        return f'{dotted(at[:-1])}the key "{at[-1]}" is missing'
    value = _inside(document.value, at)
    if isinstance(value, str):
        value = without_userinfo(value)  # before it is shortened
    return dotted(at) + _of_value(detail, value, "" if "headers" in at else shown(value))


def _of_value(detail: ErrorDetails, value: Any, what: str) -> str:
    """Return what is wrong with a value; `what` is empty if it is not to be shown."""
    kind, context = detail["type"], detail.get("ctx", {})
    found = f", found {what}" if what else ""
    if kind in ("literal_error", "enum"):
        allowed = _alternatives(str(context.get("expected", "")))
        return f"unknown word{found}{nearest(str(value), allowed)}"
    if kind.startswith("union_tag"):
        return _of_tag(context, value)
    if kind in _TYPES:
        return f"expected {_EXPECTED[_TYPES[kind]]}{found}"
    if kind in ("too_short", "string_too_short") and context.get("min_length") == 1:
        return "must not be empty"
    message = str(context["error"]) if kind == "value_error" else _plainly(detail["msg"])
    return message + _unless_container(value, found)


def _of_tag(context: Mapping[str, Any], value: Any) -> str:
    """Return what is wrong with the word that says which kind of thing a mapping is."""
    key = str(context.get("discriminator", "")).strip("'")
    word = value.get(key) if isinstance(value, dict) else None
    if word is None:
        return f'the key "{key}" is missing'
    allowed = _alternatives(str(context.get("expected_tags", "")))
    return f"unknown {key}, found {shown(word)}{nearest(str(word), allowed)}"


def _unless_container(value: Any, found: str) -> str:
    """Return what was found, where saying it helps."""
    return "" if isinstance(value, dict | list) and value else found


def dotted(at: At) -> str:
    """Return a place as it is written in messages, with what parts it from them."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in at).lstrip(
        "."
    ) + (": " if at else "")


def _plainly(message: str) -> str:
    """Return pydantic's message as ours are worded."""
    for theirs in ("Input should ", "String should ", "Value should "):
        if message.startswith(theirs):
            return f"must {message.removeprefix(theirs)}"
    return message[:1].lower() + message[1:]


def _alternatives(expected: str) -> list[str]:
    """Return the words in pydantic's `'a', 'b' or 'c'`."""
    return [word.strip().strip("'") for word in expected.replace(" or ", ",").split(",")]


def known_keys(schema: Schema, loc: Sequence[str | int]) -> set[str]:
    """Return the keys that the schema knows at `loc` (pydantic's, with names of union members)."""
    definitions = schema.get("$defs", {})
    here = _members([schema], definitions)
    for part in loc:
        inner = [found for member in here for found in _step(member, part)]
        here = _members(inner, definitions) if inner else _tagged(here, part)
    return {key for member in here for key in member.get("properties", {})}


def _step(schema: Schema, part: str | int) -> list[Schema]:
    """Return the schemas of what is at `part` in a value of `schema`."""
    if isinstance(part, int):
        return [schema["items"]] if isinstance(schema.get("items"), dict) else []
    if part in schema.get("properties", {}):
        return [schema["properties"][part]]
    extra = schema.get("additionalProperties")
    patterned = list(schema.get("patternProperties", {}).values())
    return [extra] if isinstance(extra, dict) else patterned


def _members(schemas: Sequence[Schema], definitions: Mapping[str, Schema]) -> list[Schema]:
    """Return the schemas with references followed and unions taken apart."""
    found: list[Schema] = []
    for schema in schemas:
        if "$ref" in schema:
            target = schema["$ref"].rpartition("/")[2]
            found += _members([definitions[target]], definitions)
        elif "anyOf" in schema or "oneOf" in schema:
            found += _members(schema.get("anyOf") or schema["oneOf"], definitions)
        else:
            found.append(schema)
    return found


def _tagged(schemas: Sequence[Schema], tag: str | int) -> list[Schema]:
    """Return the members of a union that a tag names; all, if it names none."""
    named = [
        schema
        for schema in schemas
        if any(prop.get("const") == tag for prop in schema.get("properties", {}).values())
    ]
    return named or list(schemas)
