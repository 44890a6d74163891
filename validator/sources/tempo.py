"""Tempo, and what speaks its API: traces by id, and its index by TraceQL.

The version of the API that answers is remembered: v2 where there is one, else v1. By id nothing
is cut off by times; search wants both, in whole seconds, and finds nothing of the last half
minute by default.
"""

from __future__ import annotations

import math
import re
from typing import Any

import orjson

from validator.errors import SourceError, SourceFailure
from validator.ports import Probed, Question
from validator.sources import tempo_answer
from validator.sources.api import named
from validator.sources.http import Reply
from validator.sources.otlp_json import NotOtlpError
from validator.sources.otlp_spans import Decoded
from validator.sources.trace_store import PROBE, Hits, TraceStore

_TOO_LARGE = "response larger than the max"
"""What Tempo says, with status 500, when its parts may not send each other so much: 16 MiB."""
_NO_ROUTE = b"404 page not found"
"""What Go's router says of a path that it does not know."""
_MOST_HITS = 100
_HOUR = 3600
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_INTEGER = re.compile(r"0|[1-9][0-9]{0,18}")
_TRACE_ID = re.compile(r"[0-9a-fA-F]{1,32}")


class TempoSource(TraceStore):
    """Reads Tempo's HTTP API."""

    kind = "tempo"
    product = "Tempo"
    _v1 = False

    def probe(self) -> Probed:
        """Ask for a trace that nobody has, for its version, and whether anything is there."""
        reply, _ = self._get(PROBE, math.inf)
        notes = []
        if self._v1:
            notes.append("v2 of the API is not there: v1 is used, which does not tell PARTIAL")
        now = int(self._http.clock.now())
        if not self._search("{ }", (now - _HOUR, now), math.inf, limit=1).trace_ids:
            notes.append(
                "the search finds no trace of the last hour: is anything sent, and is this the "
                "tenant that it is sent to?"
            )
        return Probed(self._version(), reply.took, reply.clock_offset, tuple(notes))

    def _version(self) -> str:
        """Return what Tempo says of itself; a build of one's own says nothing."""
        try:
            reply = self._api.ask("/api/status/buildinfo")
            return str(orjson.loads(reply.body)["version"])
        except (SourceError, orjson.JSONDecodeError, KeyError, TypeError):
            return ""

    def _fetch(self, trace_id: str, until: float) -> Decoded:
        """Return the spans of one trace, none if it is not there (yet)."""
        reply, v2 = self._get(trace_id, until)
        if reply.status == 404:
            return Decoded()
        seen = self._http.clock.now()
        try:
            return tempo_answer.read(reply.body, reply.media, self._name, seen, v2=v2)
        except NotOtlpError as exc:
            raise self._api.nonsense(f"answered {exc}") from exc

    def _get(self, trace_id: str, until: float) -> tuple[Reply, bool]:
        """Ask for one trace; return the answer (404 if it is not there) and whether it is v2's."""
        if not self._v1:
            reply = self._ask(f"/api/v2/traces/{trace_id}", until)
            if not _no_route(reply):
                return self._api.expect_good(reply), True
        reply = self._ask(f"/api/traces/{trace_id}", until)
        if not _says_missing(reply):
            self._api.expect_good(reply)
        self._v1 = True
        return reply, False

    def _ask(self, path: str, until: float) -> Reply:
        """Ask for a trace; return a good answer or a 404."""
        try:
            reply = self._api.ask(path, headers={"Accept": tempo_answer.PROTOBUF}, until=until)
        except SourceError as error:
            if _TOO_LARGE not in error.detail:
                raise
            detail = f"{error.detail}: raise `grpc_server_max_send_msg_size` of Tempo's `server`"
            raise self._http.error(SourceFailure.TOO_LARGE, detail) from error
        if reply.status == 404:
            return reply
        self._api.expect_good(reply)
        if reply.media not in {tempo_answer.PROTOBUF, tempo_answer.JSON}:
            raise self._api.nonsense(f"answered {named(reply.media)}")
        return reply

    def _find(self, question: Question, until: float) -> Hits:
        """Ask the index for the job's id under each key, of spans and of resources.

        One that may have been sent as a number is asked for as that too: TraceQL compares types.
        """
        job = question.job_id
        number = _INTEGER.fullmatch(job) and int(job) < 2**63  # as OTLP has them
        values = [_quoted(job), *([job] if number else [])]
        terms = [
            f"{scope}.{_key(key)} = {value}"
            for key in question.job_id_keys
            for scope in ("span", "resource")
            for value in values
        ]
        return self._search(f"{{ {' || '.join(terms)} }}", self._window(question), until)

    def _find_control(self, question: Question, until: float) -> Hits:
        """Ask the index for control records of the time of the run."""
        query = '{ resource.service.name = "obs-validator" && name = "control record" }'
        return self._search(query, self._window(question), until)

    def _search(
        self, query: str, window: tuple[int, int], until: float, *, limit: int = _MOST_HITS
    ) -> Hits:
        """Return the traces that a TraceQL query finds between two times in whole seconds."""
        params = (
            ("q", query),
            ("start", str(window[0])),
            ("end", str(window[1])),
            ("limit", str(limit)),
            ("spss", "1"),
        )
        headers = {"Accept": tempo_answer.JSON}
        reply = self._api.ask("/api/search", params, headers, until=until)
        self._api.expect_good(reply)
        try:
            return _hits(orjson.loads(reply.body), limit)
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError) as exc:
            what = f"answered {named(reply.media)} that is no result of a search"
            raise self._api.nonsense(what) from exc


def _hits(document: Any, limit: int) -> Hits:
    """Return the traces of a search's answer; their ids come without leading zeros."""
    if not {"traces", "metrics"} & document.keys():
        raise KeyError("traces")
    ids = [trace["traceID"] for trace in document.get("traces") or ()]
    if not all(map(_TRACE_ID.fullmatch, ids)):
        raise ValueError("an id")
    findings = []
    metrics = document.get("metrics") or {}
    done, jobs = int(metrics.get("completedJobs", 0)), int(metrics.get("totalJobs", 0))
    if len(ids) >= limit:
        findings.append(f"the search found {limit} traces or more: only the first were taken")
    elif done < jobs:
        findings.append(f"the search is PARTIAL: {done} of {jobs} parts of it were done")
    unique = dict.fromkeys(one.lower().rjust(32, "0") for one in ids)
    return Hits(tuple(unique), full=not findings, findings=tuple(findings))


def _no_route(reply: Reply) -> bool:
    """Whether a router does not know the path."""
    return reply.status == 404 and reply.body.strip() == _NO_ROUTE


def _says_missing(reply: Reply) -> bool:
    """Whether v1 says that a trace is not there: until Tempo 2.5 in words. v2 answers 200."""
    return reply.status == 404 and reply.body.strip().lower() in {b"", b"trace not found"}


def _quoted(text: str) -> str:
    """Put text into quotes as TraceQL reads them, which are Go's."""
    return orjson.dumps(text).decode()


def _key(key: str) -> str:
    """Return an attribute's name as TraceQL reads it."""
    if _PLAIN_KEY.fullmatch(key):
        return key
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
