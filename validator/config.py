"""The configuration: one YAML file to typed, frozen settings, or one error with all that is wrong.

The environment is read here alone (`environment`); whoever loads passes it on.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, SecretStr, ValidationError

from validator import config_errors
from validator.config_env import Environment
from validator.config_sources import Sources, SourceSettings
from validator.config_targets import Targets, TargetSettings
from validator.config_templates import problems_of_target
from validator.config_values import Strict, Text
from validator.yamlfile import Document, Problem, read, reject

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_PATH = "obs-validator.yaml"

_HARMLESS_HEADERS = frozenset(
    {"accept", "accept-language", "content-type", "user-agent", "x-scope-orgid"}
)


class PrivacySettings(Strict):
    """What of a real job's evidence may be stored: the attributes named, and no others."""

    allow_attributes: tuple[Text, ...] = ()


class ConfigFile(Strict):
    """The file as it is written."""

    targets: Targets
    sources: Sources
    suites: tuple[Text, ...] = Field(default=("suites/*.yaml",), min_length=1)
    """Globs, from the folder of the file."""
    privacy: PrivacySettings = PrivacySettings()


@dataclass(frozen=True, slots=True)
class Settings:
    """The configuration, checked. `document` knows the lines, `environment` the secrets."""

    path: Path
    targets: Mapping[str, TargetSettings]
    sources: Mapping[str, SourceSettings]
    suites: tuple[str, ...]
    privacy: PrivacySettings
    environment: Environment
    document: Document

    @property
    def directory(self) -> Path:
        """Return the folder from which the file's paths are meant."""
        return self.path.parent

    def redact(self, text: str) -> str:
        """Return the text with every secret of the configuration blanked out."""
        return self.environment.redact(text)


def environment() -> Mapping[str, str]:
    """Return the process's environment."""
    return dict(os.environ)


def load_settings(path: Path, environ: Mapping[str, str]) -> Settings:
    """Read the configuration; raises `ConfigError` with a line for each problem."""
    document = read(path)
    variables = Environment(environ)
    filled = variables.fill(document, templates=frozenset({"targets"}))
    if not isinstance(filled, dict):
        reject(path, [Problem(1, "expected a mapping with targets and sources")])
    try:
        file = ConfigFile.model_validate(filled)
    except ValidationError as error:
        found = config_errors.problems(error, ConfigFile, document)
        reject(path, [replace(one, message=variables.redact(one.message)) for one in found], error)
        raise
    reject(
        path,
        (
            problem
            for name, target in file.targets.items()
            for problem in problems_of_target(target, document, ("targets", name))
        ),
    )
    for secret in _secrets(file):
        variables.remember(secret)
    return Settings(
        path=path,
        targets=file.targets,
        sources=file.sources,
        suites=file.suites,
        privacy=file.privacy,
        environment=variables,
        document=document,
    )


def config_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the file, for editors."""
    from validator.config_schema import DIALECT, closed  # noqa: PLC0415 - for `schema` alone

    schema = closed(ConfigFile.model_json_schema())
    return {"$schema": DIALECT, **schema, "title": "obs-validator configuration"}


def _secrets(value: Any) -> Iterator[str]:
    """Yield every secret, the values of headers that may carry credentials, and URLs' passwords."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if not isinstance(inner, SecretStr) or str(name).lower() not in _HARMLESS_HEADERS:
                yield from _secrets(inner)
    elif isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, str):
        yield _password(value)
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _secrets(getattr(value, name))
    elif isinstance(value, tuple):
        for inner in value:
            yield from _secrets(inner)


def _password(text: str) -> str:
    """Return the password of an address, empty where there is none."""
    try:
        return (urlsplit(text).password or "") if "://" in text else ""
    except ValueError:
        return ""
