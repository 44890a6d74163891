"""Which spans a retry may still replace, and which an attempt has replaced already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from checks._trace import Index, Key, build, key_of, task_id
from validator.model import Evidence, LogLine, Span


@dataclass(frozen=True, slots=True)
class Attempts:
    """A job's spans by the attempts that they belong to.

    `judged` are those that a check judges, `earlier` those of attempts that another replaced.
    `settled` are the keys of spans that no later attempt can replace: nothing that may come
    changes what they say. `numbers` says of an earlier span which attempt it was, of how many.
    """

    index: Index
    judged: tuple[Span, ...]
    earlier: tuple[Span, ...]
    settled: frozenset[Key]
    numbers: Mapping[Key, tuple[int, int]]

    def is_final(self, span: Span) -> bool:
        """Whether what the span says can no longer be replaced by a retry."""
        return key_of(span) in self.settled

    def seen(self, line: LogLine) -> bool:
        """Whether the span that the line names, if any, is among the evidence."""
        return not line.span_id or (line.trace_id, line.span_id) in self.index.by_key

    def is_sure(self, line: LogLine) -> bool:
        """Whether no span that may still come shows that a later attempt replaced the line's."""
        return not line.span_id or (line.trace_id, line.span_id) in self.settled

    def word(self, key: Key) -> str:
        """Say which attempt the span of `key` was of."""
        number = self.numbers.get(key)
        return f"attempt {number[0]} of {number[1]}" if number else "an earlier attempt"


def attempts_of(evidence: Evidence) -> Attempts:
    """Look at a job's spans by their attempts."""
    index = build(evidence.spans, evidence.job.sent_parent)
    return Attempts(
        index=index,
        judged=index.judged(),
        earlier=tuple(span for span in index.spans if key_of(span) in index.superseded),
        settled=_settled(index, evidence.job.sent_parent),
        numbers=_numbers(index),
    )


def _settled(index: Index, sent_parent: str) -> frozenset[Key]:
    """Collect what hangs on a root with no attempt of a task between.

    A span whose ancestors are not all there may yet turn out to be part of an attempt.
    """
    tried = frozenset(key_of(span) for tries in index.attempts.values() for span in tries)
    tops = list(index.roots)
    tops += [span for span in index.spans if sent_parent and span.parent_id == sent_parent]
    below: set[Key] = set()
    for top in tops:
        below |= index.descendants(top, tried)
    return frozenset(key for key in below if key in index.by_key and not _of_task(index, key))


def _of_task(index: Index, key: Key) -> bool:
    return bool(task_id(index.by_key[key]))


def _numbers(index: Index) -> dict[Key, tuple[int, int]]:
    numbers: dict[Key, tuple[int, int]] = {}
    for tries in index.attempts.values():
        keys = frozenset(key_of(span) for span in tries)
        for number, span in enumerate(tries[:-1], 1):
            for key in index.descendants(span, keys - {key_of(span)}):
                numbers.setdefault(key, (number, len(tries)))
    return numbers
