"""Remarks on a Prometheus for whoever asks whether it is there: targets that are down, no rules."""

from __future__ import annotations

from collections.abc import Callable

from validator.errors import SourceError
from validator.sources.promapi import JsonApi
from validator.sources.promrules import read_rules

NOTHING = "nothing is scraped here, of any target: is it the right tenant, or data source?"

_MOST = 5


def remarks(api: JsonApi, ask: Callable[[JsonApi], list[str]]) -> list[str]:
    """Return what `ask` finds, or why it cannot be asked."""
    try:
        return ask(api)
    except SourceError as exc:
        return [f"not everything could be asked: {exc.failure}: {exc.detail}"]


def targets_remark(api: JsonApi) -> list[str]:
    """Remark on targets that are down, and on a tenant without any."""
    told = api.get("api/v1/query", ("query", "up"))
    with api.reading("api/v1/query"):
        every = [(one["metric"], one["value"][1]) for one in told.data["result"]]
    if not every:
        return [NOTHING]
    down = [
        f"{labels.get('job', '')} at {labels.get('instance', '')}"
        for labels, value in every
        if value != "1"
    ]
    named = ", ".join(down[:_MOST]) + (", …" if len(down) > _MOST else "")
    return [f"targets down: {len(down)} of {len(every)}: {named}"] if down else []


def rules_remark(api: JsonApi) -> list[str]:
    """Remark on alerting rules that are broken, or missing."""
    told = api.get("api/v1/rules", ("type", "alert"))
    with api.reading("api/v1/rules"):
        rules = read_rules(told.data["groups"])
    return list(rules.broken) if rules.count else ["no alerting rules"]
