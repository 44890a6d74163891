"""The collector's indexes: which items are of a trace, a job, or link to a trace."""

from __future__ import annotations

from collections.abc import Iterable

from validator.model import Signal
from validator.ports import Question
from validator.sources.collector.items import Holder, Item, Job, Piece
from validator.sources.collector.losses import Mark


class Index:
    """Finds items by trace, by job and by link. Its owner keeps threads apart."""

    def __init__(self) -> None:
        """Know of no items yet."""
        self._traces: dict[bytes, Holder] = {}
        self._jobs: dict[Mark, Job] = {}
        self._links: dict[bytes, dict[Holder, int]] = {}

    def trace(self, trace_id: bytes) -> Holder | None:
        """Return the trace of that id, None if nothing of it is held."""
        return self._traces.get(trace_id)

    def add(self, item: Item, piece: Piece) -> None:
        """Take an item in."""
        if piece.trace:
            trace = self._traces.get(piece.trace)
            if trace is None:
                trace = self._traces[piece.trace] = Holder(piece.trace)
            item.trace = trace
            trace.add(item)
            for target in piece.links:
                linking = self._links.setdefault(target, {})
                linking[trace] = linking.get(trace, 0) + 1
        item.jobs = tuple(self._job(mark) for mark in piece.marks)
        for job in item.jobs:
            if item.trace is None:
                job.add(item)
            else:
                job.traces[item.trace] = job.traces.get(item.trace, 0) + 1

    def remove(self, item: Item) -> None:
        """Let go of an item."""
        item.alive = False
        for job in item.jobs:
            if item.trace is None:
                job.drop()
            else:
                _uncount(job.traces, item.trace)
            if not job and not job.traces:
                self._jobs.pop(job.mark, None)
        if item.trace is None:
            return
        item.trace.drop()
        for target in item.links:
            linking = self._links[target]
            _uncount(linking, item.trace)
            if not linking:
                del self._links[target]
        if not item.trace:
            self._traces.pop(item.trace.key, None)

    def holders(self, signal: Signal, question: Question) -> dict[Holder, str]:
        """Return the traces of a question, each with how it was found, empty if asked for.

        A trace of which nothing came since the question's `since` is of another job of that id.
        """
        asked = [bytes.fromhex(trace_id) for trace_id in sorted(question.trace_ids)]
        holders = {trace: "" for key in asked if (trace := self._traces.get(key)) is not None}
        for mark in marks_asked(question):
            job = self._jobs.get(mark)
            for trace in job.traces if job is not None else ():
                if trace.last >= question.since:
                    holders.setdefault(trace, "job_id")
        if signal is Signal.TRACES:
            for key in asked:
                for trace in self._links.get(key, ()):
                    if trace.last >= question.since:
                        holders.setdefault(trace, "link")
        return holders

    def loose(self, question: Question) -> list[Item]:
        """Return the items of the job that are of no trace."""
        jobs = (self._jobs.get(mark) for mark in marks_asked(question))
        found = {item: None for job in jobs if job is not None for item in job.items}
        return [item for item in found if item.batch.seen >= question.since]

    def _job(self, mark: Mark) -> Job:
        """Return the job of a mark, made if it is new."""
        job = self._jobs.get(mark)
        if job is None:
            job = self._jobs[mark] = Job(mark)
        return job


def marks_asked(question: Question) -> Iterable[Mark]:
    """Return the marks that a question's job would have."""
    return [(key, question.job_id) for key in question.job_id_keys if question.job_id]


def _uncount(counts: dict[Holder, int], holder: Holder) -> None:
    """Count one less, and forget what is counted no more."""
    left = counts[holder] - 1
    if left:
        counts[holder] = left
    else:
        del counts[holder]
