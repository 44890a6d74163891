"""pytest with telemetry: `pytest --obs-validator-config FILE` gives these functions and fixtures.

    from validator.pytest_plugin import get_trace_from_tempo, submit_job, wait_for_completion

    def test_pipeline_produces_connected_trace():
        job_id = submit_job(url="https://example.com")
        wait_for_completion(job_id)
        trace = get_trace_from_tempo(job_id=job_id)
        assert "scraper" in {span["service.name"] for span in trace.spans}

pytest loads this module whenever it starts, so it imports nothing but pytest; everything else
is imported by the first test that uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import pytest

from validator.pytest_plugin.errors import Inconclusive, JobFailed, NotSeen

if TYPE_CHECKING:
    from validator.model import Job, Run
    from validator.pytest_plugin.active import Active
    from validator.pytest_plugin.session import Session, SyntheticJob
    from validator.pytest_plugin.views import MetricSample, SpanView, Trace

__all__ = [
    "Inconclusive",
    "JobFailed",
    "NotSeen",
    "get_span_from_tempo",
    "get_spans_from_tempo",
    "get_trace_from_tempo",
    "scrape_metrics",
    "submit_job",
    "wait_for_completion",
]

_active: list[Active] = []
"""The pytest sessions of this process that have a configuration, the innermost last."""

_SET_UP = (
    "obs-validator has no configuration here: run pytest with --obs-validator-config FILE, or set "
    "obs_validator_config in pytest's ini file"
)


# -- what tests call ----------------------------------------------------------------------------


def submit_job(**job: Any) -> str:
    """Send a synthetic job to the target and return its id.

    The keywords are the job's values, `{{ job.<keyword> }}` in the target's requests; those of
    `obs_validator_job` fill up what is not given. What metrics are is read before the job is sent.
    It is marked as synthetic, sent under the target's lease and within its rate limit, and cleaned
    up at the end of the test (or of the fixture that sent it). Raises `JobFailed` when the target
    refuses it, `Inconclusive` when another validator has the target's lease.
    """
    __tracebackhide__ = True
    return _session().submit(job).job_id


def wait_for_completion(
    job_id: str,
    *,
    state: Literal["passed", "failed", "any"] = "passed",
    timeout: float | None = None,
) -> Job:
    """Return the job when it has ended.

    Raises `JobFailed` when it ends in another `state`, or not within `timeout` seconds of its
    submission (default: the longest `deadline` of the target's suites, or one minute).
    """
    __tracebackhide__ = True
    return _session().completed(job_id, state, timeout)


def get_trace_from_tempo(
    trace_id: str = "", *, job_id: str = "", services: Sequence[str] = ()
) -> Trace:
    """Return all that the job left of spans, when it is complete; from any source of traces.

    Complete means that the job has ended, and nothing new came for the settle time while every
    service of `services` has been seen and no span misses its parent; or that the sources' lag
    budget has passed. Without `services` those that the target's suites name are waited for; where
    no suite names any, the lag budget is. `trace.spans` has all spans of the job, also where its
    trace context was lost and they are in several traces.

    Without `trace_id` and `job_id` it is the newest job of this session. Raises `NotSeen` when it
    left no span, `Inconclusive` when the sources could not be asked.
    """
    __tracebackhide__ = True
    return _session().trace(trace_id, job_id, services)


def get_span_from_tempo(
    service: str, operation: str, *, job_id: str = "", trace_id: str = ""
) -> SpanView:
    """Return the span of a service by its name (`*` stands for anything); as complete as a trace.

    Where several match, it is the last, and `span.attributes` has those keys that all of them
    have: a required attribute that one of them lacks is not there. Attempts that a retry has
    replaced do not count. Without an id it is the newest job of this session; without any, or
    where that one's evidence was not complete when its test ended, a job like it is sent.
    """
    __tracebackhide__ = True
    return _session().span(service, operation, job_id, trace_id)


def get_spans_from_tempo(
    service: str, operation: str, *, job_id: str = "", trace_id: str = ""
) -> tuple[SpanView, ...]:
    """Return every span that matches, by time, and at least one; otherwise as the one above."""
    __tracebackhide__ = True
    return _session().spans(service, operation, job_id, trace_id)


def scrape_metrics(  # noqa: PLR0913 - all but the first are names that a caller writes out
    service: str,
    *,
    job_id: str = "",
    trace_id: str = "",
    metric: str = "",
    mark: Mapping[str, str] | None = None,
    grown: bool = True,
) -> tuple[MetricSample, ...]:
    """Return a service's samples as the job left them, read after its end.

    Of counters, histograms and summaries only series that carry `mark` (default:
    `obs_validator_mark`) and grew from before the job to after it: others say nothing of this job.
    `grown=False` returns all that is there. Families are those that the target's suites name and
    `obs_validator_metrics` lists, or of them `metric`. Which job, and what is raised, is as for
    spans; other jobs of this session at the same time make it `Inconclusive`.
    """
    __tracebackhide__ = True
    return _session().metrics(service, (job_id, trace_id), metric, mark, grown=grown)


def _session() -> Session:
    """Return the session of the test that is running."""
    __tracebackhide__ = True
    if not _active:
        from validator.errors import ConfigError  # noqa: PLC0415 - only where it is raised

        raise ConfigError(_SET_UP)
    return _active[-1].session()


# -- fixtures -----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def obs_validator(request: pytest.FixtureRequest) -> Session:
    """Send synthetic jobs and see what they leave: the session's `obs-validator`."""
    active = request.config.pluginmanager.get_plugin("obs-validator-active")
    if active is None:
        raise pytest.UsageError(_SET_UP)
    session: Session = active.session()
    return session


@pytest.fixture
def synthetic_job(obs_validator: Session) -> Callable[..., SyntheticJob]:
    """Send a job (its values are the keywords), wait for its end, return it; cleaned up after."""

    def sent(state: str = "passed", **job: Any) -> SyntheticJob:
        __tracebackhide__ = True
        made = obs_validator.submit(job)
        made.completed(state)
        return made

    return sent


@pytest.fixture
def run_suite(obs_validator: Session) -> Callable[..., tuple[Run, ...]]:
    """Run suites by name or file; what fails is the report of `obs-validator check`."""
    return obs_validator.run_suites


# -- pytest's hooks -----------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """Tell of the options and the ini keys."""
    group = parser.getgroup("obs-validator", "telemetry of a job pipeline (obs-validator)")
    group.addoption(
        "--obs-validator-config",
        metavar="FILE",
        help="The configuration of obs-validator: its targets and sources.",
    )
    group.addoption(
        "--obs-validator-target",
        metavar="NAME",
        help="The target that jobs are sent to, where the configuration has several.",
    )
    parser.addini("obs_validator_config", "As --obs-validator-config, from the ini file's folder.")
    parser.addini("obs_validator_target", "As --obs-validator-target.")
    parser.addini(
        "obs_validator_job",
        "Values of a job, `key=value` a line, for what submit_job is not given.",
        type="linelist",
    )
    parser.addini(
        "obs_validator_metrics",
        "Metric families to read before and after each job, one a line, beside the suites'.",
        type="linelist",
    )
    parser.addini(
        "obs_validator_mark",
        "Labels by which samples of synthetic jobs are told, `key=value` a line; none if empty.",
        type="linelist",
        default=["traffic=synthetic"],
    )


def pytest_configure(config: pytest.Config) -> None:
    """Be there for the tests, if there is a configuration."""
    if config.getoption("obs_validator_config") or config.getini("obs_validator_config"):
        from validator.pytest_plugin.active import Active  # noqa: PLC0415 - only where it is used

        active = Active(config)
        config.pluginmanager.register(active, "obs-validator-active")
        _active.append(active)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Let go of everything."""
    active = config.pluginmanager.get_plugin("obs-validator-active")
    if active is not None:
        _active.remove(active)
        active.close()
