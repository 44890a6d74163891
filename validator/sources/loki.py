"""Loki: log lines by trace or by the job's id, in one query a question."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

import orjson

from validator.errors import SourceError, SourceFailure
from validator.model import LogLine, TraceRef
from validator.ports import Answer, Probed, Question
from validator.sources.base import SourceBase
from validator.sources.control import Control
from validator.sources.http import Call, Http, Reply, shown
from validator.sources.loki_answer import Read, entries_of
from validator.sources.loki_lines import Entry, line_of, names_job
from validator.sources.loki_query import logql

PAGE = 5_000
"""Lines of one answer: Loki's `max_entries_limit_per_query`."""
_PAGES = 10
"""So many pages are read of one question; what has more is not full."""
_LONGEST = 720 * 3600.0
"""Seconds of one query: Loki's `max_query_length` (721 h), and within it."""
_LONG_QUERY = 4_000
"""Characters beyond which a query goes in a form: what stands before Loki limits a URL."""
_SAID = 500
"""Bytes of a refusal that are told."""
_LOOKED_BACK = 3600.0
"""Seconds of which `probe` says whether there are streams."""
_NANOSECONDS = 1_000_000_000
_CATEGORIES = {"X-Loki-Response-Encoding-Flags": "categorize-labels"}
"""Asks that labels, structured metadata and what the query read are told apart."""

_TOO_MANY = re.compile(r"max entries limit per query exceeded.*?> (\d+)\)")
_TOO_LONG = re.compile(r"query time range exceeds the limit .*?limit: (?:(\d+)d)?(?:(\d+)h)?")


@dataclass(frozen=True, slots=True)
class Streams:
    """Where a pipeline's lines are: `url` is what stands before `/loki/api/v1`.

    `selector` has to match the streams of every service of the pipeline, and those of control
    records, if `control` says where they go in.
    """

    url: str
    selector: str = '{service_name=~".+"}'
    control: Control | None = None


class LokiSource(SourceBase):
    """Reads a Loki, or what speaks its API."""

    kind = "loki"

    def __init__(self, name: str, http: Http, lag_budget: float, streams: Streams) -> None:
        """Read `streams` through `http`."""
        super().__init__(name, http, lag_budget)
        self._url = streams.url.rstrip("/")
        self._selector = streams.selector
        self._control = streams.control
        self._page = PAGE
        self._longest = _LONGEST
        self._heard_at = float("-inf")

    def close(self) -> None:
        """Let go of the connections."""
        if self._control is not None:
            self._control.http.close()
        super().close()

    def plant(self, trace_id: str) -> None:
        """Send a log record of trace `trace_id`, where a way in is declared."""
        if self._control is not None:
            self._control.plant(trace_id)

    def logs(self, question: Question) -> Answer:
        """Return the log lines of the job; one request for each 5,000 lines.

        Where there are none it is asked as well, now and then, which services send at all.
        """
        query = logql(self._selector, question)
        if not query:
            return Answer()
        until = self._http.clock.monotonic() + self._http.timeout
        try:
            read = self._read(query, question, until)
        except SourceError as error:
            if not self._learns(error):
                raise
            read = self._read(query, question, until)
        seen = self._http.clock.now()
        lines = [line_of(entry, self._name, seen) for entry in read.entries.values()]
        control = [line for line in lines if line.trace_id == question.control != ""]
        found = tuple(line for line in lines if _is_wanted(line, question))
        heard = {line.service for line in found if line.service}
        if not found:
            heard.update(self._services(question, until))
        if question.since == float("-inf") and (not found or self._longest < _LONGEST):
            hours = self._longest / 3600
            said = f"looked at the last {hours:g} hours: one query may span no more"
            read.findings[said] = None
        return Answer(
            logs=found,
            traces=_traces(found, question),
            full=read.full,
            control_seen=bool(control),
            findings=tuple(read.findings),
            heard=tuple(sorted(heard)),
        )

    def probe(self) -> Probed:
        """Ask for the version, and for one line of the last hour; raises `SourceError`."""
        now = self._http.clock.now()
        window = (("start", _nanoseconds(now - _LOOKED_BACK)), ("end", _nanoseconds(now)))
        url = f"{self._url}/loki/api/v1/query_range"
        call = Call(url, params=(("query", self._selector), ("limit", "1"), *window))
        version, reply = self._version(), self._call(call)
        notes = []
        if not self._entries(self._document(reply, url), url):
            labels = self._list("labels", window)
            notes.append(
                f"no line of the last hour matches the selector {self._selector}; there are "
                f"streams with the labels {', '.join(map(str, labels))}"
                if labels
                else "no stream at all in the last hour: is it the right tenant?"
            )
        return Probed(version, reply.took, reply.clock_offset, tuple(notes))

    def _version(self) -> str:
        """Return the version, empty where a gateway does not let the question through."""
        path = f"{self._url}/loki/api/v1/status/buildinfo"
        reply = self._http.call(Call(path, also=frozenset({404, 405})))
        try:
            return str(orjson.loads(reply.body)["version"])
        except (ValueError, KeyError, TypeError):
            return ""

    def _learns(self, error: SourceError) -> bool:
        """Whether a refusal told of a limit that is lower than ours, which is kept from now on."""
        lines, span = _TOO_MANY.search(error.detail), _TOO_LONG.search(error.detail)
        if lines and 0 < int(lines[1]) < self._page:
            self._page = int(lines[1])
            return True
        seconds = 86400.0 * int(span[1] or 0) + 3600.0 * int(span[2] or 0) if span else 0.0
        if 0 < seconds - 60 < self._longest:
            self._longest = seconds - 60
            return True
        return False

    def _read(self, query: str, question: Question, until: float) -> Read:
        """Read page after page, each from the time of the last line on, which it may repeat.

        What a query may not span is read in as many as it takes. What `until`, by the clock's
        `monotonic`, leaves no time for is lacking, once there is anything.
        """
        most = int(self._longest * _NANOSECONDS)
        end = int(question.until * _NANOSECONDS) + 1
        since = question.since
        start = end - most if since == float("-inf") else int(since * _NANOSECONDS)
        read = Read()
        for page in range(_PAGES):
            to = min(end, start + most)
            try:
                entries = self._query(query, (start, to), read, until)
            except SourceError as error:
                if not page or error.failure is not SourceFailure.TOO_SLOW:
                    raise
                read.lacks(f"there was time for {page} pages: the latest lines were not read")
                return read
            new = [read.add(entry) for entry in entries]
            if len(entries) < self._page:
                if to == end:
                    return read
                start = to
                continue
            last = max(entry.time for entry in entries)
            if not any(new):
                read.lacks(f"more than {self._page} lines have the time {last}, and no more came")
                last += 1
            start = last
        much = f"{_PAGES * self._page} lines" if to == end else f"{_PAGES} queries"
        read.lacks(f"more than {much}: the latest were not read")
        return read

    def _query(self, query: str, window: tuple[int, int], read: Read, until: float) -> list[Entry]:
        """Return the lines of one page, the earliest first; what it warns of goes to `read`."""
        start, end = window
        params = (
            ("query", query),
            ("start", str(start)),
            ("end", str(end)),
            ("limit", str(self._page)),
            ("direction", "forward"),
        )
        url = f"{self._url}/loki/api/v1/query_range"
        call = Call(url, params=params, headers=_CATEGORIES, until=until)
        if len(query) > _LONG_QUERY:
            form = {"Content-Type": "application/x-www-form-urlencoded", **_CATEGORIES}
            body = urlencode(params).encode()
            call = replace(call, method="POST", params=(), headers=form, body=body)
        reply = self._call(call)
        document = self._document(reply, url)
        read.warned(document.get("warnings") or ())
        return self._entries(document, url)

    def _entries(self, document: Mapping[str, Any], url: str) -> list[Entry]:
        """Return the lines of an answer, the earliest first."""
        try:
            return sorted(entries_of(document["data"]), key=lambda entry: entry.time)
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            detail = f"{shown(url)} answered JSON that is no list of log lines"
            raise self._http.error(SourceFailure.NONSENSE, detail) from exc

    def _call(self, call: Call) -> Reply:
        """Ask; what Loki says of a question that it refuses is told.

        A query that it cannot read is the selector's fault, for the rest of it is ours.
        """
        reply = self._http.call(replace(call, also=frozenset({400})))
        if reply.status != 400:
            return reply
        said = " ".join(reply.body[:_SAID].decode(errors="replace").split())
        detail = f"{shown(call.url)} answered 400 ({said})"
        if "parse error" in said:
            detail += f": is the `selector` {self._selector} right?"
        raise self._http.error(SourceFailure.REFUSED, detail)

    def _document(self, reply: Reply, url: str) -> Mapping[str, Any]:
        """Return the JSON object of an answer that says of itself that it went well."""
        if reply.media != "application/json":
            what = reply.media or "something without a type"
            detail = f"{shown(url)} answered {what}, not JSON: is a login before it?"
            raise self._http.error(SourceFailure.NONSENSE, detail)
        try:
            document = orjson.loads(reply.body)
        except orjson.JSONDecodeError as exc:
            detail = f"{shown(url)} answered JSON that breaks off or is none"
            raise self._http.error(SourceFailure.NONSENSE, detail) from exc
        if not isinstance(document, dict) or document.get("status") != "success":
            detail = f"{shown(url)} answered JSON that is not Loki's: is the path in `url` right?"
            raise self._http.error(SourceFailure.NONSENSE, detail)
        return document

    def _list(
        self, what: str, params: tuple[tuple[str, str], ...], until: float = math.inf
    ) -> list[Any]:
        """Ask for a list: the labels, or the values of one."""
        url = f"{self._url}/loki/api/v1/{what}"
        data = self._document(self._call(Call(url, params=params, until=until)), url).get("data")
        return data if isinstance(data, list) else []

    def _services(self, question: Question, until: float) -> list[str]:
        """Return who sent anything since the job began, at most once in a lag budget."""
        now = self._http.clock.monotonic()
        if now - self._heard_at < self._lag_budget or question.since == float("-inf"):
            return []
        self._heard_at = now
        window = (
            ("start", _nanoseconds(question.since)),
            ("end", _nanoseconds(question.until)),
        )
        try:
            asked = (*window, ("query", self._selector))
            names = self._list("label/service_name/values", asked, until)
        except SourceError:
            return []
        return [name for name in names if isinstance(name, str) and name != "obs-validator"]


def _is_wanted(line: LogLine, question: Question) -> bool:
    """Whether a line is of the job: the query finds the control record as well."""
    if line.trace_id in question.trace_ids:
        return True
    return bool(question.job_id) and names_job(line, question.job_id, question.job_id_keys)


def _traces(lines: tuple[LogLine, ...], question: Question) -> tuple[TraceRef, ...]:
    """Return the traces, beyond those asked for, of lines that carry the job's id."""
    found = {line.trace_id for line in lines} - {"", question.control} - question.trace_ids
    return tuple(TraceRef(trace_id, "job_id") for trace_id in sorted(found))


def _nanoseconds(time: float) -> str:
    """Return a time as Loki takes it."""
    return str(int(time * _NANOSECONDS))
