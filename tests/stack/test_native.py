"""Bringing the stack up and down, with a real Prometheus and Alertmanager where they are there."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import psutil
import pytest

from pipeline.testing import poll_until
from stack import processes, state
from stack.errors import StackError
from stack.servers import SERVERS

pytestmark = [pytest.mark.process, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("prometheus", "prometheus-alertmanager")


class Machine:
    """A machine that has Prometheus and Alertmanager, and can neither build nor fetch more."""

    def __init__(self, folder: Path) -> None:
        """Keep everything in `folder`; leave the test out where there are no such programs."""
        self.state = folder / "stack"
        programs = folder / "bin"
        programs.mkdir()
        for name in PROGRAMS:
            found = shutil.which(name) or shutil.which(name.removeprefix("prometheus-"))
            if found is None:
                pytest.skip(f"there is no {name} on this machine")
            (programs / name).symlink_to(found)
        self.env = {
            **{name: value for name, value in os.environ.items() if name != "TEMPO_URL"},
            "PATH": str(programs),
            "XDG_CACHE_HOME": str(folder / "cache"),
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Begin a command of the stack."""
        return subprocess.Popen(
            [sys.executable, "-m", "stack", *arguments, "--state-dir", str(self.state)],
            cwd=ROOT,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run a command of the stack to its end; return all that it said."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=90)
        assert process.returncode == code, out + err
        assert "Traceback" not in err
        return out + err

    def up(self) -> state.State:
        """Return what is known of the stack that is up."""
        found = state.read(self.state)
        assert found is not None
        return found


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """Return a machine, and end what is left of its stack."""
    found = Machine(tmp_path)
    yield found
    processes.end_all(found.state)


def test_what_the_machine_has_comes_up_and_the_rest_is_told(machine: Machine) -> None:
    """Healthy when the command returns, on the loopback alone, told in a file and to a shell."""
    said = machine.run("up", "--no-pipeline")
    up = machine.up()
    assert set(up.servers) == {"prometheus", "alertmanager"}
    assert set(up.missing) == {"loki", "tempo", "jaeger"}
    for name, why in up.missing.items():
        assert f"{name:<13} not brought up: {why}" in said
        assert "\n" not in why
    for server in up.servers.values():
        assert httpx.get(f"{server.url}/-/ready", trust_env=False).status_code == 200
        assert server.pid is not None
        listening = psutil.Process(server.pid).net_connections()
        assert {one.laddr.ip for one in listening if one.status == psutil.CONN_LISTEN} == {
            "127.0.0.1"
        }
    env = (machine.state / "stack.env").read_text().splitlines()
    assert f"STACK_PROMETHEUS_URL={up.servers['prometheus'].url}" in env
    for name in ("stack.json", "stack.env"):
        assert (machine.state / name).stat().st_mode & 0o077 == 0
    assert "ended" not in machine.run("status")


def test_alerts_get_through(machine: Machine) -> None:
    """The alert that always fires is seen in Alertmanager."""
    machine.run("up", "--no-pipeline")
    url = machine.up().servers["alertmanager"].url

    def look() -> bool:
        alerts = httpx.get(f"{url}/api/v2/alerts", trust_env=False).json()
        return any(alert["labels"]["alertname"] == "Watchdog" for alert in alerts)

    poll_until(look, "the alert Watchdog", 40)


def test_a_second_up_changes_nothing(machine: Machine) -> None:
    """The same processes run on."""
    machine.run("up", "--no-pipeline")
    before = (machine.state / "stack.json").read_bytes()
    assert "is up already" in machine.run("up", "--no-pipeline")
    assert (machine.state / "stack.json").read_bytes() == before


def test_down_ends_all_and_keeps_the_logs(machine: Machine) -> None:
    """Nothing runs, nothing is stored; a second time there is nothing to end."""
    machine.run("up", "--no-pipeline")
    assert "2 processes ended" in machine.run("down")
    assert processes.running(machine.state) == []
    assert {path.name for path in machine.state.iterdir()} == {"lock", "logs"}
    assert "no stack was up" in machine.run("down")
    assert "no stack is up" in machine.run("status", code=1)


def test_a_server_that_has_ended_is_told_and_replaced(machine: Machine) -> None:
    """`status` says which; `up` begins anew, so that all of it is up."""
    machine.run("up", "--no-pipeline")
    victim = machine.up().servers["alertmanager"].pid
    assert victim is not None
    processes.end(machine.state, [victim], signal.SIGKILL, 10)
    said = machine.run("status", code=1)
    assert [line.split()[1] for line in said.splitlines()[:2]] == ["up", "ended"]
    machine.run("up", "--no-pipeline")
    assert len(processes.running(machine.state)) == 2


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_of_a_start_that_was_ended(machine: Machine, how: signal.Signals) -> None:
    """By whatever way it ended: what it had started is ended by it, or by `down`."""
    process = machine.start("up", "--no-pipeline")
    poll_until(lambda: processes.running(machine.state), "a server", 30)
    process.send_signal(how)
    process.communicate(timeout=60)
    if how is signal.SIGKILL:
        machine.run("down")
    assert processes.running(machine.state) == []


def test_what_others_run_is_left_alone(machine: Machine, tmp_path: Path) -> None:
    """A process of another stack has another mark, and one without a mark is nobody's."""
    other = processes.Command([sys.executable, "-c", "input()"], {}, tmp_path / "log")
    held = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    (tmp_path / "other").mkdir()
    with subprocess.Popen(
        other.line,
        stdin=subprocess.PIPE,
        env={**os.environ, processes.MARK: str(tmp_path / "other")},
    ) as marked:
        machine.run("up", "--no-pipeline")
        machine.run("down")
        processes.end(machine.state, [held.pid, marked.pid], signal.SIGKILL, 0.1)
        assert marked.poll() is None
        assert held.poll() is None
        marked.communicate(b"\n")
    held.communicate(b"\n")


def test_a_port_that_somebody_has_is_left_to_them(machine: Machine) -> None:
    """Another is taken, and the state says which."""
    taken = []
    try:
        for port in {port for server in SERVERS for port in server.ports.values()}:
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
                listener.listen()
            except OSError:  # somebody has it indeed
                listener.close()
            else:
                taken.append(listener)
        machine.run("up", "--no-pipeline")
    finally:
        for listener in taken:
            listener.close()
    defaults = {server.name: server.ports["http"] for server in SERVERS}
    for name, server in machine.up().servers.items():
        assert server.ports["http"] != defaults[name]
        assert server.url == f"http://127.0.0.1:{server.ports['http']}"
    targets = json.loads((machine.state / "prometheus/targets/alertmanager.json").read_text())
    assert targets == [
        {"targets": [machine.up().servers["alertmanager"].url.removeprefix("http://")]}
    ]


def test_only_one_changes_a_stack_at_a_time(tmp_path: Path) -> None:
    """The other is told, and does nothing."""
    with (
        state.alone(tmp_path),
        pytest.raises(StackError, match="somebody is bringing"),
        state.alone(tmp_path),
    ):
        pass


class _Ready(BaseHTTPRequestHandler):
    """Answers every question with 200."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_tempo_that_others_run_is_used_if_it_is_ready(machine: Machine) -> None:
    """TEMPO_URL names it, TEMPO_OTLP_URL where it takes spans: the pipeline's go there."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Ready) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        machine.env |= {"TEMPO_URL": url, "TEMPO_OTLP_URL": "http://127.0.0.1:1/otlp"}
        machine.run("up", "--no-pipeline")
        server.shutdown()
        thread.join()
    tempo = machine.up().servers["tempo"]
    assert (tempo.url, tempo.otlp, tempo.pid) == (url, "http://127.0.0.1:1/otlp", None)
    assert machine.up().variables["STACK_TRACES_TYPE"] == "tempo"
    traces = machine.up().variables["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]
    assert traces == "http://127.0.0.1:1/otlp/v1/traces"
    machine.run("down")
    said = machine.run("up", "--no-pipeline")
    assert f"TEMPO_URL names {url}, which does not answer /ready with 200" in said


def test_who_is_to_take_the_spans_has_to_be_there(machine: Machine) -> None:
    """What was asked for by name is not silently replaced, and nothing is left running."""
    said = machine.run("up", "--no-pipeline", "--traces", "jaeger", code=1)
    assert "jaeger, which is to take the spans, is not up" in said
    assert processes.running(machine.state) == []
