"""Sources: where telemetry is read. A further type is one class here and its name in `Source`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from validator.config_targets import Headers
from validator.config_values import Duration, Listen, Name, Strict, Text, Tolerance, Url


class SourceSettings(Strict):
    """What every source has.

    `lag_budget` is the time after which everything that has happened is readable there: 7 s is
    what the SDKs' exporters keep, which flush every 5 s. Only what is missing is waited for so
    long; declare less where services flush sooner.
    """

    lag_budget: Tolerance = 7.0
    timeout: Duration = 5.0


class CollectorSettings(SourceSettings):
    """The built-in OTLP collector, run inside the command; None: that protocol is not served."""

    type: Literal["collector"]
    http: Listen | None = "127.0.0.1:4318"
    grpc: Listen | None = "127.0.0.1:4317"


class RemoteCollectorSettings(SourceSettings):
    """A collector of ours that runs as a process of its own, read over its API."""

    type: Literal["remote_collector"]
    url: Url
    headers: Headers = Field(default={})


def _pages(value: Any) -> Any:
    """Take one address for a list of one."""
    return [value] if isinstance(value, str) else value


Pages = Annotated[
    tuple[Url, ...],
    BeforeValidator(_pages),
    Field(min_length=1),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}, "minItems": 1},
            ]
        }
    ),
]


class ScrapeSettings(SourceSettings):
    """`/metrics` pages, by the service whose they are; several pages are its instances."""

    type: Literal["scrape"]
    pages: Annotated[Mapping[Text, Pages], Field(min_length=1)]
    headers: Headers = Field(default={})


Source = Annotated[
    CollectorSettings | RemoteCollectorSettings | ScrapeSettings, Field(discriminator="type")
]
"""Every type of source."""

Sources = Annotated[Mapping[Name, Source], Field(min_length=1)]
