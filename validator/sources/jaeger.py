"""Jaeger's query service: v3 of its API (OTLP/JSON), v2 (its own JSON) where that is missing.

Both are asked for spans as they were stored: v2, and v3 since Jaeger 2, otherwise move the times
of spans that do not fit into their parents' ("clock skew adjustment"), which would hide what is to
be judged. Arrays among attributes come as their JSON, links without their attributes.

Only v2 finds traces by tags, and of one service at a time.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product as pairs
from typing import Any

import orjson

from validator.errors import SourceFailure
from validator.model import Span
from validator.ports import Probed, Question
from validator.sources import jaeger_v2
from validator.sources.api import named
from validator.sources.http import Reply, shown
from validator.sources.otlp import Oddities
from validator.sources.otlp_json import NotOtlpError
from validator.sources.otlp_json_spans import spans_in
from validator.sources.otlp_spans import Decoded
from validator.sources.trace_store import PROBE, Hits, TraceStore

_V3, _V2 = "/api/v3/traces", "/api/traces"
_RAW = (("rawTraces", "true"), ("raw_traces", "true"))
"""Ask v3 for spans as stored, by its name in Jaeger 2 and by an earlier one."""
_A_PAGE = frozenset({200})
"""To a path that it does not know Jaeger answers the page of its user interface."""
_JSON = frozenset({"application/json", "text/plain", ""})
"""How Jaeger 1 and 2 declare their JSON."""
_WARNINGS = ("@jaeger@warnings", "jaeger.internal.warnings")
"""Attributes under which Jaeger 2 tells its warnings."""
_ADDED = frozenset({*_WARNINGS, "internal.span.format", "@jaeger@format"})
"""Attributes that Jaeger adds to what was sent."""
_MOST_HITS, _MOST_CONTROLS = 20, 200
_MOST_FINDS = 24
"""So many requests one search makes: each is for one service and one key."""
_OWN = frozenset({"obs-validator", "jaeger", "jaeger-all-in-one", "jaeger-query"})
"""Services that are no job's: our control records, and Jaeger's own."""


class JaegerSource(TraceStore):
    """Reads Jaeger's HTTP API."""

    kind = "jaeger"
    product = "Jaeger"
    _v3 = True

    def probe(self) -> Probed:
        """Ask for a trace that nobody has, and for the services that are known."""
        reply, _ = self._get(PROBE, math.inf)
        notes = []
        if not self._v3:
            notes.append("v3 of the API is not there: v2 is used, whose times are microseconds")
        if not self._services(math.inf):
            notes.append("no service is known: is anything sent, and is this the right tenant?")
        return Probed("", reply.took, reply.clock_offset, tuple(notes))

    def _fetch(self, trace_id: str, until: float) -> Decoded:
        """Return the spans of one trace, none if it is not there (yet)."""
        reply, documents = self._get(trace_id, until)
        if reply.status == 404:
            return Decoded()
        seen = self._http.clock.now()
        try:
            if not self._v3:
                return jaeger_v2.spans_in(documents[0]["data"], self._name, seen)
            blocks = [
                block
                for document in documents
                for block in document["result"].get("resourceSpans") or ()
            ]
            return _as_sent(spans_in(blocks, self._name, seen))
        except (NotOtlpError, AttributeError, KeyError, TypeError) as exc:
            raise self._api.nonsense(f"answered JSON that is no trace ({exc})") from exc

    def _get(self, trace_id: str, until: float) -> tuple[Reply, list[dict[str, Any]]]:
        """Ask for one trace; return the answer (404 if it is not there) and its JSON."""
        if self._v3:
            reply = self._api.ask(f"{_V3}/{trace_id}", _RAW, until=until, also=_A_PAGE)
            if reply.status not in {200, 404} or _is_jaegers(reply, "error"):
                return reply, self._documents(reply, "error")
            if reply.status == 200 and reply.media != "text/html":
                return reply, self._documents(reply, "error")
        reply = self._api.ask(f"{_V2}/{trace_id}", (("raw", "true"),), until=until)
        documents = self._documents(reply, "errors")
        self._v3 = False
        return reply, documents

    def _documents(self, reply: Reply, error: str) -> list[dict[str, Any]]:
        """Return the JSON objects of an answer, of which v3 may give several, one in a line.

        None, if Jaeger says that there is no such trace.
        """
        if reply.status == 404 and _is_jaegers(reply, error):
            return []
        self._api.expect_good(reply)
        if reply.media not in _JSON:
            raise self._api.nonsense(f"answered {named(reply.media)}")
        try:
            documents = _objects(reply.body)
        except orjson.JSONDecodeError as exc:
            raise self._api.nonsense(f"answered JSON that cannot be read ({exc})") from exc
        if failed := [one[error] for one in documents if one.get(error)]:
            detail = f"{shown(self._api.url)} broke off: {failed[0]}"[:300]
            raise self._http.error(SourceFailure.PARTIAL, detail)
        return documents

    def _services(self, until: float) -> list[str]:
        """Return the services that Jaeger knows, less its own and ours."""
        reply = self._api.ask("/api/services", until=until)
        documents = self._documents(reply, "errors") or [{}]
        names = documents[0].get("data", ())
        if names is not None and not isinstance(names, list):
            raise self._api.nonsense("answered JSON that is no list of services")
        return sorted(set(map(str, names or ())) - _OWN)

    def _find(self, question: Question, until: float) -> Hits:
        """Ask for the job's id under each key, service by service."""
        asked = list(pairs(self._services(until), question.job_id_keys))
        found: dict[str, None] = {}
        findings: dict[str, None] = {}
        for service, key in asked[:_MOST_FINDS]:
            tags = orjson.dumps({key: question.job_id}).decode()
            hits = self._search((("service", service), ("tags", tags)), question, until)
            found.update(dict.fromkeys(hits.trace_ids))
            findings.update(dict.fromkeys(hits.findings))
        if len(asked) > _MOST_FINDS:
            findings[
                f"a search takes {len(asked)} requests, one for each service and key: only "
                f"{_MOST_FINDS} were made"
            ] = None
        return Hits(tuple(found), full=not findings, findings=tuple(findings))

    def _find_control(self, question: Question, until: float) -> Hits:
        """Ask for control records of the time of the run."""
        wanted = (("service", "obs-validator"),)
        return self._search(wanted, question, until, limit=_MOST_CONTROLS)

    def _search(
        self,
        wanted: tuple[tuple[str, str], ...],
        question: Question,
        until: float,
        *,
        limit: int = _MOST_HITS,
    ) -> Hits:
        """Return the traces that a search of v2 finds; it wants times in microseconds."""
        start, end = self._window(question)
        params = (
            *wanted,
            ("start", str(start * 1_000_000)),
            ("end", str(end * 1_000_000)),
            ("limit", str(limit)),
            ("raw", "true"),
        )
        reply = self._api.ask(_V2, params, until=until)
        try:
            documents = self._documents(reply, "errors") or [{"data": []}]
            ids = [one["traceID"].rjust(32, "0") for one in documents[0]["data"] or ()]
        except (AttributeError, KeyError, TypeError) as exc:
            raise self._api.nonsense("answered JSON that is no result of a search") from exc
        if len(ids) < limit:
            return Hits(tuple(ids))
        more = f"the search found {limit} traces or more: only the first were taken"
        return Hits(tuple(ids), full=False, findings=(more,))


def _objects(body: bytes) -> list[dict[str, Any]]:
    """Return the JSON objects of a body."""
    try:
        documents = [orjson.loads(body)]
    except orjson.JSONDecodeError:
        lines = [line for line in body.splitlines() if line.strip()]
        if len(lines) < 2:
            raise
        documents = [orjson.loads(line) for line in lines]
    if not all(isinstance(one, dict) for one in documents):
        raise orjson.JSONDecodeError("not an object", "", 0)
    return documents


def _is_jaegers(reply: Reply, error: str) -> bool:
    """Whether Jaeger itself says that a trace is not there: in JSON, under `error` or `errors`."""
    try:
        said = orjson.loads(reply.body)[error]
        code = said["httpCode"] if isinstance(said, dict) else said[0]["code"]
    except (orjson.JSONDecodeError, KeyError, IndexError, TypeError):
        return False
    return reply.status == 404 and code == 404


def _as_sent(decoded: Decoded) -> Decoded:
    """Return spans without the attributes that Jaeger adds; its warnings are told."""
    warnings = Oddities()
    spans: list[Span] = []
    for span in decoded.spans:
        for key in _WARNINGS:
            told = span.attributes.get(key, ())
            for warning in told if isinstance(told, tuple) else (told,):
                example = f"span {span.span_id} of trace {span.trace_id}"
                warnings.note(jaeger_v2.warned(warning), span.service, example)
        kept = {key: value for key, value in span.attributes.items() if key not in _ADDED}
        spans.append(span if len(kept) == len(span.attributes) else replace(span, attributes=kept))
    findings = (*warnings.findings(), *decoded.findings)
    return Decoded(tuple(spans), decoded.whole, findings)
