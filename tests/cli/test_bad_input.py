"""Targets and sources that misbehave: a clear line, the right exit code, never a stack trace."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.cli.transcripts import ROOT, run
from tests.sources.servers import Canned, Script, always, serving

_JOB = Canned(body=b'{"id": "j-1", "status": "done"}')
_SUITE = """\
suite: s
ring: 2
target: api
deadline: 1s
checks:
"""
_METRICS = """\
  - metric_labels: {metric: jobs_total, label: kind, values: [a]}
    catches: a label is lost
"""
_TRACES = """\
  - connected_trace: {services: [a]}
    catches: a trace is lost
"""
_OUTCOME = """\
  - job_outcome: {}
    catches: jobs fail
"""


@dataclass(frozen=True)
class Row:
    """One way to misbehave: what is expected of `check`, and words that it has to say."""

    code: int
    says: tuple[str, ...]
    target: Script | None = None
    pages: Script | None = None
    collector: Script | None = None


def _held(over: threading.Event) -> Script:
    """Answer nothing for as long as the test lasts."""

    def hold(_handler: BaseHTTPRequestHandler) -> None:
        over.wait(60)

    return hold


OVER = threading.Event()
_HTML = always(Canned(body=b"<html><body>Please log in</body></html>", media="text/html"))
_HALF = always(Canned(body=b'{"resourceSpans": [{"scopeSp'))
_PAGE = always(
    Canned(body=b'# TYPE jobs_total counter\njobs_total{kind="a"} 1\n', media="text/plain")
)
ROWS: Mapping[str, Row] = {
    "a target that answers 500": Row(1, ("500", "FAIL job_outcome"), always(Canned(500))),
    "a target that hangs": Row(1, ("FAIL job_outcome", "within 0.5 s"), _held(OVER)),
    "a target without a job id": Row(1, ("FAIL job_outcome", "id"), always(Canned(body=b"{}"))),
    "a target that answers HTML": Row(1, ("FAIL job_outcome", "JSON"), _HTML),
    "a target on a wrong port": Row(1, ("FAIL job_outcome", "refused")),
    "a job that never ends": Row(
        1,
        ("FAIL job_outcome", "not ended 1 s", "running"),
        always(Canned(body=b'{"id": "j-1", "status": "running"}')),
    ),
    "a page on a wrong port": Row(
        3, ("INCONCLUSIVE metric_labels", "pages", "cannot connect"), always(_JOB)
    ),
    "a page that refuses": Row(
        3, ("INCONCLUSIVE metric_labels", "403"), always(_JOB), always(Canned(403))
    ),
    "a page that hangs": Row(
        3, ("INCONCLUSIVE metric_labels", "too slow"), always(_JOB), _held(OVER)
    ),
    "a page of HTML": Row(3, ("INCONCLUSIVE metric_labels", "nonsense"), always(_JOB), _HTML),
    "a collector that refuses": Row(
        3, ("INCONCLUSIVE connected_trace", "403"), always(_JOB), _PAGE, always(Canned(403))
    ),
    "a collector that hangs": Row(
        3, ("INCONCLUSIVE connected_trace", "too slow"), always(_JOB), _PAGE, _held(OVER)
    ),
    "a collector that answers HTML": Row(
        3, ("INCONCLUSIVE connected_trace", "nonsense"), always(_JOB), _PAGE, _HTML
    ),
    "a collector that answers half a JSON": Row(
        3, ("INCONCLUSIVE connected_trace", "nonsense"), always(_JOB), _PAGE, _HALF
    ),
}


@contextmanager
def _nobody() -> Iterator[str]:
    """Hold an address at which nobody listens: a port that was let go may be given to another."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


def _configured(folder: Path, checks: str, target: str, pages: str, collector: str) -> None:
    follow = {"url": f"{target}/jobs/j-1", "status": "status", "done": ["done"], "timeout": "500ms"}
    http = {"url": f"{target}/jobs", "job_id": "id", "timeout": "500ms", "follow": follow}
    source = {"lag_budget": "50ms", "timeout": "2s"}
    settings = {
        "targets": {"api": {"submit": {"http": http}}},
        "sources": {
            "pages": {"type": "scrape", "pages": {"a": f"{pages}/metrics"}, **source},
            "collector": {"type": "remote_collector", "url": collector, **source},
        },
        "suites": ["s.yaml"],
    }
    folder.mkdir()
    (folder / "obs-validator.yaml").write_text(json.dumps(settings))
    (folder / "s.yaml").write_text(_SUITE + checks)


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[int, str]]]:
    """Return the exit code and the words of a `check` against each row, all run at once."""
    base = tmp_path_factory.mktemp("rows")
    with ExitStack() as stack:
        stack.callback(OVER.set)
        going = {}
        for number, (name, row) in enumerate(ROWS.items()):
            urls = [
                stack.enter_context(serving(script)).url
                if script
                else stack.enter_context(_nobody())
                for script in (row.target, row.pages, row.collector)
            ]
            checks = _TRACES if row.collector else _METRICS
            _configured(base / str(number), checks, *urls)
            going[name] = subprocess.Popen(
                [sys.executable, "-m", "validator", "check"],
                cwd=base / str(number),
                env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "400"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        found = {}
        for name, process in going.items():
            said, _ = process.communicate(timeout=90)
            found[name] = (process.returncode, said)
        OVER.set()
        yield found


@pytest.mark.process
@pytest.mark.untraced
@pytest.mark.req("V-02", "V-13")
@pytest.mark.parametrize("name", list(ROWS))
def test_what_misbehaves_is_named(ended: dict[str, tuple[int, str]], name: str) -> None:
    """It ends in the code of the table in `--help`, and says what went wrong, without a trace."""
    code, said = ended[name]
    row = ROWS[name]
    assert "Traceback" not in said
    assert code == row.code, said
    words = " ".join(said.split())
    for text in row.says:
        assert text in words, said


@pytest.mark.process
def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    """The collector names the port, why it cannot be had, and what to do; the code is 2."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for args in (
            ("--http-port", port, "--grpc-port", "-1"),
            ("--http-port", "0", "--grpc-port", port),
        ):
            code, said = run(tmp_path, "collector", *args)
            assert code == 2
            assert f"127.0.0.1:{port}" in said
            assert "take another port" in said
            assert "Traceback" not in said


@pytest.mark.process
def test_a_report_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """The other reports are written all the same."""
    with serving(always(_JOB)) as target, serving(_PAGE) as pages, _nobody() as nobody:
        _configured(tmp_path / "x", _OUTCOME, target.url, pages.url, nobody)
        folder = tmp_path / "x"
        (folder / "taken.json").mkdir()
        code, said = run(folder, "check", "-o", "taken.json", "-o", "good.xml")
    assert code == 2
    assert "cannot write taken.json: Is a directory" in said
    assert (folder / "good.xml").is_file()


@pytest.mark.process
def test_every_schema_is_json(tmp_path: Path) -> None:
    """Each can be read by an editor, and says which draft it is of."""
    for what in ("config", "suite", "report"):
        code, said = run(tmp_path, "schema", what)
        assert code == 0
        assert "2020-12" in json.loads(said)["$schema"]


@pytest.mark.process
@pytest.mark.req("V-14")
def test_a_kind_is_explained(tmp_path: Path) -> None:
    """Its parameters, an example and the incident that it would catch."""
    code, said = run(tmp_path, "explain", "span_attributes")
    assert code == 0
    assert "```yaml" in said
    assert "catches" in said


@pytest.mark.process
def test_a_reader_who_goes_away_is_no_error(tmp_path: Path) -> None:
    """`obs-validator schema suite | head -1` ends in silence, and not as if a check had failed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "validator", "schema", "suite"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait(30) == 3
    assert said == ""
