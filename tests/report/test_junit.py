"""Promises of the JUnit report: well-formed whatever the evidence, counted as CI systems count."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from tests.report import samples
from validator.model import Run, Status
from validator.report.junit import render

CHILDREN = {
    "testsuites": {"testsuite"},
    "testsuite": {"properties", "testcase", "system-out"},
    "properties": {"property"},
    "testcase": {"failure", "error", "skipped"},
}
ATTRIBUTES = {
    "testsuites": {"name", "tests", "failures", "errors", "skipped", "time"},
    "testsuite": {"name", "tests", "failures", "errors", "skipped", "time", "timestamp"},
    "property": {"name", "value"},
    "testcase": {"name", "classname", "time"},
    "failure": {"message", "type"},
    "error": {"message", "type"},
    "skipped": {"message"},
}


def parsed(runs: list[Run]) -> ET.Element:
    """Parse a report of these runs."""
    return ET.fromstring(render(runs))  # noqa: S314 - our own document


@pytest.mark.parametrize("name", sorted(samples.RUNS))
def test_the_shape_is_that_of_surefire(name: str) -> None:
    """Each element has the attributes and children that Surefire's and Jenkins' readers know."""
    for element in parsed([samples.RUNS[name]]).iter():
        assert set(element.attrib) == ATTRIBUTES.get(element.tag, set())
        assert {child.tag for child in element} <= CHILDREN.get(element.tag, set())
    for suite in parsed([samples.RUNS[name]]):
        tags = [child.tag for child in suite]
        assert tags == ["properties", *["testcase"] * (len(tags) - 2), "system-out"]


@pytest.mark.parametrize(
    ("status", "tag"),
    [
        (Status.PASS, None),
        (Status.FAIL, "failure"),
        (Status.INCONCLUSIVE, "error"),
        (Status.PENDING, "error"),
        (Status.BLOCKED, "skipped"),
    ],
)
def test_each_status_is_what_ci_calls_it(status: Status, tag: str | None) -> None:
    """A fail is a failure, what could not be judged an error, what is blocked skipped."""
    run = samples.run("r", (samples.verdict("c", status, "why"),), samples.evidence())
    case = parsed([run]).find("testsuite/testcase")
    assert case is not None
    assert [child.tag for child in case] == ([tag] if tag else [])


def test_the_counts_add_up() -> None:
    """The root counts what its suites count, and each suite its cases."""
    root = parsed(list(samples.RUNS.values()))
    for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert int(root.attrib[key]) == len(root.findall(f".//{tag}"))
        assert sum(int(suite.attrib[key]) for suite in root) == int(root.attrib[key])
    assert int(root.attrib["tests"]) == len(root.findall(".//testcase")) == 11


def test_hostile_text_is_text() -> None:
    """Markup in evidence comes back as the text it was, and control characters are gone."""
    root = parsed([samples.HOSTILE])
    failure = root.find(".//failure")
    assert failure is not None
    assert samples.XSS in failure.attrib["message"]
    assert samples.XSS in (failure.text or "")
    assert not root.findall(".//script")
    assert not {mark for mark in render([samples.HOSTILE]) if mark < " "} - {"\n"}
