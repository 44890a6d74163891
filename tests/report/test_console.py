"""Promises of the console: control codes only on a terminal, nothing breaks its layout."""

from __future__ import annotations

import io
import threading
from dataclasses import replace

import pytest
from rich.cells import cell_len

from tests.report import samples
from validator.model import Status, TraceRef
from validator.ports import Observer
from validator.report.console import console_for, print_lines, render
from validator.report.lines import run_lines
from validator.report.progress import ConsoleObserver


class Terminal(io.StringIO):
    """A file that says it is a terminal."""

    def isatty(self) -> bool:
        """Say yes."""
        return True


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what the developer's shell sets from the consoles."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def observed(file: io.StringIO, *, reports: bool = True) -> str:
    """Tell an observer of a whole run, and return what it wrote."""
    with ConsoleObserver(file, reports=reports) as observer:
        observer.on_event("r-0002", "pipeline", "submitted", samples.JOB)
        observer.on_event("r-0002", "pipeline", "status", "scraping [red]\x1b[2J")
        for spans in range(3, 12):
            observer.on_event("r-0002", "pipeline", "gathering", f"{spans} spans")
        observer.on_event("r-0002", "pipeline", "verdict", "job_outcome pass")
        observer.on_run(samples.LOST)
    return file.getvalue()


def test_a_log_gets_plain_lines() -> None:
    """Without a terminal: no control code, a line for each event, the report, the summary."""
    text = observed(io.StringIO())
    assert "\x1b" not in text
    assert "\r" not in text
    assert text == (
        f"pipeline  submitted  {samples.JOB}\n"
        "pipeline  status  scraping [red]�[2J\n"
        "pipeline  gathering  3 spans\n"
        "pipeline  verdict  job_outcome pass\n"
    ) + render([samples.LOST])


def test_a_log_is_told_of_each_runs_gathering() -> None:
    """Gathering is noted once for each run, not once for all."""
    file = io.StringIO()
    with ConsoleObserver(file, reports=False) as observer:
        for run_id in ("one", "two", "one"):
            observer.on_event(run_id, run_id, "gathering", "1 span")
    assert file.getvalue() == "one  gathering  1 span\ntwo  gathering  1 span\n"


def test_a_terminal_gets_live_progress() -> None:
    """On a terminal what goes on is shown in place, and the report is printed when it is known."""
    file = Terminal()
    with ConsoleObserver(file) as observer:
        observer.on_event("r-0002", "pipeline", "status", "scraping [red]\x1b[2J")
        observer.on_event("r-0002", "pipeline", "gathering", "11 spans")
        threading.Event().wait(0.4)  # the display is drawn ten times a second
        observer.on_run(samples.LOST)
    text = file.getvalue()
    assert "status  scraping [red]�[2J" in text
    assert "gathering  11 spans" in text
    assert "\x1b[2J" not in text
    assert (
        text.index("gathering  11 spans") < text.index("connected_trace") < text.index("exit code")
    )
    assert "\x1b[?25l" in text
    assert "\x1b[?25h" in text


def test_a_narrow_encoding_is_no_failure() -> None:
    """Into a file that knows only ASCII the rest is written as question marks."""
    data = io.BytesIO()
    file = io.TextIOWrapper(data, encoding="ascii")
    with ConsoleObserver(file) as observer:
        observer.on_run(samples.LOST)
    file.flush()
    assert b"trace 00a1b2? ends at" in data.getvalue()


def test_reports_may_go_elsewhere() -> None:
    """Without reports the observer writes its progress alone."""
    text = observed(io.StringIO(), reports=False)
    assert "FAIL" not in text
    assert "exit code" not in text
    assert "gathering" in text


def test_an_error_gets_no_summary() -> None:
    """When an exception ends the command, no summary pretends that it was done."""
    file = io.StringIO()
    with pytest.raises(KeyboardInterrupt), ConsoleObserver(file):
        raise KeyboardInterrupt
    assert file.getvalue() == ""


def test_many_threads_may_tell() -> None:
    """Events of several runs at once neither fail nor mix within a line."""
    file = io.StringIO()
    with ConsoleObserver(file, reports=False) as observer:
        typed: Observer = observer

        def tell(name: str) -> None:
            for _ in range(50):
                typed.on_event(name, name, "status", "x" * 50)

        threads = [threading.Thread(target=tell, args=(f"run-{n}",)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    lines = file.getvalue().splitlines()
    assert len(lines) == 400
    assert {line.partition("  ")[2] for line in lines} == {f"status  {'x' * 50}"}


@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize("name", sorted(samples.RUNS))
def test_no_line_is_wider_than_the_terminal(
    name: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal all but what is to be copied is wrapped below its label."""
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    file = Terminal()
    lines = run_lines(samples.RUNS[name])
    whole = {f"{line.label}{line.text}".rstrip() for line in lines if line.whole}
    print_lines(console_for(file), lines)
    shown = [_uncoded(line) for line in file.getvalue().splitlines()]
    wide = [line for line in shown if cell_len(line.rstrip()) > width]
    assert {line.rstrip() for line in wide} <= whole


def _uncoded(line: str) -> str:
    """Remove the styles, which take no room."""
    parts = line.split("\x1b[")
    return parts[0] + "".join(part.partition("m")[2] for part in parts[1:])


def test_a_continued_text_stands_below_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """What wraps goes on under where it began, and nothing of it is lost."""
    monkeypatch.setenv("COLUMNS", "70")
    file = Terminal()
    print_lines(console_for(file), run_lines(samples.LOST))
    lines = [_uncoded(line).rstrip() for line in file.getvalue().splitlines()]
    start = next(n for n, line in enumerate(lines) if line.startswith("  likely"))
    assert lines[start + 1].startswith(" " * 12)
    text = " ".join(line.strip() for line in lines)
    assert samples.LOST_FINDING.likely in text


def test_only_the_label_is_coloured() -> None:
    """What is said stands in the terminal's own colour, also where it goes on."""
    file = Terminal()
    print_lines(console_for(file), run_lines(samples.LOST))
    text = file.getvalue()
    assert "\x1b[1;31mFAIL connected_trace   \x1b[0mlost between" in text
    assert "\x1b[2m  expected  \x1b[0morchestrator -> scraper" in text


def test_ids_and_queries_are_never_broken() -> None:
    """A log has ids and queries whole, on a line of their own, however long."""
    text = render([samples.LOST])
    assert samples.LOST_FINDING.query in text
    assert f"  job       {samples.JOB} (done)\n" in text
    assert "\x1b" not in render([samples.HOSTILE])


def test_many_traces_and_what_is_pending() -> None:
    """Ten traces are named and the others counted; what was not decided says why."""
    traces = tuple(TraceRef(f"{n:032x}", "job_id") for n in range(12))
    job = replace(samples.JOB_OF_RECORD, traces=traces)
    verdict = samples.verdict("connected_trace", Status.PENDING, "waits for spans of scraper")
    run = samples.run("r", (verdict,), samples.evidence(job=job))
    text = render([replace(run, interrupted=True)])
    assert "            … and 2 more traces\n" in text
    assert "PENDING connected_trace   waits for spans of scraper\n" in text
    assert "  why       the run ended before this could be decided\n" in text
    assert "  remark    the run was interrupted before it was done\n" in text


def test_inconclusive_says_why_and_what_to_do() -> None:
    """An inconclusive verdict without any finding still says why, and what to do."""
    verdict = samples.verdict("connected_trace", Status.INCONCLUSIVE, "cannot be judged")
    run = samples.run("r", (verdict,), samples.INCONCLUSIVE.evidence)
    text = render([run])
    assert "  why       traces are unproven: throttled since 10 s\n" in text
    assert "  why       collector: throttled: 429 Too Many Requests\n" in text
    assert "  do        find out why the source gave no fresh, full answer, then run again" in text
