"""Promises of the pages in `docs/checks`: one for each kind, and each tells the truth."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from checks import CHECKS
from checks._params import Params

pytestmark = pytest.mark.req("V-14")

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "checks"
HEADINGS = [
    "What it proves",
    "Parameters",
    "Example",
    "The incident it would catch",
    "When it passes, fails, is inconclusive",
    "What a failure looks like",
]
_ROW = re.compile(r"^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \| (.+) \|$", re.MULTILINE)
_YAML = re.compile(r"```yaml\n(.*?)```", re.DOTALL)
_TEMPLATE = re.compile(r"\{\{.*?\}\}")


def page(kind: str) -> str:
    """Return a kind's page."""
    return (PAGES / f"{kind}.md").read_text(encoding="utf-8")


def section(kind: str, heading: str) -> str:
    """Return one section of a page."""
    return page(kind).partition(f"## {heading}\n")[2].partition("\n## ")[0].strip()


def nested(annotation: Any) -> Iterator[type[Params]]:
    """Find the parameter models within an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, Params):
        yield annotation
    elif isinstance(annotation, types.UnionType):
        for member in get_args(annotation):
            yield from nested(member)


def parameters(model: type[Params], prefix: str = "") -> Iterator[tuple[str, bool]]:
    """Return each parameter's dotted name, and whether it is required."""
    for name, field in model.model_fields.items():
        yield prefix + name, field.is_required()
        for inner in nested(field.annotation):
            yield from parameters(inner, f"{prefix}{name}.")


def test_kinds_modules_and_pages_are_the_same_set() -> None:
    """A kind that is not registered, or not documented, is found here."""
    modules = {path.stem for path in (ROOT / "checks").glob("[a-z]*.py")}
    assert modules == set(CHECKS)
    assert {path.stem for path in PAGES.glob("*.md")} == set(CHECKS)


@pytest.mark.parametrize("kind", CHECKS)
def test_every_page_has_the_same_headings_with_something_below_each(kind: str) -> None:
    """`explain` prints pages that one can find one's way in."""
    assert page(kind).startswith(f"# {kind}\n")
    assert re.findall(r"^## (.+)$", page(kind), re.MULTILINE) == HEADINGS
    for heading in HEADINGS:
        assert section(kind, heading), heading


@pytest.mark.parametrize("kind", CHECKS)
def test_the_table_of_parameters_is_the_model(kind: str) -> None:
    """Names, and which are required, are those that a suite is held to."""
    rows = _ROW.findall(section(kind, "Parameters"))
    table = [(name, default.strip() == "required") for name, _, default, _ in rows]
    assert table == list(parameters(CHECKS[kind].params))


@pytest.mark.req("R-02")
@pytest.mark.parametrize("kind", CHECKS)
def test_every_example_can_be_loaded(kind: str) -> None:
    """Each YAML block is one check of a suite, with the incident that it would catch."""
    examples = _YAML.findall(page(kind))
    assert examples
    for example in examples:
        for item in yaml.safe_load(_TEMPLATE.sub("7f3c", example)):
            (found,) = set(item) - {"catches", "name", "level"}
            assert item["catches"]
            assert found == kind
            CHECKS[kind].params.model_validate(item[kind])


@pytest.mark.parametrize("kind", CHECKS)
def test_every_failure_shown_names_its_kind(kind: str) -> None:
    """The last section shows a note as a report prints it."""
    shown = section(kind, "What a failure looks like")
    assert re.search(rf"(FAIL|INCONCLUSIVE) +{kind} ", shown)
