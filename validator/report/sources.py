"""What `obs-validator sources` says: a table and what to do, or JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from validator.probe import SourceState
from validator.report.text import duration, plain

FORMAT: Final = 1
"""The version of the JSON form. It grows when a reader of the old one would be misled."""

HEAD: Final = ("source", "type", "state", "version", "latency", "ingest lag", "clock")
_MEANING: Final = {
    0: "each can be relied on",
    3: "verdicts that need another are inconclusive",
}


def exit_code(states: Sequence[SourceState]) -> int:
    """Return 0 if nothing is wrong with any source, else 3."""
    return 3 if any(state.problems for state in states) else 0


def row(state: SourceState) -> tuple[str, ...]:
    """Return the cells of one source."""
    first = state.problems[0].code if state.problems else "good"
    return (
        plain(state.name, 100),
        state.type,
        first,
        plain(state.version, 40) or "-",
        "-" if state.latency is None else duration(state.latency),
        _lag(state),
        _clock(state),
    )


def remarks(state: SourceState) -> Iterator[tuple[str, str]]:
    """Yield what is to be said of a source beside its row: a label, and a text."""
    for problem in state.problems:
        yield state.name, f"{problem.code}: {plain(problem.seen, 1000)}"
        yield "", f"what to do: {plain(problem.advice, 1000)}"
    for note in state.notes:
        yield state.name, f"note: {plain(note, 1000)}"


def lines(states: Sequence[SourceState]) -> list[str]:
    """Return plain lines, aligned by spaces, for a log."""
    rows = [HEAD, *map(row, states)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    found = [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(one, widths, strict=True)).rstrip()
        for one in rows
    ]
    said = [text for state in states for text in _remark_lines(state)]
    return [*found, "", *said, *([""] if said else []), sentence(states)]


def _remark_lines(state: SourceState) -> Iterator[str]:
    for label, text in remarks(state):
        yield f"{label}: {text}" if label else f"  {text}"


def sentence(states: Sequence[SourceState]) -> str:
    """Return the last line."""
    good = sum(not state.problems for state in states)
    return f"{good} of {len(states)} sources good: {_MEANING[exit_code(states)]}"


def render_json(states: Sequence[SourceState]) -> str:
    """Return the report for programs, with sorted keys."""
    code = exit_code(states)
    document = {
        "format": FORMAT,
        "exit_code": code,
        "meaning": _MEANING[code],
        "sources": [_source(state) for state in states],
    }
    return json.dumps(document, indent=2, sort_keys=True, allow_nan=False) + "\n"


def sources_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) that every such report fits."""
    text = {"type": "string"}
    seconds = {"type": "number", "description": "seconds"}
    maybe = {"type": ["number", "null"], "description": "seconds; null: not known"}
    problem = _object(
        code={"type": "string", "description": "a stable word for machines"},
        seen=text,
        advice={"type": "string", "description": "what to do"},
    )
    source = _object(
        name=text,
        type=text,
        good={"type": "boolean", "description": "no problem was seen"},
        asked={"type": "boolean", "description": "it answered"},
        version={"type": "string", "description": "what it says of itself; may be empty"},
        latency=maybe,
        clock_offset={**maybe, "description": "seconds that its clock is ahead; null: not told"},
        lag_budget=seconds,
        lag={"type": "object", "additionalProperties": seconds},
        lag_note={"type": "string", "description": "why no lag was measured"},
        problems={"type": "array", "items": problem},
        notes={"type": "array", "items": text},
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Sources of obs-validator",
        **_object(
            format={"const": FORMAT, "description": "version of this form"},
            exit_code={"enum": sorted(_MEANING)},
            meaning=text,
            sources={"type": "array", "items": source},
        ),
    }


def _object(**properties: Any) -> dict[str, Any]:
    """Return the schema of an object that has exactly these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": sorted(properties),
        "additionalProperties": False,
    }


def _source(state: SourceState) -> dict[str, Any]:
    return {
        "name": state.name,
        "type": state.type,
        "good": not state.problems,
        "asked": state.asked,
        "version": state.version,
        "latency": state.latency,
        "clock_offset": state.clock_offset,
        "lag_budget": state.lag_budget,
        "lag": dict(state.lag),
        "lag_note": state.lag_note,
        "problems": [
            {"code": one.code, "seen": one.seen, "advice": one.advice} for one in state.problems
        ],
        "notes": list(state.notes),
    }


def _lag(state: SourceState) -> str:
    """Return the measured lag; of each signal where there are several."""
    if not state.lag:
        return state.lag_note or "-"
    if len(state.lag) == 1:
        return duration(next(iter(state.lag.values())))
    return ", ".join(f"{signal} {duration(lag)}" for signal, lag in state.lag.items())


def _clock(state: SourceState) -> str:
    """Return by how much the clock is off, as far as a header of whole seconds can tell."""
    offset = state.clock_offset
    if offset is None:
        return "-" if state.latency is None else "not told"
    if abs(offset) <= 1.0:
        return "within 1 s"
    return f"{duration(abs(round(offset)))} {'ahead' if offset > 0 else 'behind'}"
