"""What the tests of one pytest session share: one app, its jobs, and what they left."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from validator.app import App
from validator.config import Settings
from validator.errors import ConfigError
from validator.model import Evidence, Job, Run, Status, Verdict
from validator.pytest_plugin.errors import Inconclusive, NotSeen
from validator.pytest_plugin.explain import note, section
from validator.pytest_plugin.hints import Hints, Wanted, chosen_target, hints_of, no_collector_each
from validator.pytest_plugin.jobs import Jobs, Silent
from validator.pytest_plugin.observed import Observed
from validator.pytest_plugin.views import MetricSample, SpanView, Trace, metric_sample
from validator.pytest_plugin.wishes import (
    METRICS,
    SPAN,
    TRACE,
    MetricsWish,
    SpanWish,
    grew,
    matching,
    of_service,
)
from validator.report import exit_code
from validator.report.console import render
from validator.yamlfile import nearest

_MOST_SERIES = 10
"""How many samples are shown beside a test that failed."""


@dataclass(eq=False, repr=False)
class Session:
    """Sends jobs and asks what they left; any thread of a test may. Made by the first that does."""

    settings: Settings
    wanted: Wanted
    on_sent: Callable[[Observed], None]
    app: App = field(init=False)
    hints: Hints = field(init=False)
    jobs: Jobs = field(init=False)

    def __post_init__(self) -> None:
        """Start what runs inside this process; raises `ConfigError`."""
        target = chosen_target(self.settings, self.wanted.target)
        no_collector_each(self.settings, self.wanted.workers)
        self.hints = hints_of(self.settings, target)
        self.app = App(self.settings)
        self.app.__enter__()
        self.jobs = Jobs(self.app, target, self.wanted, self.hints, self.on_sent)

    def close(self, *, interrupted: bool = False) -> None:
        """Clean up after every job that is left, and stop what was started."""
        try:
            self.jobs.close(interrupted=interrupted)
        finally:
            self.app.close()

    def remarks(self) -> list[str]:
        """Return what is to be told at the end though no test failed by it."""
        return [f"{one.name()}: {text}" for one in self.jobs.sent for text in one.findings]

    def begin_test(self) -> None:
        """Forget what the test before has asked about."""
        self.jobs.touched.clear()

    def sections(self) -> list[tuple[str, str]]:
        """Return what the jobs that the test has asked about left, each with its title."""
        return [
            (f"obs-validator: what {job.name()} left", section(job, self.hints))
            for job in self.jobs.touched
        ]

    # -- jobs -------------------------------------------------------------------------------

    def submit(self, job: Mapping[str, Any]) -> SyntheticJob:
        """Send a job with these values; see `submit_job`."""
        __tracebackhide__ = True
        return SyntheticJob(self, self.jobs.send({**self.wanted.job, **job}))

    def completed(self, job_id: str, state: str, timeout: float | None) -> Job:
        """Return a job when it has ended; see `wait_for_completion`."""
        __tracebackhide__ = True
        return self.jobs.find(job_id, "").completed(state, timeout)

    # -- evidence ---------------------------------------------------------------------------

    def trace(self, trace_id: str, job_id: str, services: Sequence[str]) -> Trace:
        """Return all spans of a job; see `get_trace_from_tempo`."""
        __tracebackhide__ = True
        wish = {"services": tuple(services) or self.hints.services}
        seen = self._granted(TRACE, wish, job_id, trace_id)
        return Trace(seen.job.id, tuple(SpanView((span,)) for span in seen.spans))

    def spans(
        self, service: str, operation: str, job_id: str, trace_id: str
    ) -> tuple[SpanView, ...]:
        """Return a job's spans of a service and name; see `get_spans_from_tempo`."""
        __tracebackhide__ = True
        wish = {"service": service, "name": operation}
        seen = self._granted(SPAN, wish, job_id, trace_id)
        return tuple(SpanView((span,)) for span in matching(SpanWish(**wish), seen))

    def span(self, service: str, operation: str, job_id: str, trace_id: str) -> SpanView:
        """Return the last of them, which knows the others."""
        __tracebackhide__ = True
        every = self.spans(service, operation, job_id, trace_id)
        return SpanView(tuple(one.span for one in every))

    def metrics(
        self,
        service: str,
        ids: tuple[str, str],
        metric: str,
        mark: Mapping[str, str] | None,
        *,
        grown: bool,
    ) -> tuple[MetricSample, ...]:
        """Return a service's samples after a job, by the ids of it and its trace."""
        __tracebackhide__ = True
        self._reads(metric)
        marked = self.wanted.mark if mark is None else mark
        wish = MetricsWish(service=service, metric=metric, mark=marked)
        seen = self._granted(METRICS, wish.model_dump(), *ids)
        series = of_service(wish, seen)
        own = [one for one in series if grew(one, marked, seen)]
        if seen.job.existing and not own:
            raise Inconclusive(
                f"which samples are of job {seen.job.id} is not known: nothing was read before it, "
                "and no exemplar names its trace"
            )
        self._note(service, [one.line() for one in own], len(series) - len(own), marked)
        return tuple(metric_sample(one.last, one.increase) for one in (own if grown else series))

    def _note(self, service: str, own: list[str], rest: int, mark: Mapping[str, str]) -> None:
        """Have the report of a test that fails say which samples there were."""
        words = ", ".join(f'{key}="{value}"' for key, value in mark.items())
        lines = [f"of this job: {line}" for line in own[:_MOST_SERIES]]
        lines += [f"… and {len(own) - _MOST_SERIES} more"] if len(own) > _MOST_SERIES else []
        why = "did not grow" + (f", or do not carry {words}" if words else "")
        lines += [f"{rest} other series of {service} {why}"] if rest else []
        self.jobs.touched[-1].notes |= dict.fromkeys(lines)

    def _reads(self, metric: str) -> None:
        """Refuse what was not read before any job."""
        families = self.jobs.families
        if not families or (metric and metric not in families):
            what = f"`{metric}` is" if metric else "no metric family is"
            raise ConfigError(
                f"{what} read before jobs, so that what they do to it is not known: list it in "
                f"obs_validator_metrics of pytest's ini file{nearest(metric, families)}"
            )

    def _granted(
        self, wish: str, params: Mapping[str, Any], job_id: str, trace_id: str
    ) -> Evidence:
        """Return the evidence that a wish was granted in; raises what the verdict comes to."""
        __tracebackhide__ = True
        named = bool(job_id or trace_id)
        one = self.jobs.find(job_id, trace_id) if named else self.jobs.newest()
        verdict, seen = _judged(one, wish, params)
        if verdict is None and not named:
            one = self.jobs.another(one.plan.suite.job)
            verdict, seen = _judged(one, wish, params)
        if verdict is None:
            raise Inconclusive(
                f"{one.name()} ended with its test, before all that it left had been asked for"
            )
        if verdict.status is Status.PASS:
            return seen
        if verdict.status is Status.INCONCLUSIVE:
            raise Inconclusive(note(one.run_of(verdict), replace(verdict, findings=())))
        raise NotSeen(note(one.run_of(verdict), verdict))

    # -- suites -----------------------------------------------------------------------------

    def run_suites(self, *names: str) -> tuple[Run, ...]:
        """Run suites by name or file, or all; fail with the report unless every check passes.

        Raises `AssertionError` when a check failed, `Inconclusive` when none did and not all
        passed. Jobs whose samples are not complete are ended first: they would move the suite's.
        """
        __tracebackhide__ = True
        from validator.commands._check import choose  # noqa: PLC0415 - imports the command line

        with self.jobs.sending:
            for one in self.jobs.sent:
                if not one.keep_samples():
                    one.end()
            self.jobs.quiet()
            runs = self.app.check(choose(self.settings, names, None), Silent())
        code, report = exit_code(runs), render(runs)
        if code == 1:
            raise AssertionError(report)
        if code:
            raise Inconclusive(report)
        return runs


@dataclass(frozen=True, slots=True)
class SyntheticJob:
    """A job that a test has sent: what the functions of the plugin say of it."""

    session: Session
    observed: Observed

    @property
    def job_id(self) -> str:
        """Return its id."""
        return self.observed.job_id

    @property
    def job(self) -> Job:
        """Return what is known of it."""
        return self.observed.job

    def completed(self, state: str = "passed", timeout: float | None = None) -> Job:
        """Return it when it has ended."""
        __tracebackhide__ = True
        return self.session.completed(self.job_id, state, timeout)

    def trace(self, services: Sequence[str] = ()) -> Trace:
        """Return all its spans."""
        __tracebackhide__ = True
        return self.session.trace("", self.job_id, services)

    def span(self, service: str, operation: str) -> SpanView:
        """Return its span of a service and name."""
        __tracebackhide__ = True
        return self.session.span(service, operation, self.job_id, "")

    def metrics(self, service: str, metric: str = "") -> tuple[MetricSample, ...]:
        """Return the samples that it moved."""
        __tracebackhide__ = True
        return self.session.metrics(service, (self.job_id, ""), metric, None, grown=True)


def _judged(one: Observed, wish: str, params: Mapping[str, Any]) -> tuple[Verdict | None, Evidence]:
    """Return the verdict on a wish, and the evidence that it stands on."""
    if wish == METRICS:
        verdict = one.judged_samples(wish, params)
        return verdict, one.samples_seen()
    verdict = one.judged(wish, params)
    return verdict, one.seen()
