"""`${NAME}` in files: values of the environment put in, remembered, and blanked out again.

What was put in is a secret unless it plainly is none (an address without a password, a number, a
duration), so that a forgotten name cannot leak a key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, MutableSet
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

from validator.yamlfile import At, Document, Problem, nearest, reject

BLANK = "[redacted]"

_REFERENCE = re.compile(
    r"\$(?:(?P<escape>\$\{)|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|(?P<bad>\{))"
)
_PLAIN = re.compile(
    r"[-+.0-9]+(ms|s|m|h)?|true|false|[A-Za-z0-9.-]+:[0-9]{1,5}|localhost", re.IGNORECASE
)
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASS|AUTH|CREDENTIAL|COOKIE|HOOK|DSN", re.IGNORECASE)
_SHORTEST = 4
"""Blanking out shorter values would tear words apart, and such a value is no secret."""


@dataclass(frozen=True, slots=True)
class Environment:
    """The variables that files may name, and what of them was used."""

    variables: Mapping[str, str] = field(repr=False)
    _secrets: MutableSet[str] = field(default_factory=set, repr=False)

    def remember(self, value: str) -> None:
        """Have `value` blanked out from now on."""
        if len(value) >= _SHORTEST:
            self._secrets.add(value)

    def redact(self, text: str) -> str:
        """Return the text with every secret blanked out, also where it is escaped."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            for form in {secret, quote(secret, safe=""), quote(secret), json.dumps(secret)[1:-1]}:
                text = text.replace(form, BLANK)
        return without_userinfo(text)

    def fill(self, document: Document, *, templates: frozenset[str] | None = None) -> Any:
        """Return the document's value with the variables put in.

        Under the top keys `templates` (None: everywhere) braces of a variable's value are escaped,
        so that they are not taken for a template. Raises `ConfigError` with every unset variable.
        """
        problems: list[Problem] = []
        value = self._fill(document, document.value, (), (problems, templates))
        reject(document.path, problems)
        return value

    def _fill(
        self,
        document: Document,
        value: Any,
        at: At,
        how: tuple[list[Problem], frozenset[str] | None],
    ) -> Any:
        """Fill one value and all that is in it."""
        if isinstance(value, dict):
            return {
                key: self._fill(document, inner, (*at, key), how) for key, inner in value.items()
            }
        if isinstance(value, list):
            return [
                self._fill(document, inner, (*at, index), how) for index, inner in enumerate(value)
            ]
        if not isinstance(value, str) or "${" not in value:
            return value
        problems, templates = how
        escape = templates is None or (bool(at) and at[0] in templates)
        text, wrong = self._text(value, escape)
        problems.extend(Problem(document.line(at), message) for message in wrong)
        return text

    def _text(self, text: str, escape: bool) -> tuple[str, list[str]]:
        """Return a text with the variables put in, and what is wrong with it."""
        wrong: list[str] = []

        def replace(match: re.Match[str]) -> str:
            if match["escape"]:
                return "${"
            if match["bad"]:
                wrong.append('"${" without a name and a "}"; write $${ for the characters ${')
                return ""
            value, default = self.variables.get(match["name"]), match["default"]
            if not value and default is not None:
                return str(default)
            if not value:
                wrong.append(self._unset(match["name"]))
                return ""
            self._note(match["name"], value)
            return value.replace("{{", "{{ '{{' }}") if escape else value

        return _REFERENCE.sub(replace, text), wrong

    def _unset(self, name: str) -> str:
        """Say that a variable is not set, and whether a similar one is."""
        state = "empty" if name in self.variables else "not set"
        near = nearest(name, set(self.variables) - {name}).partition(" known:")[0]
        hint = near if "did you mean" in near else f"; set it, or give a default: ${{{name}:-...}}"
        return f"the environment variable {name} is {state}{hint}"

    def _note(self, name: str, value: str) -> None:
        """Remember a value that may be a secret."""
        if _SECRET_NAME.search(name) or not _plain(value):
            self.remember(value)


_USERINFO = re.compile(
    r"(\b[a-z][a-z0-9+.-]*://)"
    r"(?:(?:[^\s/@?#\"']+@)+"
    r"|[^\s/@?#\"':\[]+:(?![0-9]*[/?#])[^\s\"']*@)",  # what cannot be a port is a password
    re.IGNORECASE,
)


def without_userinfo(text: str) -> str:
    """Return a text without the names and passwords of its addresses, right ones or wrong ones."""
    return _USERINFO.sub(rf"\1{BLANK}@", text)


def _plain(value: str) -> bool:
    """Whether a value is surely no secret."""
    if _PLAIN.fullmatch(value):
        return True
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return bool(parts.scheme and parts.netloc) and not (_USERINFO.search(value) or parts.query)
