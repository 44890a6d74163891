"""What a configuration becomes, and that its secrets stay where they are."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

import pytest
from pydantic import ValidationError

from tests.config.examples import ENVIRON, FULL, settings_in
from validator.config import environment, load_settings
from validator.config_env import without_userinfo
from validator.config_sources import CollectorSettings, RemoteCollectorSettings, ScrapeSettings
from validator.errors import ConfigError

KEY = ENVIRON["PIPELINE_VALIDATOR_KEY"]

SMALL = """\
targets: {t: {submit: {http: {url: "http://a/x", job_id: id%s}}}}
sources: {c: {type: collector}}
"""


def test_everything_that_is_written_is_there(tmp_path: Path) -> None:
    """Each key of the full example reaches the settings, in seconds and types."""
    settings = settings_in(tmp_path)
    target = settings.targets["pipeline"]
    assert target.submit is not None
    http = target.submit.http
    assert http.url == "http://127.0.0.1:8001/jobs"
    assert http.headers["X-API-Key"].get_secret_value() == KEY
    assert (http.expect, http.job_id, http.timeout) == ((202,), "job_id", 10.0)
    assert http.follow is not None
    assert (http.follow.every, http.follow.done, http.follow.failed) == (
        0.1,
        ("done",),
        ("failed",),
    )
    assert http.follow.fields == {"failed_stage": "failed_stage", "error_code": "error.code"}
    assert [request.expect for request in http.then] == [(200,)]
    assert http.clean_up is not None
    assert http.clean_up.method == "DELETE"
    assert settings.targets["watched"].trace_id_header == "X-Trace-Id"
    assert settings.suites == ("suites/*.yaml",)
    assert settings.privacy.allow_attributes == ("job.id", "job.stage")
    assert settings.directory == tmp_path


def test_sources_have_their_own_types(tmp_path: Path) -> None:
    """`type` says which class a source is; one page is a list of one."""
    sources = settings_in(tmp_path).sources
    collector, remote, metrics = (sources[name] for name in ("collector", "remote", "metrics"))
    assert isinstance(collector, CollectorSettings)
    assert (collector.http, collector.grpc, collector.lag_budget) == ("127.0.0.1:0", None, 7.0)
    assert isinstance(remote, RemoteCollectorSettings)
    assert remote.lag_budget == 3.0
    assert isinstance(metrics, ScrapeSettings)
    # Ours tells of changes and is asked at each; others are spared.
    assert (remote.rate_limit, metrics.rate_limit) == (200.0, 20.0)
    assert metrics.pages["orchestrator"] == ("http://127.0.0.1:1/metrics",)
    assert metrics.pages["scraper"] == ("http://a/m", "http://b/m")


def test_what_is_left_out_has_the_documented_defaults(tmp_path: Path) -> None:
    """The smallest configuration is complete."""
    settings = settings_in(tmp_path, SMALL % "")
    target = settings.targets["t"]
    assert target.submit is not None
    http = target.submit.http
    assert (http.method, http.timeout, http.expect, http.then) == ("POST", 10.0, (), ())
    assert (target.trace_context, target.job_id_keys, target.sampling, target.baggage) == (
        "adopt",
        ("job.id",),
        "all",
        True,
    )
    assert settings.suites == ("suites/*.yaml",)
    source = settings.sources["c"]
    assert isinstance(source, CollectorSettings)
    assert (source.http, source.grpc, source.timeout) == ("127.0.0.1:4318", "127.0.0.1:4317", 5.0)


def test_settings_are_frozen(tmp_path: Path) -> None:
    """Nobody changes the configuration after it was read."""
    settings = settings_in(tmp_path)
    with pytest.raises(AttributeError):
        settings.suites = ()  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        settings.targets["pipeline"].sampling = "ratio"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("500ms", 0.5), ("60s", 60.0), ("2m", 120.0), ("1h", 3600.0), ("1.5s", 1.5)],
)
def test_durations_carry_their_unit(tmp_path: Path, written: str, seconds: float) -> None:
    """Every unit is taken for what it is."""
    target = settings_in(tmp_path, SMALL % f", timeout: {written}").targets["t"]
    assert target.submit is not None
    assert target.submit.http.timeout == seconds


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("${SITE_URL}", "http://127.0.0.1:8009"),
        ("a ${NOT_SET:-b c} d", "a b c d"),
        ("${SITE_URL:-b}", "http://127.0.0.1:8009"),
        ("[${NOT_SET:-}]", "[]"),
        ("$${SITE_URL}", "${SITE_URL}"),
        ("costs 5$ or $x", "costs 5$ or $x"),
    ],
)
def test_variables_are_put_in(tmp_path: Path, written: str, value: str) -> None:
    """Set, with a default, with an empty default, escaped, and what is no variable."""
    target = settings_in(tmp_path, SMALL % f', text: "{written}"').targets["t"]
    assert target.submit is not None
    assert target.submit.http.text == value


def test_no_secret_is_shown(tmp_path: Path) -> None:
    """Neither the settings' repr nor a redacted text has the key, however it is escaped."""
    settings = settings_in(tmp_path)
    assert KEY not in repr(settings)
    for form in (KEY, quote(KEY, safe=""), quote(KEY), f'"{KEY}"'):
        redacted = settings.redact(f"it said {form}!")
        assert form not in redacted
        assert "[redacted]" in redacted


def test_what_is_no_secret_stays_readable(tmp_path: Path) -> None:
    """Addresses from the environment, and harmless headers, are not blanked out."""
    settings = settings_in(tmp_path)
    text = "http://127.0.0.1:8001/jobs does not answer application/json"
    assert settings.redact(text) == text


def test_a_secret_that_is_written_out_is_redacted_too(tmp_path: Path) -> None:
    """The header's value counts, not only where it came from; a password in an address also."""
    settings = settings_in(tmp_path, SMALL % ", headers: {X-Key: hunter22}")
    assert settings.redact("key hunter22") == "key [redacted]"
    assert settings.redact("http://me:pass@host/x") == "http://[redacted]@host/x"


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("HOOK_URL", "https://hooks.example/services/T0/B0", True),
        ("DATABASE", "postgres://me:pw@db/x", True),
        ("WORD", "correct horse", True),
        ("LINK", "http://[broken", True),
        ("SITE", "http://bob:pw/1@host", True),
        ("SITE", "http://host:80/@bob", False),
        ("API_TOKEN", "12345678", True),
        ("SITE", "http://127.0.0.1:80/a", False),
        ("COUNT", "12345678", False),
        ("WAIT", "1000ms", False),
        ("HOST", "db.internal:5432", False),
        ("API_TOKEN", "abc", False),
    ],
)
def test_what_comes_from_the_environment_is_secret_unless_it_plainly_is_not(
    tmp_path: Path, name: str, value: str, secret: bool
) -> None:
    """A forgotten name leaks no key, and addresses stay readable."""
    path = tmp_path / "c.yaml"
    path.write_text(SMALL % f', text: "${{{name}}}"')
    settings = load_settings(path, {name: value})
    assert settings.redact(f"<{value}>") == ("<[redacted]>" if secret else f"<{value}>")


@pytest.mark.req("R-02")
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("http://me:p@ss@host/x", "http://[redacted]@host/x"),
        ("http://me:s3cret/1@host/x", "http://[redacted]@host/x"),
        ("'http://me:s3c?1#2@host' and you@host", "'http://[redacted]@host' and you@host"),
        ("http://host:8001/@me?to=you@host", "http://host:8001/@me?to=you@host"),
        ("http://[::1]:8001/@me", "http://[::1]:8001/@me"),
        ("http://host:8001 of you@host", "http://host:8001 of you@host"),
    ],
)
def test_passwords_of_addresses_are_redacted_also_of_wrong_ones(text: str, told: str) -> None:
    """What stands where a port would, and is none, is a password; paths may have an @."""
    assert without_userinfo(text) == told


def test_errors_hold_no_secret(tmp_path: Path) -> None:
    """A value of the environment that does not fit is named, not shown."""
    text = FULL.replace("job_id: job_id", 'job_id: "${PIPELINE_VALIDATOR_KEY}["')
    with pytest.raises(ConfigError) as caught:
        settings_in(tmp_path, text)
    assert KEY not in str(caught.value)
    assert '"${PIPELINE_VALIDATOR_KEY}["' in str(caught.value)


def test_an_address_of_the_environment_that_is_none_is_not_told(tmp_path: Path) -> None:
    """Nor is the part of its password that was taken for a port."""
    path = tmp_path / "c.yaml"
    path.write_text(SMALL.replace("http://a/x", "${SITE}") % "")
    with pytest.raises(ConfigError, match="percent-encode") as caught:
        load_settings(path, {"SITE": "http://bob:s3cretpw/1@host"})
    assert "s3cret" not in str(caught.value)


def test_a_secret_with_braces_is_no_template(tmp_path: Path) -> None:
    """What the environment holds is text, whatever it looks like."""
    path = tmp_path / "c.yaml"
    path.write_text(SMALL % ', headers: {X-Key: "${K}"}, text: "${K}"')
    settings = load_settings(path, {"K": "a{{ run.idd }}b"})
    assert settings.redact("is a{{ run.idd }}b") == "is [redacted]"


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """Missing, a folder, not UTF-8, too large: each in a line."""
    with pytest.raises(ConfigError, match=r"none.yaml: cannot be read: No such file"):
        load_settings(tmp_path / "none.yaml", {})
    with pytest.raises(ConfigError, match=r"cannot be read: Is a directory"):
        load_settings(tmp_path, {})
    path = tmp_path / "c.yaml"
    path.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(ConfigError, match=r"c.yaml:2: is not UTF-8 text"):
        load_settings(path, {})
    path.write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(ConfigError, match=r"larger than 1048576 bytes"):
        load_settings(path, {})


def test_the_environment_is_the_processs_own() -> None:
    """`environment` gives what the process was started with, as a copy."""
    found = environment()
    assert found == dict(os.environ)
    assert found is not os.environ
