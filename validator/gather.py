"""What a run knows of each source, and when each is due: state without I/O and without a clock.

`Gather` is told what was asked and answered, and says what is due. The loop in `run.py` does the
asking.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from validator import poll
from validator.channel import Channel
from validator.coverage import Asked, Moment, cover, patience_ends
from validator.errors import SourceError, SourceFailure
from validator.found import Found
from validator.habit import Arrival
from validator.looks import OF_THE_JOB, Outlook, cost_of, next_look
from validator.model import (
    Coverage,
    Evidence,
    Job,
    Sample,
    Signal,
    SourceReport,
    Span,
)
from validator.ports import Answer, Question, Source

GATHERED = (Signal.TRACES, Signal.LOGS, Signal.METRICS, Signal.ALERTS, Signal.SEARCH)
"""What sources are asked for."""

_NANOSECONDS = 1e9

_NOTHING_LEFT = (
    "shows nothing of this run any more, which an earlier one had: is another tenant or data "
    "source answering?"
)

_NEAR = 1.0
"""Seconds between two looks within which the second tells when something came."""


@dataclass(slots=True)
class Gather:
    """What a run has found, and what is known of each source."""

    channels: list[Channel]
    found: Found
    skew: float
    settle: float
    patience: float
    began: float
    control: str
    last_new: dict[Signal, float] = field(default_factory=dict)
    missing: frozenset[Signal] = frozenset()
    planted: set[str] = field(default_factory=set)

    def question(self, channel: Channel, job: Job, now: float) -> Question:
        """Return what to ask for, as far as the job is known by now."""
        return Question(
            job_id=job.id,
            job_id_keys=self.found.job_id_keys,
            trace_ids=frozenset(ref.trace_id for ref in job.traces),
            since=self.began - self.skew,
            until=now + self.skew,
            control=self.control if channel.source.name in self.planted else "",
        )

    def unshown(self) -> list[Source]:
        """Return the sources of what checks read that nothing has shown to work."""
        return list(
            {
                id(channel.source): channel.source
                for channel in self.channels
                if channel.signal in (*OF_THE_JOB, Signal.SEARCH)
                and channel.wanted
                and not channel.shown_by
            }.values()
        )

    def planting(self, source: str) -> str:
        """Note that a control record is being sent to a source; return its trace id."""
        for channel in self.channels:
            channel.spent += channel.source.name == source
        return self.control

    def take_baseline(self, channel: Channel, answer: Answer | None, why: str) -> None:
        """Keep what was read before the job; `why` says why it is not whole, if it is not."""
        channel.baseline = why
        channel.pushed_before = (
            {(s.service, s.instance) for s in answer.samples} if answer else set()
        )
        self.found.add_baseline(channel.source.name, answer.samples if answer else ())

    def take(self, channel: Channel, asked: float, answer: Answer, now: float) -> bool:
        """Take an answer into the evidence; return whether it had anything new."""
        channel.answers += 1
        channel.error = None
        channel.partial = "" if answer.full else answer.partial()
        shown = channel.shown_by and channel.signal not in (Signal.ALERTS, Signal.SEARCH)
        if shown and _shows_nothing(answer):
            channel.partial = _NOTHING_LEFT
        if not channel.partial:
            channel.full, channel.as_of = asked, answer.as_of
        channel.again = answer.again
        channel.findings.update(dict.fromkeys(answer.findings))
        channel.missing = answer.missing
        channel.heard.update(answer.heard)
        by_control = channel.source.name in self.planted and _shows_nothing_of_the_run(answer)
        channel.spent += cost_of(channel) + by_control
        had = len(channel.arrived)
        new = self._add(channel, answer, now)
        channel.newest = channel.arrived[had:] or channel.newest
        channel.looked, channel.looked_for = asked, channel.asked_for
        self._show(channel, answer)
        if new:
            came = now if answer.as_of is None else answer.as_of
            self.last_new[channel.signal] = max(came, self.last_new.get(channel.signal, 0.0))
        return new

    def forget_stale(self, job: Job, now: float) -> None:
        """Forget the fullness of answers to questions that did not name all of the job's traces."""
        known = frozenset(ref.trace_id for ref in job.traces)
        for channel in self.channels:
            if channel.signal in OF_THE_JOB and not known <= channel.asked_for:
                if channel.full is not None:
                    channel.renewed = now
                channel.full = None

    def fail(self, channel: Channel, error: SourceError) -> None:
        """Note that the channel could not be asked."""
        channel.error = error
        channel.spent += cost_of(channel)
        if error.failure is SourceFailure.PARTIAL:
            channel.partial = error.detail

    def _add(self, channel: Channel, answer: Answer, now: float) -> bool:
        added = self.found.add(channel.source.name, channel.signal, answer, now)
        for span in added.spans:
            self._note_lag(channel, now, span)
            self._note_arrival(channel, now, span.end, span.trace_id)
        for line in added.logs:
            self._note_arrival(channel, now, line.time)
        for _ in added.hits:
            self._note_arrival(channel, now, 0)
        if channel.pushing and not channel.baseline:
            channel.baseline = _unread_before(channel, answer.samples)
        self._compare(channel, added.given, full=answer.full)
        return added.any

    @staticmethod
    def _compare(channel: Channel, given: set[object], *, full: bool) -> None:
        """Note what an answer lacks that an earlier one had."""
        lost = len(channel.known - given) if full else 0
        channel.lacked = ""
        if lost and channel.signal in OF_THE_JOB:
            channel.lacked = (
                f"an answer lacked {lost} {channel.signal} items that an earlier one had: "
                "replicas disagree, or data was dropped"
            )
            channel.findings[channel.lacked] = None
        channel.known |= given

    def _note_lag(self, channel: Channel, now: float, span: Span) -> None:
        """Measure how late a new span is, as far as it was looked for when it came.

        It is at least as late as the last look that did not find it, and at most as now: the middle
        is counted.
        """
        if channel.looked is None or span.trace_id not in channel.looked_for:
            return
        end = span.end / _NANOSECONDS
        after = max(channel.looked, end)
        if now - after <= _NEAR:
            lag = (after + now) / 2 - end
            channel.lags.note(lag)
            channel.lag = max(lag, channel.lag or 0.0)
        if channel.looked - end > channel.source.lag_budget + self.skew:
            channel.findings[f"slower than its lag budget of {channel.source.lag_budget:g} s"] = (
                None
            )

    def _note_arrival(
        self, channel: Channel, now: float, happened: int, trace_id: str = ""
    ) -> None:
        """Note between when and when a new piece, of what `happened` then, became readable.

        After it happened and after the last look that did not find it, at the latest now. A look
        that did not ask for its trace tells nothing of it.
        """
        time = min(happened / _NANOSECONDS, now)
        looked = channel.looked if not trace_id or trace_id in channel.looked_for else None
        channel.arrived.append(Arrival(time, max(time, looked or 0.0), now))

    def learn(self, job: Job) -> None:
        """Let each source's habit learn when what the job left became readable."""
        if job.submitted is None or job.ended is None or job.existing:
            return
        for channel in self.channels:
            channel.habit.learn(channel.arrived, channel.decisive, job.submitted, job.ended)

    def decided(self, signals: Iterable[Signal], job: Job) -> None:
        """Note that the last answer decided a verdict which reads `signals`.

        While the job runs that is what it is worth a look for. Which of the answer's pieces it was
        is not known: the first is taken. If it was a later one, later runs will show, for their
        look at the first decides nothing.
        """
        wanted = frozenset(signals)
        for channel in self.channels if job.ended is None else ():
            if channel.signal in wanted and channel.newest:
                first = min(channel.newest, key=lambda one: one.happened)
                if first not in channel.decisive:
                    channel.decisive.append(first)

    def miss(self, missing: frozenset[Signal], job: Job, now: float) -> None:
        """Note of which signals a check misses something, which is what they wait for now."""
        changed = self.missing ^ missing
        self.missing = missing
        for channel in self.channels:
            if channel.signal in changed & OF_THE_JOB and job.ended and not channel.in_flight:
                due = self._next(channel, job, now)
                if channel.next_at is not None and channel.next_at > now and due is not None:
                    channel.next_at = due

    def _show(self, channel: Channel, answer: Answer) -> None:
        if answer.spans or answer.logs:
            channel.shown_by = f"{channel.signal} of this run"
        elif channel.signal is Signal.METRICS and answer.samples:
            channel.shown_by = "samples on its pages"
        elif channel.signal is Signal.METRICS and answer.as_of is not None:
            channel.shown_by = "its targets are scraped"
        elif channel.signal is Signal.SEARCH and answer.traces:
            channel.shown_by = "traces that a search has found"
        elif answer.control_seen and not channel.shown_by:
            channel.shown_by = "the control record"
        if channel.signal is Signal.TRACES and channel.shown_by:
            self._show_index(channel)

    def _show_index(self, stored: Channel) -> None:
        """Take an index for shown to work where its storage is: what it lacks, it lacks.

        It is the same source, tenant and window that shows the traces by their ids.
        """
        for channel in self.channels:
            if channel.signal is Signal.SEARCH and channel.source is stored.source:
                channel.shown_by = channel.shown_by or f"{stored.shown_by}, by its id"

    def moment(self, signal: Signal, job: Job, now: float, *, missing: bool) -> Moment:
        """Return where the run stands for `signal`."""
        return Moment(
            now=now,
            ended=job.ended,
            last_new=self.last_new.get(signal, job.submitted or self.began),
            settle=self.settle,
            missing=missing,
            patience=self.patience,
        )

    def given_up_at(self, channel: Channel, job: Job, now: float) -> float:
        """Return when the channel is waited for no longer; infinity while the job runs."""
        if job.ended is None:
            return float("inf")
        moment = self.moment(channel.signal, job, now, missing=False)
        return patience_ends(channel.asked(), moment, job.ended)

    def asked(self, signal: Signal) -> list[Asked]:
        """Return what is known of the sources of `signal`."""
        return [channel.asked() for channel in self.channels if channel.signal is signal]

    def coverage(self, job: Job, now: float, missing: frozenset[Signal]) -> dict[Signal, Coverage]:
        """Return how complete each signal is; `missing` are those of which a check misses some."""
        return {
            signal: cover(
                signal, self.asked(signal), self.moment(signal, job, now, missing=signal in missing)
            )
            for signal in GATHERED
        }

    def plan(self, channel: Channel, job: Job, now: float, asked: float) -> None:
        """Set when the channel is due next, after it was asked at `asked`.

        A moment that passed while the answer was on its way is due now: the answer speaks of the
        time before it. So is a wake-up that came meanwhile.
        """
        woken = channel.next_at
        channel.last_asked = asked
        troubled = channel.error is not None or bool(channel.lacked or channel.partial)
        channel.step = poll.next_step(
            channel.step if troubled == channel.troubled else 0.0,
            ended=job.ended is not None,
            failed=troubled,
            lag_budget=channel.lag_budget,
        )
        channel.troubled = troubled
        due = self._next(channel, job, now)
        channel.next_at = min((one for one in (due, woken) if one is not None), default=None)

    def end(self, channel: Channel, job: Job, now: float) -> None:
        """Set when the channel is due first, now that the job has ended.

        At once, unless it is known when there is something to see.
        """
        channel.step = 0.0
        usual = channel.signal in OF_THE_JOB and channel.wanted and not channel.pushing
        known = usual and channel.habit.known and channel.error is None
        channel.next_at = self._next(channel, job, now) if known else now

    def _next(self, channel: Channel, job: Job, now: float) -> float | None:
        """Return when the channel is due next by what is known now, None if nothing is due."""
        missing = channel.signal in self.missing
        moment = self.moment(channel.signal, job, channel.last_asked, missing=missing)
        # At the settle time, or at the deadline; at both if only others miss something.
        timed = 2 if self.missing - {channel.signal} and not missing else 1
        return next_look(channel, job, Outlook(now, moment, self.skew, timed))

    def woken(self, source: str, job: Job, now: float) -> None:
        """Make the channels of a source due that has something new."""
        for channel in self.channels:
            if channel.source.name != source or channel.signal not in OF_THE_JOB:
                continue
            if channel.wanted or job.ended is not None:
                soonest = channel.last_asked + poll.wake_gap(ended=job.ended is not None)
                due = max(now, soonest)
                channel.next_at = due if channel.next_at is None else min(due, channel.next_at)

    def evidence(self, job: Job, now: float, coverage: Mapping[Signal, Coverage]) -> Evidence:
        """Return all that is evidence of the job."""
        return Evidence(
            job=job,
            spans=self.found.spans_of(job),
            logs=self.found.logs_of(job),
            samples=self.found.samples(),
            alerts=tuple(self.found.alerts),
            hits=tuple(self.found.hits.values()),
            sources=self.reports(),
            coverage=coverage,
            job_id_keys=self.found.job_id_keys,
            skew=self.skew,
            now=now,
        )

    def reports(self) -> tuple[SourceReport, ...]:
        """Return what each channel did, in the order of the configuration."""
        return tuple(
            SourceReport(
                name=channel.source.name,
                kind=channel.source.kind,
                signals=(channel.signal,),
                requests=channel.requests,
                answers=channel.answers,
                error=channel.error.detail if channel.error else "",
                error_kind=str(channel.error.failure) if channel.error else "",
                last_full_answer=channel.full,
                lag=channel.lag,
                lag_budget=channel.source.lag_budget,
                shown_by=channel.shown_by,
                findings=(*channel.findings, *channel.missing),
                heard=tuple(sorted(channel.heard)),
            )
            for channel in self.channels
        )


def _shows_nothing(answer: Answer) -> bool:
    """Whether an answer is what any empty tenant would answer."""
    nothing = _shows_nothing_of_the_run(answer) and not answer.samples
    return nothing and not answer.control_seen and answer.as_of is None


def _shows_nothing_of_the_run(answer: Answer) -> bool:
    return not (answer.spans or answer.logs or answer.traces)


def _unread_before(channel: Channel, samples: Iterable[Sample]) -> str:
    """Return whose totals before the job are not known, for they had pushed none; else empty."""
    if channel.pushed_before is None:
        return ""
    for sample in samples:
        if (sample.service, sample.instance) not in channel.pushed_before:
            return (
                f"{sample.service} {sample.instance} had pushed no metrics before the job: "
                "what its totals were then is not known"
            )
    return ""
