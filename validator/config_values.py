"""The kinds of values in configuration and suites: durations, addresses, words, secrets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StringConstraints,
    WithJsonSchema,
)

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_WRITTEN = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h)|.*\$\{.+\}.*)$"


class Strict(BaseModel):
    """A section: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def parse_duration(value: Any) -> float:
    """Return the seconds of `500ms`, `60s`, `2m`, `1h`; a number without a unit says nothing."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f'a duration needs its unit: "{value}s", "{value}ms" or "{value}m"')  # noqa: TRY004 - pydantic takes ValueError
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("expected a duration such as 500ms, 60s, 2m or 1h")
    return float(match[1]) * _UNITS[match[2]]


def _over_zero(seconds: float) -> float:
    """Refuse a zero, which would mean never, always or at once, depending on whom one asks."""
    if seconds <= 0:
        raise ValueError("must be longer than zero")
    return seconds


_SCHEMA = WithJsonSchema({"type": "string", "pattern": _WRITTEN})

Duration = Annotated[float, BeforeValidator(parse_duration), AfterValidator(_over_zero), _SCHEMA]
"""Seconds, longer than zero; written with a unit."""

Tolerance = Annotated[float, BeforeValidator(parse_duration), _SCHEMA]
"""Seconds, zero allowed; written with a unit."""


@dataclass(frozen=True, slots=True)
class PerTime:
    """So many in any so many seconds."""

    count: int
    seconds: float

    def __str__(self) -> str:
        """Return it as it is written."""
        return f"{self.count}/{next(unit for unit, of in _UNITS.items() if of == self.seconds)}"


_RATE = re.compile(r"([1-9][0-9]*)/(s|m|h)")


def parse_rate(value: Any) -> PerTime:
    """Return what `30/m` says; a number alone does not say in which time."""
    match = _RATE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("expected so many in a second, minute or hour, such as 1/s, 30/m or 100/h")
    return PerTime(int(match[1]), _UNITS[match[2]])


Rate = Annotated[
    PerTime,
    BeforeValidator(parse_rate),
    WithJsonSchema({"type": "string", "pattern": r"^([1-9][0-9]*/(s|m|h)|.*\$\{.+\}.*)$"}),
]
"""How many in which time; written `30/m`."""


def _url(text: str) -> str:
    """Check an address of HTTP; a template may not choose the host that credentials go to."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:  # its words may be a part of a password
        raise ValueError(
            "is not an address: its port has to be a number up to 65535, and an IPv6 address in "
            "brackets; percent-encode / ? # [ ] @ in a name or password (/ is %2F)"
        ) from None
    if "{{" in parts.scheme + parts.netloc:
        raise ValueError("a template cannot choose the scheme or host; write them out")
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise ValueError("expected an address that begins with http:// or https:// and a host")
    if re.search(r"\s", re.sub(r"\{\{.*?\}\}", "", text)):
        raise ValueError("an address has no spaces")
    return text


Url = Annotated[str, AfterValidator(_url)]
"""An `http://` or `https://` address; path and query may hold templates."""


def check_jmespath(text: str) -> str:
    """Check an expression of JMESPath."""
    import jmespath  # noqa: PLC0415 - not needed for --help
    from jmespath.exceptions import JMESPathError  # noqa: PLC0415

    try:
        jmespath.compile(text)
    except JMESPathError as error:
        reason = str(error).partition("\n")[0].rstrip(":")
        raise ValueError(f"is not a JMESPath expression: {reason}") from error
    return text


JMESPath = Annotated[str, StringConstraints(min_length=1), AfterValidator(check_jmespath)]
"""Where in a JSON answer something is, as JMESPath says it."""


def _word(value: Any) -> Any:
    """Take `3` and `true` for the words they are in JSON."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else value


Word = Annotated[
    str,
    BeforeValidator(_word),
    StringConstraints(min_length=1),
    WithJsonSchema({"type": ["string", "integer", "boolean"], "minLength": 1}),
]
"""A word with which the target names a state."""

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]
"""A name given in the configuration: it appears in labels, files and messages."""

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
"""A text that is not blank."""


def _listen(text: str) -> str:
    """Check `host:port`; port 0 is a free one."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError("expected host:port, such as 127.0.0.1:4318 (port 0: a free one)")
    return text


Listen = Annotated[str, AfterValidator(_listen)]
"""Where to listen: `host:port`."""


def _header_name(text: str) -> str:
    """Check the name of an HTTP header."""
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", text):
        raise ValueError("is not the name of an HTTP header")
    return text


HeaderName = Annotated[str, AfterValidator(_header_name)]
"""The name of an HTTP header."""
