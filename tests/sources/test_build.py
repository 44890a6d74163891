"""From settings to a source: its credentials, its bounds, its address, and mistakes told early."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.sources.authority import Authority
from tests.sources.servers import Canned, always, serving
from validator.clock import SystemClock
from validator.config_sources import RemoteCollectorSettings, ScrapeSettings
from validator.errors import ConfigError, SourceError
from validator.ports import Probing
from validator.sources.build import Builder

STATUS = Canned(body=b'{"version": 1, "release": "9.8"}')
PAGE = Canned(body=b"# TYPE up gauge\nup 1\n", media="text/plain")


def built(folder: Path, **declared: Any) -> Probing:
    """Return the source of these settings."""
    kind = ScrapeSettings if "pages" in declared else RemoteCollectorSettings
    word = "scrape" if "pages" in declared else "remote_collector"
    settings = kind.model_validate({"type": word, **declared})
    source = Builder(SystemClock(), folder).build("one", settings)
    assert isinstance(source, Probing)
    return source


@pytest.mark.parametrize("path", ["", "/", "/base", "/base/", "/a/b/"])
def test_a_base_path_is_kept(tmp_path: Path, path: str) -> None:
    """With and without a slash at its end, what is asked stands below the base path."""
    with serving(always(STATUS)) as served:
        source = built(tmp_path, url=f"{served.url}{path}")
        assert source.probe().version == "9.8"
        source.close()
    assert served.requests == [f"{path.rstrip('/')}/api/v1/status"]


def test_all_that_is_declared_is_sent(tmp_path: Path) -> None:
    """Token, tenant and headers go with every request, of pages too."""
    seen: list[dict[str, str]] = []

    def script(handler: BaseHTTPRequestHandler) -> Canned:
        seen.append({name.lower(): value for name, value in handler.headers.items()})
        return PAGE if handler.path == "/metrics" else STATUS

    access = {"auth": {"bearer": "tok"}, "tenant": "team", "headers": {"X-API-Key": "k"}}
    with serving(script) as served:
        for declared in ({"url": served.url}, {"pages": {"a": f"{served.url}/metrics"}}):
            source = built(tmp_path, **declared, **access)
            source.probe()
            source.close()
    assert len(seen) == 2
    for headers in seen:
        assert headers["authorization"] == "Bearer tok"
        assert (headers["x-scope-orgid"], headers["x-api-key"]) == ("team", "k")
        assert headers["user-agent"] == "obs-validator"


def test_limits_are_those_declared(tmp_path: Path) -> None:
    """The limit of an answer's size is the declared one."""
    with serving(always(Canned(body=b"x" * 2000, media="text/plain"))) as served:
        source = built(tmp_path, pages={"a": f"{served.url}/metrics"}, max_answer="1kB")
        with pytest.raises(SourceError, match="more than 1000 bytes"):
            source.probe()
        source.close()


def test_files_of_certificates_are_looked_at_early(tmp_path: Path) -> None:
    """A file that is not there, or holds something else, is a mistake of the configuration."""
    authority = Authority.made(tmp_path)
    cert, _ = authority.client(tmp_path)
    (tmp_path / "x.pem").write_text("nothing")
    for tls, words in (
        ({"ca": "gone.pem"}, r"sources\.one: tls: ca: there is no file"),
        ({"ca": "x.pem"}, r"sources\.one: ca: .*x\.pem holds no certificate"),
        ({"cert": "x.pem"}, r"sources\.one: cert: .*x\.pem cannot be used"),
        ({"cert": Path(cert).name, "key": "x.pem"}, r"sources\.one: cert: .* cannot be used"),
    ):
        with pytest.raises(ConfigError, match=words):
            built(tmp_path, url="https://127.0.0.1:1", tls=tls)


def test_a_token_that_cannot_be_sent_is_told_early(tmp_path: Path) -> None:
    """A line break at the end of a token is found when it is declared, and is not repeated."""
    with pytest.raises(ConfigError, match="the header Authorization cannot be sent") as caught:
        built(tmp_path, url="http://127.0.0.1:1", auth={"bearer": "t0ken\n"})
    assert "t0ken" not in str(caught.value)


@pytest.mark.parametrize(
    "twice",
    [
        {"auth": {"bearer": "x"}, "headers": {"authorization": "y"}},
        {"tenant": "x", "headers": {"X-Scope-OrgId": "y"}},
        {"auth": {"bearer": "x", "basic": {"username": "u", "password": "p"}}},
    ],
)
def test_what_is_declared_twice_is_refused(twice: dict[str, Any]) -> None:
    """Of two ways to say who we are one would be dropped."""
    with pytest.raises(ValidationError):
        RemoteCollectorSettings.model_validate(
            {"type": "remote_collector", "url": "http://127.0.0.1:1", **twice}
        )


def test_a_page_that_fails_is_a_note(tmp_path: Path) -> None:
    """Of several pages one that cannot be read is noted; when none can, that is the failure."""
    with serving(always(PAGE)) as served:
        gone = "http://127.0.0.1:1/metrics"
        source = built(tmp_path, pages={"a": [f"{served.url}/metrics", gone]}, timeout="2s")
        probed = source.probe()
        source.close()
        assert len(probed.notes) == 1
        assert "127.0.0.1:1" in probed.notes[0]
        assert probed.latency >= 0
        source = built(tmp_path, pages={"a": gone}, timeout="2s")
        with pytest.raises(SourceError, match="Connection refused"):
            source.probe()
        source.close()
