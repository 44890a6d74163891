"""The JSON Schemas for editors: they take what is taken, and refuse what a schema can refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from checks import CHECKS
from tests.config.examples import FULL, SUITE
from tests.config.kinds import KINDS
from tests.config.test_invalid import GOOD, INVALID
from validator.config import config_schema
from validator.errors import ConfigError
from validator.loader import suite_schema
from validator.yamlfile import parse, read

BEYOND = {
    # the environment, other files, and what a template names
    "config-variable-empty",
    "config-variable-not-set",
    "config-variable-of-the-wrong-kind",
    "config-variable-without-name",
    "config-template-broken",
    "config-template-names-nothing",
    "config-template-names-the-id-too-early",
    "config-template-with-an-unknown-filter",
    "config-template-in-a-header-broken",
    "config-later-template-broken",
    "config-lease",
    "config-later-template-names-nothing",
    "suite-variable-not-set",
    "suite-template-of-the-job-broken",
    "suite-template-that-cannot-be-computed",
    "suite-template-broken",
    "suite-template-names-nothing",
    "suite-template-names-no-field",
    "suite-template-runs-code",
    "suite-template-of-the-job-itself",
    "suite-unknown-target",
    "suite-job-misses-what-the-target-uses",
    "suite-no-job-though-the-target-uses-it",
    "suite-job-with-an-id",
    # what is a text to a schema
    "config-url-without-scheme",
    "config-url-with-a-long-password",
    "config-url-with-a-password",
    "config-url-with-a-password-in-brackets",
    "config-url-with-a-password-not-encoded",
    "config-url-with-a-template-for-its-host",
    "config-scrape-page-not-an-address",
    "config-collector-address",
    "config-header-name",
    "config-job-id-not-jmespath",
    "config-job-id-header-without-group",
    "config-job-id-header-bad-pattern",
    "suite-pattern-that-is-none",
    "suite-blank-catches",
    # what holds between values
    "config-two-bodies",
    "config-follow-word-twice",
    "config-duration-of-zero",
    "config-follow-every-zero",
    "suite-settle-of-zero",
    "suite-names-twice",
    "suite-cannot-be-judged",
}


CONFIG = config_schema()
SUITES = suite_schema(KINDS)


def errors(schema: dict[str, Any], value: Any) -> list[str]:
    """Return what the schema finds wrong."""
    return [error.message for error in Draft202012Validator(schema).iter_errors(value)]


@pytest.mark.parametrize("schema", [CONFIG, SUITES, suite_schema(CHECKS)])
def test_they_are_schemas(schema: dict[str, Any]) -> None:
    """Editors can read them: draft 2020-12."""
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_good_examples_are_taken() -> None:
    """What the loader takes, the schema takes."""
    for text in (FULL, GOOD):
        assert errors(CONFIG, parse(Path("c"), text).value) == []
    assert errors(SUITES, parse(Path("s"), SUITE).value) == []


@pytest.mark.parametrize("path", sorted(INVALID.glob("*.yaml")), ids=lambda path: path.stem)
def test_bad_examples_are_refused_where_a_schema_can_know(path: Path) -> None:
    """An editor underlines what the loader would refuse, but for what the list names."""
    try:
        value = read(path).value
    except ConfigError:
        return  # not even YAML
    schema = CONFIG if path.name.startswith("config-") else SUITES
    assert bool(errors(schema, value)) is (path.stem not in BEYOND)


def test_templates_may_stand_for_numbers() -> None:
    """What a template or a variable gives later is no error now."""
    text = "suite: s\ntarget: t\nchecks: [{spans_of: {service: s, count: %s}, catches: c}]\n"
    for count in ('"{{ job.n }}"', '"${COUNT}"', "3"):
        assert errors(SUITES, parse(Path("s"), text % count).value) == []
    assert errors(SUITES, parse(Path("s"), text % "many").value) != []
