"""The ways in which the inference stub misbehaves when it is told to."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, Field

Data = list[dict[str, Any]]
"""The vectors of an answer, each with the index of its text."""


def _first(data: Data, *numbers: Any) -> Data:
    """Return the data with the first numbers of the first vector replaced."""
    one = data[0]
    return [{**one, "embedding": [*numbers, *one["embedding"][len(numbers) :]]}, *data[1:]]


BODIES: Final[dict[str, Callable[[Data], Any]]] = {
    "ok": lambda data: {"data": data},
    "disordered": lambda data: {"data": data[::-1]},
    "nan": lambda data: {"data": _first(data, math.nan)},
    "infinite": lambda data: {"data": _first(data, math.inf)},
    "too_large": lambda data: {"data": _first(data, 1e300)},
    "no_number": lambda data: {"data": _first(data, "0.5")},
    "zeros": lambda data: {"data": _first(data, *[0] * len(data[0]["embedding"]))},
    "short": lambda data: {"data": [{**data[0], "embedding": [0.5]}, *data[1:]]},
    "missing": lambda data: {"data": data[1:]},
    "surplus": lambda data: {"data": [*data, {**data[-1], "index": len(data)}]},
    "index_twice": lambda data: {"data": [*data, data[0]]},
    "wrong_index": lambda data: {"data": [{**data[0], "index": len(data)}, *data[1:]]},
    "no_index": lambda data: {"data": [{"embedding": data[0]["embedding"]}, *data[1:]]},
    "no_object": lambda data: data,
    "huge": lambda data: {"data": data, "comment": "x" * 1_000_000},
}
"""What is sent as JSON; the first two are as they should be."""
TEXTS: Final = {"not_json": "<html>busy</html>", "nested": "[" * 100_000}
STATUSES: Final = {f"http_{status}": status for status in (301, 401, 413, 422, 429, 500, 503)}
SLOW: Final = "slow"
"""Answers as it should, after `seconds`."""
MODES: Final = frozenset({*BODIES, *TEXTS, *STATUSES, SLOW})


def _known(mode: str) -> str:
    if mode not in MODES:
        raise ValueError(f"known are {', '.join(sorted(MODES))}")
    return mode


class Behaviour(BaseModel):
    """How the next `times` requests are answered, or all if no number is given."""

    mode: Annotated[str, AfterValidator(_known)] = "ok"
    times: int | None = Field(default=None, ge=0)
    seconds: float = Field(default=2.0, ge=0, le=60)

    def next(self) -> str:
        """Return how to answer one more request."""
        if self.times == 0:
            return "ok"
        if self.times is not None:
            self.times -= 1
        return self.mode
