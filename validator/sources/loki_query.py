"""LogQL for a question: one query that finds a job's lines however they were logged.

Over OTLP, Loki keeps a record's attributes beside the line as structured metadata: a filter on
their names finds them. Of a line of JSON nothing is kept beside it: `| json` reads it when it is
asked for. It is told what to read and how to call it, for two reasons: without that it reads
everything, and what has the name of a label or of metadata already is called `<name>_extracted`.
A line that is not JSON gets the label `__error__` and stays.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from validator.ports import Question

TRACE_KEYS = ("trace_id", "traceId", "traceID", "traceid", "otelTraceID")
"""Under what loggers write the id of the trace: OpenTelemetry's specification (Trace Context in
non-OTLP Log Formats), what is common in JSON, Grafana's older guides, and OpenTelemetry for
Python's logging instrumentation."""
SPAN_KEYS = ("span_id", "spanId", "spanID", "spanid", "otelSpanID")
"""The same for the id of the span."""
READ = "obsv_"
"""With this the names begin that `| json` gives to what it reads."""

_NO_WORD = re.compile(r"[^a-zA-Z0-9_]")


def label_name(key: str) -> str:
    """Return an attribute's key as Loki has it: the OTLP receiver's rule (otlptranslator)."""
    name = re.sub("_+", "_", _NO_WORD.sub("_", key))
    return f"key_{name}" if name[:1].isdigit() else name


def logql(selector: str, question: Question) -> str:
    """Return the query for the lines of a question, empty if it asks for none.

    `selector` chooses the streams; it may have stages of its own.
    """
    traces = sorted({*question.trace_ids, question.control} - {""})
    wanted: list[tuple[tuple[str, ...], list[list[str]], list[str]]] = [
        (TRACE_KEYS, [["trace.id"], ["trace", "id"]], traces)
    ]
    if question.job_id:
        keys = question.job_id_keys
        nested = [key.split(".") for key in keys if "." in key]
        wanted.append((keys, nested, _spellings(question.job_id)))
    paths: dict[str, str] = {}
    terms: list[str] = []
    for keys, nested, values in wanted:
        if not values or not keys:
            continue
        matching = f"=~{quoted('|'.join(map(re.escape, values)))}"
        terms += [f"{name}{matching}" for name in _unique(map(label_name, keys))]
        spelled = _unique([*keys, *map(label_name, keys)])
        for path in (*([key] for key in spelled), *nested):
            name = paths.setdefault("".join(f"[{json.dumps(part)}]" for part in path), _next(paths))
            terms.append(f"{name}{matching}")
    if not terms:
        return ""
    read = ", ".join(f"{name}={quoted(path)}" for path, name in paths.items())
    return f"{selector} | json {read} | {' or '.join(terms)}"


def quoted(text: str) -> str:
    """Return a string of LogQL, which has Go's: JSON's escapes are among them."""
    return json.dumps(text, ensure_ascii=False)


def _spellings(value: str) -> list[str]:
    """Return a text as it may stand in JSON, whose escapes older Lokis leave as they are."""
    plain = json.dumps(value, ensure_ascii=False)[1:-1]
    ascii_only = json.dumps(value)[1:-1]
    return _unique([value, plain, ascii_only, plain.replace("/", r"\/")])


def _next(names: dict[str, str]) -> str:
    """Return a name that no path has yet."""
    return f"{READ}{len(names)}"


def _unique(names: Iterable[str]) -> list[str]:
    """Return each once, in order."""
    return list(dict.fromkeys(names))
