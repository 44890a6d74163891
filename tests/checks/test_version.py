"""Promises of `version`."""

from __future__ import annotations

from typing import Any

import pytest

from tests.checks.build import attempt, evidence, span
from tests.checks.judging import INCOMPLETE, judge, only, passes, refused, told
from validator.model import CoverageState, Span, Status

PARAMS: dict[str, Any] = {"services": ["scraper", "search"], "version": "1.2.3"}


def of(version: Any, name: str = "x", **fields: Any) -> Span:
    """Make a span of the scraper of a version."""
    resource = {} if version is None else {"service.version": version}
    return span("scraper", name, resource=resource, **fields)


SEARCH = span("search", "find")


def test_every_span_of_the_version_passes() -> None:
    """Other services may be of any version."""
    other = span("a", "b", resource={})
    verdict = judge("version", PARAMS, evidence([of("1.2.3"), SEARCH, other]))
    assert passes(verdict)
    assert verdict.examined == 2


@pytest.mark.parametrize(
    ("spans", "code", "words"),
    [
        ([of("1.2.2")], "version_mismatch", "scraper shows 1.2.2, not 1.2.3"),
        ([of(None)], "version_unknown", "scraper-1: no version on 1 spans"),
        ([of(123)], "version_mismatch", "scraper shows 123"),
        (
            [of("1.2.2", "a", instance="s-1"), of("1.2.3", "b", instance="")],
            "version_mismatch",
            "not only 1.2.3",
        ),
    ],
)
def test_another_version_is_inconclusive(spans: list[Span], code: str, words: str) -> None:
    """Nothing is said of a version that did not do the work; instances are named."""
    verdict = judge("version", PARAMS, evidence([*spans, SEARCH]))
    assert (verdict.status, verdict.code) == (Status.INCONCLUSIVE, code)
    assert words in told(verdict)
    assert only(verdict).spans == (spans[0].span_id,)


def test_a_deployment_that_is_going_on_names_each_instance() -> None:
    """Which instance is of which version is what one wants to know."""
    spans = [of("1.2.2", "a", instance="s-1"), of("1.2.3", "b", instance="")]
    verdict = judge("version", PARAMS, evidence([*spans, SEARCH]))
    assert "s-1: 1.2.2 on 1 spans" in told(verdict)
    assert "(no service.instance.id): 1.2.3 on 1 spans" in told(verdict)
    assert "still going on" in told(verdict)


@pytest.mark.req("V-13")
def test_a_service_without_spans_has_no_version() -> None:
    """That is a failure, blocked where another check has found the service missing."""
    verdict = judge("version", PARAMS, evidence([of("1.2.3")]))
    assert (verdict.status, verdict.code) == (Status.FAIL, "no_match")
    assert only(verdict).needs == ("job", "spans:search")


def test_an_earlier_attempt_by_an_old_worker_is_told_only() -> None:
    """The last attempt shows what runs now."""
    old = attempt("scraper", "run/x", "t", id="a1", ms=1, resource={"service.version": "1.2.2"})
    bare = attempt("scraper", "run/x", "t", id="a2", ms=2, instance="", resource={})
    new = attempt("scraper", "run/x", "t", id="a3", ms=3)
    verdict = judge("version", PARAMS, evidence([old, bare, new, SEARCH]))
    assert passes(verdict)
    notes = "\n".join(verdict.notes)
    assert "attempt 1 of 3: `run/x` was run by scraper-1 of version 1.2.2" in notes
    assert "attempt 2 of 3: `run/x` was run by scraper of version (none)" in notes


@pytest.mark.req("V-13")
@pytest.mark.parametrize("state", INCOMPLETE)
def test_nothing_passes_on_incomplete_evidence(state: CoverageState) -> None:
    """A span of another version may still come."""
    assert not passes(judge("version", PARAMS, evidence([of("1.2.3"), SEARCH], state=state)))


@pytest.mark.parametrize("params", [{"services": [], "version": "1"}, {"services": ["a"]}])
def test_what_makes_no_sense_is_refused_at_load(params: dict[str, Any]) -> None:
    """Nothing is half accepted."""
    assert refused("version", params)
