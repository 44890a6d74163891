"""OpenTelemetry as a user would set it up: providers, exporters, instrumentations.

Always called in the process that makes the spans, after any fork.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from opentelemetry import _logs, trace
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, ConsoleLogRecordExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

from pipeline import faults, mark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.context import Context
    from opentelemetry.sdk._logs.export import LogRecordExporter
    from opentelemetry.sdk.trace import Span
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.util.types import AttributeValue

    from pipeline.settings import Settings

DEFAULTS: Final = {
    "OTEL_BSP_SCHEDULE_DELAY": "50",
    "OTEL_BLRP_SCHEDULE_DELAY": "50",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
    "OTEL_SEMCONV_STABILITY_OPT_IN": "http,database",
}


class MarkProcessor(SpanProcessor):
    """Puts the mark of the traffic on every span, `user` where there is none."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Mark the span by the context that it begins in."""
        span.set_attributes(mark.current(parent_context).attributes())


@dataclass(frozen=True, slots=True)
class Providers:
    """What exports the spans and logs of this process."""

    tracer: TracerProvider
    logger: LoggerProvider

    def handler(self) -> LoggingHandler:
        """Return the handler that sends log lines over OTLP."""
        return LoggingHandler(logger_provider=self.logger)

    def shutdown(self) -> None:
        """Send what has not been sent yet, and stop."""
        self.tracer.shutdown()
        self.logger.shutdown()


def set_up(settings: Settings) -> Providers:
    """Make the providers of this process and install them."""
    _set_defaults()
    if faults.SERVICE_SAMPLES_NOTHING in settings.faults:
        os.environ["OTEL_TRACES_SAMPLER"] = "always_off"
    resource = _resource(settings)
    tracer = TracerProvider(resource=resource, shutdown_on_exit=False)
    tracer.add_span_processor(MarkProcessor())
    for exporter in _span_exporters(settings):
        tracer.add_span_processor(BatchSpanProcessor(exporter))
    logger = _logger(settings, resource)
    trace.set_tracer_provider(tracer)
    _logs.set_logger_provider(logger)
    return Providers(tracer, logger)


def parents_logger(settings: Settings) -> LoggerProvider | None:
    """Return what exports the log lines of a process that forks and makes no spans.

    None over gRPC: a child of a process that has used gRPC cannot use it.
    """
    _set_defaults()
    if _over_grpc(settings, "LOGS"):
        return None
    return _logger(settings, _resource(settings))


def instrument_clients(settings: Settings) -> None:
    """Instrument what this process calls; a pool must be opened after this."""
    os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http,database")
    HTTPXClientInstrumentor().instrument()
    PsycopgInstrumentor().instrument()
    RedisInstrumentor().instrument()
    celery = CeleryInstrumentor()  # type: ignore[no-untyped-call]
    celery.instrument(use_span_links=settings.hops_are_links)


@contextmanager
def job_span(name: str, job_id: str, **attributes: AttributeValue) -> Iterator[trace.Span]:
    """Open a span of the pipeline's own; in attribute names `__` stands for a dot."""
    tracer = trace.get_tracer("pipeline")
    given = {key.replace("__", "."): value for key, value in attributes.items()}
    with tracer.start_as_current_span(name, attributes={"job.id": job_id, **given}) as span:
        yield span


def name_job(job_id: str, **attributes: AttributeValue) -> None:
    """Put the job on the span that is current: the server's, so that a trace can be found."""
    span = trace.get_current_span()
    span.set_attribute("job.id", job_id)
    for key, value in attributes.items():
        span.set_attribute(key.replace("__", "."), value)


def mark_span(marked: mark.Mark) -> None:
    """Put a mark that is learnt late on the span that is current."""
    trace.get_current_span().set_attributes(marked.attributes())


def current_trace_id() -> str | None:
    """Return the id of the trace that is current, if any."""
    found = trace.get_current_span().get_span_context()
    return trace.format_trace_id(found.trace_id) if found.is_valid else None


def _set_defaults() -> None:
    for variable, value in DEFAULTS.items():
        os.environ.setdefault(variable, value)


def _logger(settings: Settings, resource: Resource) -> LoggerProvider:
    logger = LoggerProvider(resource=resource, shutdown_on_exit=False)
    for exporter in _log_exporters(settings):
        logger.add_log_record_processor(BatchLogRecordProcessor(exporter))
    return logger


def _resource(settings: Settings) -> Resource:
    given = OTELResourceDetector().detect().attributes
    return Resource.create(
        {
            "service.version": given.get("service.version", settings.version),
            "service.name": settings.service_name,
            "service.instance.id": settings.instance,
            "process.pid": os.getpid(),
        }
    )


def _chosen(settings: Settings, signal: str) -> list[str]:
    """Return the exporters asked for; with no endpoint named there is nobody to send to."""
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    default = "otlp" if any(settings.env.get(name) for name in endpoints) else "none"
    names = (settings.env.get(f"OTEL_{signal}_EXPORTER") or default).split(",")
    chosen = [name.strip() for name in names]
    for name in chosen:
        if name not in {"otlp", "console", "none"}:
            raise LookupError(
                f"OTEL_{signal}_EXPORTER is {name!r}: known are otlp, console and none"
            )
    return chosen


def _over_grpc(settings: Settings, signal: str) -> bool:
    names = (f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    given = next((settings.env[name] for name in names if settings.env.get(name)), "http/protobuf")
    if given not in {"grpc", "http/protobuf"}:
        raise LookupError(f"the OTLP protocol is {given!r}: known are grpc and http/protobuf")
    return given == "grpc"


def _span_exporters(settings: Settings) -> Iterator[SpanExporter]:
    for name in _chosen(settings, "TRACES"):
        if name == "console":
            yield ConsoleSpanExporter(formatter=lambda span: f"{span.to_json(indent=None)}\n")
        elif name == "otlp" and _over_grpc(settings, "TRACES"):
            from opentelemetry.exporter.otlp.proto.grpc import (  # noqa: PLC0415 - gRPC is optional
                trace_exporter,
            )

            yield trace_exporter.OTLPSpanExporter()
        elif name == "otlp":
            yield OTLPSpanExporter()


def _log_exporters(settings: Settings) -> Iterator[LogRecordExporter]:
    for name in _chosen(settings, "LOGS"):
        if name == "console":
            yield ConsoleLogRecordExporter(
                formatter=lambda record: f"{record.to_json(indent=None)}\n"
            )
        elif name == "otlp" and _over_grpc(settings, "LOGS"):
            from opentelemetry.exporter.otlp.proto.grpc import (  # noqa: PLC0415 - gRPC is optional
                _log_exporter,
            )

            yield _log_exporter.OTLPLogExporter()
        elif name == "otlp":
            yield OTLPLogExporter()
