"""Log lines: their fields, how severe they are, which are meant, and whose trace they name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from pydantic import Field

from checks._params import Params
from checks._select import Condition, condition_text, fits, keys_of, own_or_resource
from checks._values import MISSING, Found, Missing, Untyped, glob
from validator.model import Evidence, LogLine, flat_key

Severity = Literal["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"]

_LEVELS: Mapping[str, int] = {
    "TRACE": 0,
    "DEBUG": 1,
    "INFO": 2,
    "INFORMATION": 2,
    "NOTICE": 2,
    "WARN": 3,
    "WARNING": 3,
    "ERR": 4,
    "ERROR": 4,
    "SEVERE": 4,
    "FATAL": 5,
    "CRIT": 5,
    "CRITICAL": 5,
    "ALERT": 5,
    "EMERG": 5,
    "EMERGENCY": 5,
    "PANIC": 5,
    "DPANIC": 5,
}
_OWN = ("trace_id", "span_id", "severity", "body", "service", "instance")


def level(severity: str) -> int:
    """Return how severe a word is, -1 if it is not known (`ERROR2` is OTLP's for an ERROR)."""
    return _LEVELS.get(severity.strip().upper().rstrip("0123456789"), -1)


def line_field(line: LogLine, key: str) -> Found:
    """Return a field: the record's own (`trace_id`, `body` …) if it is set, else an attribute.

    A key of a map within is reached by its dotted path; `resource.` leads to the resource. What the
    backend flattened is found under every key that it may have had.
    """
    if key in _OWN:
        own: str = getattr(line, key)
        if own:
            return own
    found = own_or_resource(line.attributes, line.resource, key)
    if line.flattened:
        found = _flattened(line, key, found)
    return MISSING if key in ("trace_id", "span_id") and found == "" else found


def _flattened(line: LogLine, key: str, found: Found) -> Found:
    """Return a field of a line whose backend has keys in a spelling of its own, values as text."""
    bare = key.removeprefix("resource.")
    if not isinstance(found, Missing):
        return Untyped(found) if bare in line.flattened and isinstance(found, str) else found
    flat = flat_key(bare)
    places = [line.attributes, line.resource] if bare == key else [line.resource, line.attributes]
    for place in places:
        for one in line.flattened:
            if one in place and flat_key(one) == flat:
                value = place[one]
                return Untyped(value) if isinstance(value, str) else value
    return found


def flattened_as(line: LogLine, pattern: str) -> list[str]:
    """Return the flattened keys that a glob may mean."""
    flat = flat_key(pattern)
    return [key for key in line.flattened if key in line.attributes and glob(flat, flat_key(key))]


def line_keys(line: LogLine) -> list[str]:
    """Return the keys of the fields that a line has."""
    own = [key for key in _OWN if getattr(line, key)]
    return [*own, *keys_of(line.attributes, line.resource)]


class LogSelector(Params):
    """Which log lines: each part that is given has to fit."""

    service: str | None = Field(None, min_length=1, description="`service.name`, exactly")
    where: Mapping[str, Condition] = Field(
        {}, description="fields and their values, or `{matches: regex}`"
    )
    severity_at_least: Severity | None = Field(
        None, description="TRACE, DEBUG, INFO, WARN, ERROR or FATAL"
    )

    def misfits(self, line: LogLine) -> tuple[str, ...]:
        """Return the parts that do not fit."""
        wrong = []
        if self.service is not None and line.service != self.service:
            wrong.append("service")
        least = self.severity_at_least
        if least is not None and level(line.severity) < _LEVELS[least]:
            wrong.append("severity")
        if any(not fits(wanted, line_field(line, key)) for key, wanted in self.where.items()):
            wrong.append("where")
        return tuple(wrong)

    def selects(self, line: LogLine) -> bool:
        """Whether the line is one of those that are meant."""
        return not self.misfits(line)

    def words(self) -> str:
        """Name what is meant."""
        text = f"{self.severity_at_least} line" if self.severity_at_least else "log line"
        text = f"{text} of {self.service}" if self.service else text
        return f"{text} with {condition_text(self.where)}" if self.where else text


def once(lines: Iterable[LogLine]) -> list[LogLine]:
    """Return each line once, by time, whoever answered it and however often."""
    kept: dict[str, LogLine] = {}
    for line in lines:
        attributes = sorted(line.attributes.items(), key=str)
        resource = sorted(line.resource.items(), key=str)
        own = (line.time, line.service, line.instance, line.severity, line.body)
        kept.setdefault(repr((own, line.trace_id, line.span_id, attributes, resource)), line)
    return [line for _, line in sorted(kept.items(), key=lambda item: (item[1].time, item[0]))]


def trace_of(line: LogLine) -> str:
    """Return the id of the trace that the line names, empty if it names none."""
    found = line_field(line, "trace_id")
    return found.lower() if isinstance(found, str) and not isinstance(found, Missing) else ""


def own_traces(evidence: Evidence) -> frozenset[str]:
    """Return the traces that are the job's by more than a log line that says so.

    A trace that is known by the job's id alone may be known from the very line that is judged;
    it is the job's if a span of it is.
    """
    told = {ref.trace_id for ref in evidence.job.traces if ref.via != "job_id"}
    return frozenset(told | {span.trace_id for span in evidence.spans})
