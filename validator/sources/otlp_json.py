"""OTLP/JSON, which is protobuf's JSON but for ids: hex digits where protobuf has base64."""

from __future__ import annotations

import base64
from typing import Any

import orjson
from google.protobuf import json_format
from google.protobuf.message import Message

_IDS = frozenset({"traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id"})
_NO_ID = base64.b64encode(b"\0").decode()
"""What stands for digits that are not hex: one byte, so that the piece is refused for its length
and an unreadable parent does not pass for none."""


class NotOtlpError(ValueError):
    """The body is not the message that it should be."""


def parse_json(body: bytes, message: Message) -> None:
    """Fill `message` from OTLP/JSON; unknown fields are ignored, as the specification wants."""
    try:
        document = orjson.loads(body)
        if not isinstance(document, dict):
            raise NotOtlpError("the JSON is not an object")
        _translate(document, to_hex=False)
        json_format.ParseDict(document, message, ignore_unknown_fields=True)
    except (orjson.JSONDecodeError, json_format.ParseError, RecursionError) as exc:
        raise NotOtlpError(f"not OTLP/JSON: {exc}"[:500]) from exc


def to_json(message: Message) -> dict[str, Any]:
    """Return a message as OTLP/JSON's object."""
    document = json_format.MessageToDict(message, use_integers_for_enums=True)
    _translate(document, to_hex=True)
    return document


def _translate(document: dict[str, Any], *, to_hex: bool) -> None:
    """Translate every id below `document`, in place and without recursion.

    Attribute keys are values in OTLP/JSON, so no attribute can be taken for an id.
    """
    pending: list[Any] = [document]
    while pending:
        node = pending.pop()
        if isinstance(node, list):
            pending.extend(node)
        elif isinstance(node, dict):
            for key, value in node.items():
                if key in _IDS and isinstance(value, str):
                    node[key] = _hex(value) if to_hex else _base64(value)
                elif isinstance(value, dict | list):
                    pending.append(value)


def _hex(text: str) -> str:
    """Return base64's bytes in hex digits."""
    return base64.b64decode(text).hex()


def _base64(text: str) -> str:
    """Return hex digits' bytes in base64."""
    try:
        return base64.b64encode(bytes.fromhex(text)).decode()
    except ValueError:
        return _NO_ID
