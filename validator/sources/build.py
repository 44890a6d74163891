"""From the settings of a source to the source; called by `app.py` alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from validator.config_sources import (
    Access,
    AlertmanagerSettings,
    ControlSettings,
    GrafanaSettings,
    JaegerSettings,
    LokiSettings,
    PrometheusSettings,
    RemoteCollectorSettings,
    ScrapeSettings,
    SourceSettings,
    TempoSettings,
)
from validator.errors import ConfigError
from validator.model import Signal
from validator.ports import Clock, Source
from validator.sources.control import Control
from validator.sources.http import Bounds, Http, Tls, connect, make_session


@dataclass(frozen=True, slots=True)
class Builder:
    """Makes the sources of one configuration; relative paths are meant from `folder`."""

    clock: Clock
    folder: Path

    def build(self, name: str, settings: SourceSettings) -> Source:  # noqa: PLR0911 - each type one
        """Return the source that `settings` describe, unless it runs in this process."""
        match settings:
            case ScrapeSettings():
                return self._scrape(name, settings)
            case RemoteCollectorSettings():
                return self._collector(name, settings)
            case TempoSettings():
                return self._tempo(name, settings)
            case JaegerSettings():
                return self._jaeger(name, settings)
            case PrometheusSettings():
                return self._prometheus(name, settings)
            case AlertmanagerSettings():
                return self._alertmanager(name, settings)
            case GrafanaSettings():
                return self._grafana(name, settings)
            case LokiSettings():
                return self._loki(name, settings)
        raise ConfigError(f"sources.{name}: no such type of source")

    # Each imports its module only where a configuration has such a source.

    def _scrape(self, name: str, settings: ScrapeSettings) -> Source:
        from validator.sources.scrape import Page, ScrapeSource  # noqa: PLC0415

        http = self._http(name, settings, settings.timeout)
        pages = tuple(
            Page(service, url) for service, urls in settings.pages.items() for url in urls
        )
        return ScrapeSource(name, pages, http, settings.lag_budget)

    def _collector(self, name: str, settings: RemoteCollectorSettings) -> Source:
        from validator.sources.collector.client import RemoteCollectorSource  # noqa: PLC0415

        http = self._http(name, settings, settings.timeout)
        return RemoteCollectorSource(name, settings.url, http, settings.lag_budget)

    def _tempo(self, name: str, settings: TempoSettings) -> Source:
        from validator.sources.tempo import TempoSource  # noqa: PLC0415
        from validator.sources.trace_store import Lags  # noqa: PLC0415

        http = self._http(name, settings, settings.timeout)
        lags = Lags(settings.lag_budget, settings.search_lag_budget)
        control = self._control(name, settings.control, settings.timeout, Signal.TRACES)
        return TempoSource(name, settings.url, http, lags, control)

    def _jaeger(self, name: str, settings: JaegerSettings) -> Source:
        from validator.sources.jaeger import JaegerSource  # noqa: PLC0415
        from validator.sources.trace_store import Lags  # noqa: PLC0415

        http = self._http(name, settings, settings.timeout)
        lags = Lags(settings.lag_budget, settings.search_lag_budget)
        control = self._control(name, settings.control, settings.timeout, Signal.TRACES)
        return JaegerSource(name, settings.url, http, lags, control)

    def _loki(self, name: str, settings: LokiSettings) -> Source:
        from validator.sources.loki import LokiSource, Streams  # noqa: PLC0415

        control = self._control(name, settings.control, settings.timeout, Signal.LOGS)
        return LokiSource(
            name,
            self._http(name, settings, settings.timeout),
            settings.lag_budget,
            Streams(settings.url, settings.selector, control),
        )

    def _control(
        self, name: str, settings: ControlSettings | None, timeout: float, signal: Signal
    ) -> Control | None:
        """Return where control records of a source go in, if that is declared."""
        if settings is None:
            return None
        http = self._http(f"{name} (control)", settings, timeout)
        return Control(settings.url.rstrip("/"), http, (signal,))

    def _prometheus(self, name: str, settings: PrometheusSettings) -> Source:
        from validator.sources.prometheus import Labels, PrometheusSource  # noqa: PLC0415

        http = self._http(name, settings, settings.timeout)
        labels = Labels(settings.service_label, settings.instance_label)
        return PrometheusSource(name, settings.url, http, settings.lag_budget, labels)

    def _alertmanager(self, name: str, settings: AlertmanagerSettings) -> Source:
        from validator.sources.alertmanager import AlertmanagerSource  # noqa: PLC0415

        http = self._http(name, settings, settings.timeout)
        return AlertmanagerSource(name, settings.url, http, settings.lag_budget)

    def _grafana(self, name: str, settings: GrafanaSettings) -> Source:
        from validator.sources.grafana import GrafanaSource  # noqa: PLC0415

        http = self._http(name, settings, settings.timeout)
        return GrafanaSource(name, settings.url, http, settings.lag_budget)

    def _http(self, name: str, settings: Access, timeout: float) -> Http:
        """Return a client with the credentials and bounds that are declared."""
        headers = {key: value.get_secret_value() for key, value in settings.headers.items()}
        if settings.tenant is not None:
            headers["X-Scope-OrgID"] = settings.tenant
        session = make_session(headers)
        tls = self._tls(name, settings)
        try:
            connect(session, auth=_credentials(settings), tls=tls, proxy=settings.proxy)
        except ValueError as error:
            raise ConfigError(f"sources.{name}: {error}") from error
        bounds = Bounds(
            timeout=timeout,
            size=int(settings.max_answer),
            connect=settings.connect_timeout,
            rate=settings.rate_limit,
        )
        return Http(name, session, self.clock, bounds)

    def _tls(self, name: str, settings: Access) -> Tls:
        """Return the paths, which have to be those of readable files."""
        paths = {}
        for what in ("ca", "cert", "key"):
            given = getattr(settings.tls, what)
            path = str(self.folder / given) if given else ""
            if path and not Path(path).is_file():
                raise ConfigError(f"sources.{name}: tls: {what}: there is no file {path}")
            paths[what] = path
        return Tls(**paths)


def _credentials(settings: Access) -> str | tuple[str, str] | None:
    """Return a bearer token, or a name and a password."""
    auth = settings.auth
    if auth is None:
        return None
    if auth.bearer is not None:
        return auth.bearer.get_secret_value()
    if auth.basic is not None:
        return auth.basic.username, auth.basic.password.get_secret_value()
    return None
