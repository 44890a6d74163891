"""JSON Schemas for editors: what is built from the models, and what templates ask of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from checks import CheckKind
from validator.config_checks import CheckItem

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_LATER = {"type": "string", "pattern": r"(\{\{|\$\{)"}
"""A value that a template or a variable gives when the file is loaded or the check is bound."""

_FREE = ("type", "enum", "const")


def with_checks(suite: dict[str, Any], kinds: Mapping[str, CheckKind]) -> dict[str, Any]:
    """Return the suite's schema with each kind of check in its list of checks."""
    definitions = dict(suite.pop("$defs", {}))
    item = CheckItem.model_json_schema()
    variants = []
    for name in sorted(kinds):
        params = kinds[name].params.model_json_schema(
            ref_template=f"#/$defs/{name}.{{model}}", mode="validation"
        )
        for inner, schema in params.pop("$defs", {}).items():
            definitions[f"{name}.{inner}"] = loosened(schema)
        definitions[name] = loosened(params)
        variants.append(_variant(name, item, optional=not params.get("required")))
    suite["properties"]["checks"] = {
        "type": "array",
        "minItems": 1,
        "items": {"oneOf": variants} if variants else {"type": "object"},
        "description": "The checks; one kind to an item.",
    }
    return {
        "$schema": DIALECT,
        **suite,
        "title": "obs-validator suite",
        "$defs": definitions,
    }


def _variant(name: str, item: Mapping[str, Any], *, optional: bool) -> dict[str, Any]:
    """Return the schema of an item with this kind of check."""
    reference: dict[str, Any] = {"$ref": f"#/$defs/{name}"}
    return {
        "type": "object",
        "properties": {
            name: {"anyOf": [reference, {"type": "null"}]} if optional else reference,
            **item["properties"],
        },
        "required": [name, "catches"],
        "additionalProperties": False,
    }


def closed(schema: Any) -> Any:
    """Return the schema such that keys of a mapping that fit no pattern are refused."""
    if isinstance(schema, list):
        return [closed(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    done = {key: closed(value) for key, value in schema.items()}
    if "patternProperties" in schema:
        done.setdefault("additionalProperties", False)
    return done


def loosened(schema: Any) -> Any:
    """Return the schema such that a template may stand where a value does.

    Mappings stay mappings: a template gives a value, not a section.
    """
    if isinstance(schema, list):
        return [loosened(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    done = {key: _part(key, value) for key, value in schema.items()}
    if not any(key in schema for key in _FREE) or schema.get("type") == "object":
        return done
    if schema.get("type") == "string" and not set(schema) & {"enum", "const", "pattern", "format"}:
        return done
    notes = {key: done.pop(key) for key in ("title", "description", "default") if key in done}
    return {**notes, "anyOf": [done, _LATER]}


def _part(key: str, value: Any) -> Any:
    """Return one keyword's value, loosened where schemas stand in it."""
    if key in ("properties", "patternProperties", "$defs") and isinstance(value, dict):
        return {name: loosened(inner) for name, inner in value.items()}
    if key in ("items", "additionalProperties", "anyOf", "oneOf", "allOf", "prefixItems"):
        return loosened(value)
    return value
