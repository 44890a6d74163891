"""Promises of how much is told."""

from __future__ import annotations

from tests.checks.build import attempt, evidence, span
from tests.checks.judging import judge, only

SCRAPE = {"service": "scraper", "name": "scrape_task"}


def test_what_is_told_is_bounded() -> None:
    """Hundreds of wrong spans and notes do not flood a report or a stored run."""
    tries = [attempt("scraper", "run/scrape", "t1", id=f"a{n}", ms=n) for n in range(30)]
    params = {"spans": {"service": "scraper", "kind": "CONSUMER"}, "require": ["queue.name"]}
    verdict = judge("span_attributes", params, evidence(tries))
    assert verdict.notes[-1] == "… and 9 more"
    many = [span("scraper", "scrape_task", id=f"{n:016x}", attributes={}) for n in range(600)]
    assert (
        len(
            only(
                judge("span_attributes", {"spans": SCRAPE, "require": ["a"]}, evidence(many))
            ).spans
        )
        == 500
    )
