"""What a Prometheus tells of series beside their samples: types, and exemplars.

Neither is everywhere: what cannot be had is left out, and is no error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from validator.errors import SourceError
from validator.model import Exemplar
from validator.sources.promapi import JsonApi
from validator.sources.scrapes import Key

_EXEMPLARS = 900.0
"""Seconds back for which exemplars are asked for."""


def types_of(api: JsonApi) -> dict[str, str]:
    """Return the type of each family that metadata names; nothing where there is none.

    https://prometheus.io/docs/prometheus/latest/querying/api/#querying-metric-metadata
    """
    try:
        told = api.get("api/v1/metadata")
        with api.reading("api/v1/metadata"):
            return {name: str(entries[0]["type"]) for name, entries in told.data.items() if entries}
    except SourceError:
        return {}


def exemplars_of(api: JsonApi, names: Iterable[str], now: float, off: float) -> dict[Key, Exemplar]:
    """Return the latest exemplar of each series; `now` is theirs, `off` seconds ahead of ours.

    Where exemplars are not stored the answer is an empty list
    (https://prometheus.io/docs/prometheus/latest/querying/api/#querying-exemplars).
    """
    pattern = "|".join(map(re.escape, sorted(names)))
    query = f"{{__name__=~{json.dumps(pattern)}}}"
    window = ("start", f"{now - _EXEMPLARS:.3f}"), ("end", f"{now:.3f}")
    try:
        told = api.get("api/v1/query_exemplars", ("query", query), *window)
        with api.reading("api/v1/query_exemplars"):
            return {
                key_of(one["seriesLabels"]): _exemplar(one["exemplars"], off)
                for one in told.data or ()
                if one["exemplars"]
            }
    except SourceError:
        return {}


def key_of(labels: Mapping[str, str]) -> Key:
    """Return what tells a series from others, its `__name__` among its labels."""
    return frozenset(labels.items())


def _exemplar(shown: Iterable[Mapping[str, object]], off: float) -> Exemplar:
    """Return the latest of a series' exemplars."""
    last = max(shown, key=lambda one: float(str(one["timestamp"])))
    labels = last["labels"]
    if not isinstance(labels, dict):
        raise TypeError("an exemplar's labels")
    return Exemplar(labels, float(str(last["value"])), float(str(last["timestamp"])) - off)
