"""What the stack is made of: each server's program, ports, command line and health."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stack import programs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CONFIG: Final = Path(__file__).resolve().parent / "config"
RETENTION: Final = ("--storage.tsdb.retention.time=6h", "--storage.tsdb.retention.size=256MB")

Ports = dict[str, int]
"""The number of each port of a server, by what it is for."""


@dataclass(frozen=True, slots=True)
class Server:
    """One server of the stack.

    `ports` are the default ones by what they are for, `http` among them; `health` is a path that
    is answered with 200 there, or on the port `health_port`, once the server works. `arguments`
    and `variables` get the ports that it has and the folder for its data.
    """

    name: str
    program: Callable[[Callable[[str], None]], Path]
    ports: Mapping[str, int]
    health: str
    arguments: Callable[[Ports, Path], list[str]]
    variables: Callable[[Ports, Path], dict[str, str]] = lambda _ports, _data: {}
    health_port: str = "http"
    otlp: str | None = None
    """Where it takes OTLP over HTTP: the port's name, and a path if it has one."""


def _prometheus(ports: Ports, data: Path) -> list[str]:
    return [
        f"--config.file={data / 'prometheus.yaml'}",
        f"--storage.tsdb.path={data / 'tsdb'}",
        *RETENTION,
        f"--web.listen-address=127.0.0.1:{ports['http']}",
        "--rules.alert.resend-delay=5s",  # the first may come before Alertmanager is known
        "--enable-feature=exemplar-storage",
        "--log.level=warn",
    ]


def _alertmanager(ports: Ports, data: Path) -> list[str]:
    return [
        f"--config.file={CONFIG / 'alertmanager.yaml'}",
        f"--storage.path={data}",
        f"--web.listen-address=127.0.0.1:{ports['http']}",
        "--cluster.listen-address=",
        "--log.level=warn",
    ]


def _loki(_ports: Ports, _data: Path) -> list[str]:
    return [f"-config.file={CONFIG / 'loki.yaml'}", "-config.expand-env=true"]


def _loki_variables(ports: Ports, data: Path) -> dict[str, str]:
    return {
        "LOKI_DATA": str(data),
        "LOKI_PORT": str(ports["http"]),
        "LOKI_GRPC_PORT": str(ports["grpc"]),
    }


def _tempo(_ports: Ports, _data: Path) -> list[str]:
    return [f"-config.file={CONFIG / 'tempo.yaml'}", "-config.expand-env=true"]


def _tempo_variables(ports: Ports, data: Path) -> dict[str, str]:
    return {
        "TEMPO_DATA": str(data),
        "TEMPO_PORT": str(ports["http"]),
        "TEMPO_GRPC_PORT": str(ports["grpc"]),
        "TEMPO_OTLP_HTTP_PORT": str(ports["otlp-http"]),
        "TEMPO_OTLP_GRPC_PORT": str(ports["otlp-grpc"]),
    }


def _jaeger(ports: Ports, _data: Path) -> list[str]:
    flags = {
        "query.http-server.host-port": "http",
        "query.grpc-server.host-port": "grpc",
        "collector.otlp.http.host-port": "otlp-http",
        "collector.otlp.grpc.host-port": "otlp-grpc",
        "collector.http-server.host-port": "collector-http",
        "collector.grpc-server.host-port": "collector-grpc",
        "admin.http.host-port": "admin",
        "http-server.host-port": "sampling",
    }
    # What old agents send by UDP nobody asks for: any port, and not on every interface.
    agents = ("jaeger-binary", "jaeger-compact", "zipkin-compact")
    return [
        "--memory.max-traces=20000",
        "--log-level=warn",
        *(f"--{flag}=127.0.0.1:{ports[port]}" for flag, port in flags.items()),
        *(f"--processor.{agent}.server-host-port=127.0.0.1:0" for agent in agents),
    ]


SERVERS: Final = (
    Server("prometheus", programs.prometheus, {"http": 9090}, "/-/ready", _prometheus),
    Server("alertmanager", programs.alertmanager, {"http": 9093}, "/-/ready", _alertmanager),
    Server(
        "loki",
        programs.loki,
        {"http": 3100, "grpc": 9096},
        "/ready",
        _loki,
        _loki_variables,
        otlp="http/otlp",
    ),
    Server(
        "tempo",
        programs.tempo,
        {"http": 3200, "grpc": 9095, "otlp-http": 4318, "otlp-grpc": 4317},
        "/ready",
        _tempo,
        _tempo_variables,
        otlp="otlp-http",
    ),
    Server(
        "jaeger",
        programs.jaeger,
        {
            "http": 16686,
            "grpc": 16685,
            "otlp-http": 4318,
            "otlp-grpc": 4317,
            "collector-http": 14268,
            "collector-grpc": 14250,
            "admin": 14269,
            "sampling": 5778,
        },
        "/",
        _jaeger,
        health_port="admin",
        otlp="otlp-http",
    ),
)
"""In the order in which ports are given out."""
