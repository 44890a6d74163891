"""What is there in a pytest session that has a configuration: hooks, and the session's app."""

from __future__ import annotations

import threading
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from validator.pytest_plugin.hints import Wanted
    from validator.pytest_plugin.observed import Observed
    from validator.pytest_plugin.session import Session

_OUTSIDE = "obs-validator sends jobs inside a test or a fixture only, which says when to clean up"
_REMARKS = "obs_validator_remarks"


class Active:
    """Knows which test runs and which fixture is being made, so that jobs end with them."""

    def __init__(self, config: pytest.Config) -> None:
        """Note where the configuration is; nothing is read before the first test that needs it."""
        self._config = config
        self._session: Session | None = None
        self._starting = threading.Lock()
        self._failure: Exception | None = None
        self._item: pytest.Item | None = None
        self._making: list[pytest.FixtureDef[Any]] = []
        self._of_test: list[Observed] = []
        self._remarks: list[str] = []

    def session(self) -> Session:
        """Return the session, made by the first call."""
        __tracebackhide__ = True
        if self._item is None:
            from validator.errors import ConfigError  # noqa: PLC0415 - only where it is raised

            raise ConfigError(_OUTSIDE)
        with self._starting:
            if self._failure is not None:
                raise self._failure.with_traceback(None)
            if self._session is None:
                try:
                    self._session = self._made()
                except Exception as error:
                    self._failure = error
                    raise
            return self._session

    def close(self) -> None:
        """Let go of everything."""
        if self._session is not None:
            self._session.close(interrupted=True)

    def _made(self) -> Session:
        from validator.config import environment, load_settings  # noqa: PLC0415 - heavy
        from validator.pytest_plugin.session import Session  # noqa: PLC0415 - heavy

        settings = load_settings(self._path(), environment())
        return Session(settings, self._wanted(), self._sent)

    def _path(self) -> Path:
        """Return the configuration's file: the option's from here, the ini's from its folder."""
        given = self._config.getoption("obs_validator_config")
        if given:
            return Path(self._config.invocation_params.dir) / str(given)
        base = self._config.inipath.parent if self._config.inipath else self._config.rootpath
        return base / str(self._config.getini("obs_validator_config"))

    def _wanted(self) -> Wanted:
        from validator.pytest_plugin.hints import Wanted  # noqa: PLC0415 - heavy

        get = self._config.getini
        target = self._config.getoption("obs_validator_target") or get("obs_validator_target")
        workers = getattr(self._config, "workerinput", {}).get("workercount", 1)
        return Wanted(
            target=str(target or ""),
            job=_pairs("obs_validator_job", get("obs_validator_job")),
            metrics=frozenset(get("obs_validator_metrics")),
            mark=_pairs("obs_validator_mark", get("obs_validator_mark")),
            workers=int(workers),
        )

    def _sent(self, job: Observed) -> None:
        """Have a job end with the fixture that is being made, or else with the test."""
        making = self._making[-1] if self._making else None
        if making is not None and making.scope != "function":
            making.addfinalizer(job.end)
        else:
            self._of_test.append(job)

    # -- hooks ------------------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any]
    ) -> Generator[None, object, object]:
        """Know the fixture that is being made."""
        self._making.append(fixturedef)
        try:
            return (yield)
        finally:
            self._making.pop()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Know the test that is running."""
        self._item = item
        if self._session is not None:
            self._session.begin_test()
        try:
            return (yield)
        finally:
            self._item = None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self) -> Generator[None, object, object]:
        """Clean up after the test's jobs, when its fixtures are done with them."""
        try:
            return (yield)
        finally:
            while self._of_test:
                self._of_test.pop().end()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Show with a failure what the jobs that the test asked about have left."""
        report = yield
        if report.failed and call.when != "teardown" and self._session is not None:
            report.sections += self._session.sections()
        return report

    def pytest_assertrepr_compare(self, op: str, left: object, right: object) -> list[str] | None:
        """Say of an attribute that is not there which are."""
        if op != "in" or self._session is None:
            return None
        from validator.pytest_plugin.views import SpanAttributes  # noqa: PLC0415 - heavy

        if not isinstance(right, SpanAttributes):
            return None
        return [f"{left!r} in span.attributes", *right.why_not(left)]

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Clean up whatever an interrupt has left, and keep what is to be told."""
        if self._session is not None:
            interrupted = exitstatus == pytest.ExitCode.INTERRUPTED
            self._session.close(interrupted=interrupted)
            self._remarks += self._session.remarks()
            output = getattr(self._config, "workeroutput", None)
            if output is not None:
                output[_REMARKS] = self._remarks

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take over what a process of pytest-xdist has to tell."""
        self._remarks += getattr(node, "workeroutput", {}).get(_REMARKS, [])

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Tell what no test has failed by: what could not be cleaned up."""
        if self._remarks:
            terminalreporter.section("obs-validator")
            for text in self._remarks:
                terminalreporter.write_line(text)


def _pairs(name: str, lines: list[str]) -> Mapping[str, str]:
    """Return lines of `key=value`."""
    found = {}
    for line in filter(None, map(str.strip, lines)):
        key, equals, value = line.partition("=")
        if not equals or not key.strip():
            raise pytest.UsageError(f"{name}: `{line}` is not key=value")
        found[key.strip()] = value.strip()
    return found
