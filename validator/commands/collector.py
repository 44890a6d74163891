"""`obs-validator collector`: the built-in collector as a process of its own."""

from __future__ import annotations

import click


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--http-port",
    type=click.IntRange(0, 65535),
    default=4318,
    show_default=True,
    help="OTLP/HTTP and the read API.",
)
@click.option(
    "--grpc-port",
    type=click.IntRange(-1, 65535),
    default=4317,
    show_default=True,
    help="OTLP/gRPC; -1 for none.",
)
@click.option("--job-id-key", multiple=True, default=("job.id", "job_id"), show_default=True)
def collector(host: str, http_port: int, grpc_port: int, job_id_key: tuple[str, ...]) -> None:
    """Run the OTLP collector until it is stopped; `check` joins it over its read API.

    Port 0 takes a free one. In the configuration: `{type: remote_collector, url: ...}`.
    """
    from validator.clock import SystemClock  # noqa: PLC0415 - heavy
    from validator.sources.collector.limits import Limits  # noqa: PLC0415
    from validator.sources.collector.server import Collector, Listen  # noqa: PLC0415

    listen = Listen(host, http_port, None if grpc_port < 0 else grpc_port)
    server = Collector(SystemClock(), listen, Limits(), job_id_key)
    server.start()
    click.echo(f"OTLP/HTTP and read API: {server.endpoint}")
    if server.grpc_endpoint:
        click.echo(f"OTLP/gRPC: {server.grpc_endpoint}")
    try:
        server.wait()
    except KeyboardInterrupt:
        server.stop()
