"""What Loki answers: lines in pages, and what it says of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from validator.sources.loki_lines import Entry
from validator.sources.loki_query import READ

_PARTIAL = re.compile(
    "partial|incomplete|truncat|dropped|missing|fail|unavailable|limit", re.IGNORECASE
)
"""Words of a warning that says that there is more than was given."""


@dataclass(slots=True)
class Read:
    """What the pages of one question held, each line once."""

    entries: dict[object, Entry] = field(default_factory=dict)
    findings: dict[str, None] = field(default_factory=dict)
    full: bool = True

    def add(self, entry: Entry) -> bool:
        """Take a line in; return whether it is new."""
        labels = frozenset((*entry.labels.items(), *entry.metadata.items()))
        key = (entry.time, entry.text, labels)
        new = key not in self.entries
        self.entries.setdefault(key, entry)
        return new

    def warned(self, warnings: Iterable[object]) -> None:
        """Take in what Loki warns of."""
        for warning in warnings:
            self.findings[f"warns: {warning}"] = None
            if _PARTIAL.search(str(warning)):
                self.full = False

    def lacks(self, why: str) -> None:
        """Say why the answer is not full."""
        self.full = False
        self.findings[why] = None


def entries_of(data: Mapping[str, Any]) -> Iterator[Entry]:
    """Yield the lines of an answer; raises `KeyError`, `TypeError` or `ValueError` for nonsense.

    What tells no categories apart (an older Loki) has everything among the labels of the stream.
    """
    if data["resultType"] != "streams" or not isinstance(data["result"], list):
        raise ValueError("no streams")
    told = "categorize-labels" in (data.get("encodingFlags") or ())
    for stream in data["result"]:
        labels = {str(k): str(v) for k, v in stream["stream"].items() if not k.startswith(READ)}
        for time, text, *more in stream["values"]:
            beside = dict((more[0] if more else {}).get("structuredMetadata") or {})
            if told:
                yield Entry(int(time), str(text), labels, beside)
            else:
                own = {key: value for key, value in labels.items() if key == "service_name"}
                others = {key: value for key, value in labels.items() if key not in own}
                yield Entry(int(time), str(text), own, {**others, **beside})
