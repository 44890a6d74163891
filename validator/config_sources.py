"""Sources: where telemetry is read. A further type is one class here and its name in `Source`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    ByteSize,
    Field,
    SecretStr,
    WithJsonSchema,
    model_validator,
)

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


class BasicAuth(Strict):
    """A name and a password (RFC 7617)."""

    username: Text
    password: SecretStr


class Auth(Strict):
    """Who we are: one way of several. A header of another name goes into `headers`."""

    bearer: SecretStr | None = None
    """A token (RFC 6750), such as that of a Grafana service account."""
    basic: BasicAuth | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        """Refuse two ways, and none."""
        if (self.bearer is None) == (self.basic is None):
            raise ValueError("give bearer or basic, one of the two")
        return self


class Tls(Strict):
    """Whom to trust, and what to show; paths are meant from the folder of the file."""

    ca: Text | None = None
    """A file of certificates to trust instead of the system's."""
    cert: Text | None = None
    key: Text | None = None
    """The key of `cert`, unless that file holds both."""

    @model_validator(mode="after")
    def _key_of_a_certificate(self) -> Self:
        """Refuse a key without its certificate."""
        if self.key is not None and self.cert is None:
            raise ValueError("a key needs its cert")
        return self


class Access(Strict):
    """How servers are asked: who we are, whom we trust, and what it may cost.

    `timeout` is for a whole question, its retries included; `connect_timeout` for each
    connection. `proxy` None: that of the environment; `none`: none. `max_answer` is for one
    answer, decompressed. `rate_limit` is in requests per second to each server.
    """

    auth: Auth | None = None
    headers: Headers = Field(default={})
    tenant: Text | None = None
    """Sent as `X-Scope-OrgID`."""
    tls: Tls = Tls()
    proxy: Url | Literal["none"] | None = None
    connect_timeout: Duration = 3.0
    max_answer: Annotated[ByteSize, Field(gt=0)] = ByteSize(256 * 1024 * 1024)
    rate_limit: Annotated[float, Field(gt=0)] = 20.0

    @model_validator(mode="after")
    def _one_authorization(self) -> Self:
        """Refuse credentials that are declared twice: one of them would be dropped."""
        names = {name.lower() for name in self.headers}
        if self.auth is not None and "authorization" in names:
            raise ValueError("auth and the header Authorization are the same; give one of the two")
        if self.tenant is not None and "x-scope-orgid" in names:
            raise ValueError("tenant and the header X-Scope-OrgID are the same; give one")
        return self


class Connection(Access):
    """One server; `url` may have a base path."""

    url: Url


class ControlSettings(Connection):
    """Where control records go in: an OTLP/HTTP endpoint without `/v1/…`.

    It should be the way that the services' telemetry takes: then the record shows that way too.
    """


class RemoteCollectorSettings(SourceSettings, Connection):
    """A collector of ours that runs as a process of its own, read over its API."""

    type: Literal["remote_collector"]
    rate_limit: Annotated[float, Field(gt=0)] = 200.0
    """Ours, and asked at each change that it tells of: twenty would make verdicts wait for it."""


class TempoSettings(SourceSettings, Connection):
    """Tempo, or what speaks its API; what it searches is half a minute old by default."""

    type: Literal["tempo"]
    search_lag_budget: Tolerance = 60.0
    control: ControlSettings | None = None


class JaegerSettings(SourceSettings, Connection):
    """Jaeger's query API."""

    type: Literal["jaeger"]
    search_lag_budget: Tolerance = 7.0
    control: ControlSettings | None = None


class PrometheusSettings(SourceSettings, Connection):
    """Prometheus, or what speaks its API (Mimir, Thanos).

    The lag of what is scraped is the scrape interval, one minute by default, and a little more.
    """

    type: Literal["prometheus"]
    lag_budget: Tolerance = 75.0
    service_label: Text = "job"
    """The target's label that names the service."""
    instance_label: Text = "instance"


class AlertmanagerSettings(SourceSettings, Connection):
    """Alertmanager's API v2."""

    type: Literal["alertmanager"]


class GrafanaSettings(SourceSettings, Connection):
    """Grafana-managed alerts: `url` is Grafana's own."""

    type: Literal["grafana"]


class LokiSettings(SourceSettings, Connection):
    """Loki. `selector` has to match the streams of every service of the pipeline."""

    type: Literal["loki"]
    selector: Text = '{service_name=~".+"}'
    control: ControlSettings | None = None


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


class ScrapeSettings(SourceSettings, Access):
    """`/metrics` pages, by the service whose they are; several pages are its instances."""

    type: Literal["scrape"]
    pages: Annotated[Mapping[Text, Pages], Field(min_length=1)]


Source = Annotated[
    CollectorSettings
    | RemoteCollectorSettings
    | ScrapeSettings
    | TempoSettings
    | JaegerSettings
    | PrometheusSettings
    | AlertmanagerSettings
    | GrafanaSettings
    | LokiSettings,
    Field(discriminator="type"),
]
"""Every type of source."""

Sources = Annotated[Mapping[Name, Source], Field(min_length=1)]
