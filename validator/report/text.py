"""Text from evidence made fit for people: neutral, short, and the same everywhere.

Whoever writes telemetry writes into our reports. What could steer a terminal, hide text or break
a file's syntax is replaced here, once, for every format; each format then escapes its own syntax.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from validator.model import AttributeValue

LIMIT: Final = 500
"""How many characters of one text are shown."""

_SPACE = re.compile(r"(?:\r\n|[\t\n\v\f\r\x85\u2028\u2029])")
_STEERING = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e007f]"
)


def plain(text: str, limit: int = LIMIT) -> str:
    r"""Return `text` on one line, without anything that steers, of at most `limit` characters.

    Line breaks and tabs become spaces; control characters, marks of direction and invisible ones
    become the replacement character `\ufffd`.
    """
    head = text[: limit + 1]  # what is cut off need not be looked at
    head = _STEERING.sub("\ufffd", _SPACE.sub(" ", head))
    whole = len(head) <= limit and len(text) <= limit + 1
    return head if whole else f"{head[: limit - 1]}…"


def value_text(value: AttributeValue, limit: int = LIMIT) -> str:
    """Return an attribute's value as people read it; a string without quotes."""
    if isinstance(value, str):
        return plain(value, limit)
    return plain(json.dumps(_readable(value), ensure_ascii=False), limit)


def _readable(value: AttributeValue) -> object:
    """Replace what JSON has no word for."""
    if isinstance(value, bytes):
        return f"bytes {value[:64].hex()}{'…' if len(value) > 64 else ''}"
    if isinstance(value, tuple):
        return [_readable(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _readable(item) for key, item in value.items()}
    return value


def duration(seconds: float) -> str:
    """Return a duration in a unit that fits it: `450 µs`, `41 ms`, `1.62 s`, `2 min 5 s`, `3 d`."""
    size = abs(seconds)
    if size < 1e-9:
        return "0 s"
    if size < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    if size < 1:
        return f"{seconds * 1e3:.0f} ms"
    if size < 60:
        return f"{seconds:.2f}".rstrip("0").rstrip(".") + " s"
    if size < 7200:
        minutes, rest = divmod(round(size), 60)
        return f"{'-' if seconds < 0 else ''}{minutes} min {rest} s"
    return f"{seconds / 3600:.1f} h" if size < 172_800 else f"{seconds / 86_400:.0f} d"


def moment(seconds: float) -> str:
    """Return a Unix time in UTC, or the number where it is no time of a calendar."""
    try:
        then = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return f"{seconds:g}"
    return then.strftime("%Y-%m-%d %H:%M:%S UTC")
