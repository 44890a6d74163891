"""What a fault in the log backend does to verdicts that need traces alone: nothing, if all is well.

Runs are made in pairs, at the same moment: one reads a real Loki, the other what stands in its
place and hangs, or answers 500. Each has habits and lags of its own, as two daemons would.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from bench import lag_truth
from bench.backends import Backend, Counted
from bench.figures import Figure, percentile
from bench.lag_run import Made, Making
from bench.lag_truth import Witnessed, examine
from bench.stack_runs import Lane, known, lanes, place
from validator.ports import Source

PAIRS = 30
LEARNING = 6
"""So many pairs come first, from which it is learned when to look."""
MOST = 50.0
_PATIENCE = 1.0
"""Seconds that the log backend is waited for beyond its lag budget: not what is measured here."""
_LOGS = "lines"
"""The check that needs the log backend."""
_MS = 1000.0


def scenario(number: int) -> str:
    """Return the scenario of a pair; not the lost context, whose trace is found in the logs."""
    broken = (lag_truth.SERVICE, lag_truth.ATTRIBUTE, lag_truth.FINAL)
    return broken[number // 2 % len(broken)] if number % 2 else lag_truth.GOOD


@contextmanager
def hanging() -> Iterator[str]:
    """Have a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


class _Failing(BaseHTTPRequestHandler):
    """Answers 500 to everything."""

    def do_GET(self) -> None:
        """Fail."""
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.send_response(500)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET  # noqa: N815 - the base class wants this name

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing of each request."""


@contextmanager
def failing() -> Iterator[str]:
    """Have a server that answers 500."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Failing)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


FAULTS = {"hangs": hanging, "answers 500": failing}


def measure() -> Iterator[Figure]:
    """Measure each fault."""
    for name, fault in FAULTS.items():
        yield from _measure(name, fault())


def _measure(name: str, fault: AbstractContextManager[str]) -> list[Figure]:
    with place("jaeger") as where, fault as url:
        wrong = Backend("loki", url, url)
        making = Making(
            where.address, (), known(), lag_truth.checks(), patience=_PATIENCE, scenario=scenario
        )

        def lane(logs: Backend) -> Lane:
            def sources(counted: Counted) -> tuple[Source, ...]:
                return counted.traces(where.backends["jaeger"]), counted.logs(logs)

            (one,) = lanes(1, replace(making, known=known()), sources)
            return one

        pair = (lane(where.backends["loki"]), lane(wrong))
        made = [make_both(number, pair) for number in range(LEARNING + PAIRS)]
        for one in pair:
            one.close()
        seen = where.seen().jobs
    return _figures(name, made[LEARNING:], seen)


def make_both(number: int, pair: tuple[Lane, Lane]) -> tuple[Made, Made]:
    """Make a run of each lane at the same moment; both are told the same of their job."""
    found: dict[int, Made] = {}

    def one(index: int) -> None:
        found[index] = pair[index].run(number)

    threads = [threading.Thread(target=one, args=(index,)) for index in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found[0], found[1]


def _figures(
    name: str, made: list[tuple[Made, Made]], seen: Mapping[str, Witnessed]
) -> list[Figure]:
    rises, without, within, false = [], [], [], []
    for good, bad in made:
        lags = [slowest(one, seen) for one in (good, bad)]
        false += [text for _, wrong in lags for text in wrong]
        status = {one.name: one.status.value for one in bad.run.verdicts}[_LOGS]
        if status != "inconclusive":
            false.append(f"run {bad.number}: {_LOGS} is {status} without a log backend")
        if (before := lags[0][0]) is not None and (after := lags[1][0]) is not None:
            rises.append(after - before)
            without.append(before)
            within.append(after)
    medians = [percentile(lags, 0.5) * _MS for lags in (without, within)]
    how = (
        f"median of {len(rises)} differences of pairs, each the slowest verdict that needs traces "
        f"alone; medians {medians[0]:.0f} without and {medians[1]:.0f} with the fault"
    )
    title = f"the log backend {name}"
    return [
        Figure(f"{title}: rise of the lag", percentile(rises, 0.5) * _MS, "ms", how, bound=MOST),
        Figure(f"{title}: false verdicts", len(false), "", "; ".join(false[:2]), bound=0),
        Figure(
            f"{title}: pairs", len(rises), "", "of which neither run is void", least=PAIRS * 0.9
        ),
    ]


def slowest(made: Made, seen: Mapping[str, Witnessed]) -> tuple[float | None, list[str]]:
    """Return the lag of the slowest verdict that needs no log backend; and what was false."""
    expected = {**lag_truth.EXPECTED[scenario(made.number)]}
    del expected[_LOGS]
    job = seen.get(made.run.evidence.job.id)
    if job is None or not job.in_time():
        return None, []
    given = [one for one in made.given if one.check != _LOGS]
    record = {one.name: one.status.value for one in made.run.verdicts if one.name != _LOGS}
    outcome = examine(expected, job, given, record)
    wrong = [f"run {made.number} ({scenario(made.number)}): {one}" for one in outcome.false]
    return max(outcome.lags.values(), default=None), wrong
