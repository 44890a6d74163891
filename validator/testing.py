"""The fakes that stand at the seams: a clock that is moved, sources and targets that are scripted.

They ship, so that users can test suites of their own against evidence that they make up.
Nothing here sleeps: waiting moves the clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import Any, Self

from validator.errors import SourceError, SourceFailure, SubmitError, ValidatorError
from validator.executor import Done
from validator.model import Attributes, JobState, LogLine, Run, Sample, Span, TraceRef, ids_in
from validator.ports import Answer, Mark, Progress, Question


@dataclass(slots=True)
class FakeClock:
    """A clock that stands still until somebody waits. `time` in Unix seconds."""

    time: float = 1_800_000_000.0

    def now(self) -> float:
        """Return the time."""
        return self.time

    def monotonic(self) -> float:
        """Return the time: it never goes back."""
        return self.time

    def sleep(self, seconds: float) -> None:
        """Move the time on."""
        self.time += seconds


@dataclass(slots=True)
class FakeExecutor:
    """Runs each call when the loop waits, one after the other; waiting for nothing moves the clock.

    `at` schedules what another thread would do at a time: a source's wake-up, an interrupt.
    """

    clock: FakeClock
    calls: list[tuple[Hashable, Callable[[], Any]]] = field(default_factory=list)
    woken: list[Hashable] = field(default_factory=list)
    timed: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    def at(self, time: float, action: Callable[[], None]) -> None:
        """Do `action` when the clock comes to `time`."""
        self.timed.append((time, action))
        self.timed.sort(key=lambda pair: pair[0])

    def start(self, token: Hashable, call: Callable[[], Any]) -> None:
        """Remember the call for the next `wait`."""
        self.calls.append((token, call))

    def wake(self, token: Hashable) -> None:
        """Remember the wake-up for the next `wait`."""
        if token not in self.woken:
            self.woken.append(token)

    def wait(self, seconds: float) -> list[Done]:
        """Run what was started; if nothing was, move the clock to what comes first."""
        self._fire()
        if not self.calls and not self.woken:
            until = self.clock.time + seconds
            if self.timed and self.timed[0][0] <= until:
                self.clock.time = max(self.clock.time, self.timed[0][0])
                self._fire()
            else:
                self.clock.time = until
        calls, self.calls = self.calls, []
        woken, self.woken = self.woken, []
        wakes = [Done(token, self.clock.time, None, None) for token in woken]
        return wakes + [self._run(token, call) for token, call in calls]

    def _fire(self) -> None:
        while self.timed and self.timed[0][0] <= self.clock.time:
            self.timed.pop(0)[1]()

    def _run(self, token: Hashable, call: Callable[[], Any]) -> Done:
        asked = self.clock.time
        try:
            return Done(token, asked, call(), None)
        except ValidatorError as error:
            return Done(token, asked, None, error)

    def close(self) -> None:
        """Forget what was not run."""
        self.calls.clear()


@dataclass(slots=True)
class FakeSource:
    """A source of spans and log lines that become readable at times of its script.

    Times are seconds after the clock's start. `latency` is how long each answer takes. With
    `control` what is planted is readable at once; `planted` is when each record was.
    """

    clock: FakeClock
    name: str = "fake"
    kind: str = "fake"
    lag_budget: float = 2.0
    latency: float = 0.0
    control: bool = True
    asked: list[float] = field(default_factory=list)
    planted: dict[str, float] = field(default_factory=dict)
    began: float = field(init=False)
    _spans: list[tuple[float, Span]] = field(default_factory=list)
    _logs: list[tuple[float, LogLine]] = field(default_factory=list)
    _failures: list[tuple[float, float, SourceFailure]] = field(default_factory=list)
    _partial: list[tuple[float, float]] = field(default_factory=list)
    _gone: list[tuple[float, float, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin the script now."""
        self.began = self.clock.time

    def span(self, at: float, *spans: Span) -> Self:
        """Make spans readable from `at` on."""
        self._spans += [(at, span) for span in spans]
        return self

    def log(self, at: float, *lines: LogLine) -> Self:
        """Make log lines readable from `at` on."""
        self._logs += [(at, line) for line in lines]
        return self

    def fails(self, start: float, end: float, failure: SourceFailure) -> Self:
        """Fail every question between `start` and `end`."""
        self._failures.append((start, end, failure))
        return self

    def partial(self, start: float, end: float) -> Self:
        """Say of every answer between `start` and `end` that it is not all."""
        self._partial.append((start, end))
        return self

    def forgets(self, at: float, span_id: str, until: float = math.inf) -> Self:
        """Leave a span out of every answer from `at` on, until `until`."""
        self._gone.append((at, until, span_id))
        return self

    def traces(self, question: Question) -> Answer:
        """Return the spans that are readable by now and wanted."""
        elapsed = self._answering()
        gone = {span_id for at, until, span_id in self._gone if at <= elapsed < until}
        spans = [span for at, span in self._spans if at <= elapsed and span.span_id not in gone]
        refs = _refs(spans, question)
        wanted = question.trace_ids | {ref.trace_id for ref in refs}
        return Answer(
            spans=tuple(
                replace(span, source=self.name, seen=self.clock.time)
                for span in spans
                if span.trace_id in wanted
            ),
            traces=refs,
            full=not self._is_partial(elapsed),
            control_seen=self._control_seen(question),
            findings=("the fake is partial",) if self._is_partial(elapsed) else (),
        )

    def logs(self, question: Question) -> Answer:
        """Return the log lines that are readable by now and wanted."""
        elapsed = self._answering()
        lines = [line for at, line in self._logs if at <= elapsed]
        return Answer(
            logs=tuple(
                replace(line, source=self.name, seen=self.clock.time)
                for line in lines
                if line.trace_id in question.trace_ids or _names_job(line.attributes, question)
            ),
            full=not self._is_partial(elapsed),
            control_seen=self._control_seen(question),
        )

    def plant(self, trace_id: str) -> None:
        """Take a control record."""
        self.planted[trace_id] = self.clock.time - self.began

    def close(self) -> None:
        """Let go of nothing."""

    def _control_seen(self, question: Question) -> bool:
        return self.control and question.control in self.planted

    def _answering(self) -> float:
        self.clock.sleep(self.latency)
        elapsed = self.clock.time - self.began
        self.asked.append(elapsed)
        for start, end, failure in self._failures:
            if start <= elapsed < end:
                raise SourceError(self.name, failure, "as the script says")
        return elapsed

    def _is_partial(self, elapsed: float) -> bool:
        return any(start <= elapsed < end for start, end in self._partial)


@dataclass(slots=True)
class FakeIndex(FakeSource):
    """A source of spans whose index finds a trace from a time of its script on."""

    search_lag_budget: float = 30.0
    searched: list[float] = field(default_factory=list)
    _findable: list[tuple[float, str]] = field(default_factory=list)

    def findable(self, at: float, *trace_ids: str) -> Self:
        """Let a search find these traces from `at` on."""
        self._findable += [(at, trace_id) for trace_id in trace_ids]
        return self

    def search(self, question: Question) -> Answer:
        """Return the traces that can be found by now."""
        elapsed = self._answering()
        self.asked.pop()
        self.searched.append(elapsed)
        found = [one for at, one in self._findable if at <= elapsed] if question.job_id else []
        return Answer(traces=tuple(TraceRef(one, "search") for one in found))


def _refs(spans: list[Span], question: Question) -> tuple[TraceRef, ...]:
    found: dict[str, TraceRef] = {}
    for span in spans:
        if span.trace_id in question.trace_ids:
            continue
        if _names_job(span.attributes, question):
            found[span.trace_id] = TraceRef(span.trace_id, "job_id")
        elif any(link.trace_id in question.trace_ids for link in span.links):
            found.setdefault(span.trace_id, TraceRef(span.trace_id, "link"))
    return tuple(found[trace_id] for trace_id in sorted(found))


def _names_job(attributes: Attributes, question: Question) -> bool:
    job = question.job_id
    return bool(job) and job in ids_in(attributes, question.job_id_keys)


@dataclass(slots=True)
class FakeMetrics:
    """A source of samples whose values follow a script; times as in `FakeSource`.

    With an `interval` it is scraped at its multiples, and knows only what was scraped; `stops` is
    when that ends. `asked` holds the times of the questions.
    """

    clock: FakeClock
    name: str = "fake-metrics"
    kind: str = "fake"
    lag_budget: float = 2.0
    interval: float = 0.0
    stops: float = float("inf")
    asked: list[float] = field(default_factory=list)
    began: float = field(init=False)
    _samples: list[tuple[float, Sample]] = field(default_factory=list)
    _failures: list[tuple[float, float, SourceFailure]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin the script now."""
        self.began = self.clock.time

    def sample(self, at: float, *samples: Sample) -> Self:
        """Let series have these values from `at` on."""
        self._samples += [(at, sample) for sample in samples]
        return self

    def fails(self, start: float, end: float, failure: SourceFailure) -> Self:
        """Fail every question between `start` and `end`."""
        self._failures.append((start, end, failure))
        return self

    def samples(self, metrics: frozenset[str]) -> Answer:
        """Return each series' latest value."""
        elapsed = self.clock.time - self.began
        self.asked.append(elapsed)
        for start, end, failure in self._failures:
            if start <= elapsed < end:
                raise SourceError(self.name, failure, "as the script says")
        as_of = again = None
        if self.interval:
            number = min(elapsed, self.stops) // self.interval
            elapsed = number * self.interval
            as_of, again = self.began + elapsed, self.began + elapsed + self.interval
        latest: dict[object, Sample] = {}
        for at, sample in sorted(self._samples, key=lambda pair: pair[0]):
            families = {*metrics, *(name.rpartition("_")[0] for name in metrics), "target_info"}
            if at <= elapsed and sample.metric in families:
                labels = tuple(sorted(sample.labels.items()))
                latest[sample.service, sample.instance, sample.name, labels] = sample
        return Answer(samples=tuple(latest.values()), as_of=as_of, again=again)

    def close(self) -> None:
        """Let go of nothing."""


@dataclass(slots=True)
class FakeSubmitter:
    """A target whose job goes through the statuses of a script.

    `script` holds, in order, the seconds after submission from which a status holds, the status
    and what it means. Without a script the job hangs in `running`.
    """

    clock: FakeClock
    script: list[tuple[float, str, JobState]] = field(default_factory=list)
    refusal: str = ""
    broken_finish: str = ""
    poll_interval: float = 0.05
    job_id: str = "job-1"
    submitted: float = 0.0
    marks: list[Mark] = field(default_factory=list)
    cleaned: list[str] = field(default_factory=list)
    within: float | None = None
    finished: int = 0

    def submit(self, mark: Mark) -> Progress:
        """Take the job, or refuse it."""
        self.marks.append(mark)
        if self.refusal:
            raise SubmitError(self.refusal)
        self.submitted = self.clock.time
        return self._progress()

    def follow(self, mark: Mark, job_id: str) -> Progress:
        """Say where the job is."""
        del mark, job_id
        return self._progress()

    def finish(self, mark: Mark, progress: Progress) -> None:
        """Note that the job's end was acted upon."""
        del mark, progress
        self.finished += 1
        if self.broken_finish:
            raise SubmitError(self.broken_finish)

    def clean_up(self, mark: Mark, job_id: str, within: float = math.inf) -> None:
        """Note whose traces are to be removed, and how long that may take."""
        del job_id
        self.cleaned.append(mark.run_id)
        self.within = within

    def close(self) -> None:
        """Let go of nothing."""

    def _progress(self) -> Progress:
        elapsed = self.clock.time - self.submitted
        status, state = "running", JobState.RUNNING
        for since, word, meaning in self.script:
            if elapsed >= since:
                status, state = word, meaning
        return Progress(self.job_id, status, state, "", {}, "")


@dataclass(slots=True)
class FakeObserver:
    """Remembers what it was told, with the time."""

    clock: FakeClock
    events: list[tuple[float, str, str]] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)

    def on_event(self, run_id: str, suite: str, event: str, detail: str) -> None:
        """Remember the event."""
        del run_id, suite
        self.events.append((self.clock.time, event, detail))

    def on_run(self, run: Run) -> None:
        """Remember the run."""
        self.runs.append(run)
