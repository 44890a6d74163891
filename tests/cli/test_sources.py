"""`obs-validator sources` from outside: its table, its JSON, its codes, and no secret in any."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import jsonschema
import pytest

from tests.cli.transcripts import run
from tests.sources.servers import Canned, always, serving
from validator.report.sources import sources_schema

CONFIG = """\
targets:
  api: {{submit: {{http: {{url: "http://127.0.0.1:9/jobs", job_id: id}}}}}}
sources:
  one: {{type: collector, http: "127.0.0.1:0", grpc: null}}
  two:
    type: scrape
    pages: {{api: "{url}/metrics?token=s3cret-query"}}
    headers: {{X-API-Key: "s3cret-header"}}
    auth: {{bearer: "${{SECRET_TOKEN}}"}}
    timeout: 2s
  three:
    type: remote_collector
    url: "http://me:s3cret-userinfo@{gone}/base/"
    auth: {{basic: {{username: me, password: s3cret-basic}}}}
    proxy: "http://me:s3cret-proxy@{gone}"
"""
SECRETS = ("s3cret-query", "s3cret-header", "s3cret-token", "s3cret-userinfo", "s3cret-basic")
PAGE = Canned(body=b"# TYPE up gauge\nup 1\n", media="text/plain; version=0.0.4")
REPEATS = " ".join((*SECRETS, "s3cret-proxy")).encode()


def said(folder: Path, canned: Canned, monkeypatch: pytest.MonkeyPatch, *options: str) -> str:
    """Return what the command says, with its code in front."""
    monkeypatch.setenv("SECRET_TOKEN", "s3cret-token")
    with socket.create_server(("127.0.0.1", 0)) as free:
        gone = f"127.0.0.1:{free.getsockname()[1]}"
    with serving(always(canned)) as served:
        (folder / "obs-validator.yaml").write_text(CONFIG.format(url=served.url, gone=gone))
        code, text = run(folder, "sources", *options)
    return f"{code}\n{text}"


@pytest.mark.process
@pytest.mark.req("V-13")
def test_the_table_names_each_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sources stand in the order of the configuration, with what to do about a failure."""
    text = said(tmp_path, PAGE, monkeypatch)
    code, head, one, two, three, *rest = text.splitlines()
    assert code == "3"
    assert head.split("  ")[0] == "source"
    assert one.startswith("one     collector         good            ")
    assert two.startswith("two     scrape            good            ")
    assert three.startswith("three   remote_collector  cannot connect  ")
    assert "\nthree: cannot connect: the proxy http://127.0.0.1" in text
    assert "Connection refused" in text
    assert "  what to do: look at `url`, `tls` and `proxy`, and whether it runs" in rest
    assert rest[-1].startswith("2 of 3 sources good: ")
    assert "s3cret" not in text


@pytest.mark.process
@pytest.mark.req("V-13")
@pytest.mark.parametrize("format_", ["console", "json"])
@pytest.mark.parametrize(
    "canned",
    [
        Canned(401, REPEATS, "text/plain"),
        Canned(500, REPEATS, "application/json"),
        Canned(body=b"no page " + REPEATS, media="text/plain"),
        Canned(302, headers={"Location": "http://u:s3cret-token@x.example/?k=s3cret-query"}),
    ],
)
def test_no_secret_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, canned: Canned, format_: str
) -> None:
    """Whatever a server repeats of what it was sent, nobody reads it here."""
    text = said(tmp_path, canned, monkeypatch, "--format", format_)
    assert text.startswith("3\n")
    assert "s3cret" not in text


@pytest.mark.process
def test_json_fits_its_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The JSON form is what `obs-validator schema sources` publishes."""
    text = said(tmp_path, PAGE, monkeypatch, "-f", "json").partition("\n")[2]
    code, schema = run(tmp_path, "schema", "sources")
    assert (code, json.loads(schema)) == (0, sources_schema())
    jsonschema.Draft202012Validator.check_schema(sources_schema())
    document = json.loads(text)
    jsonschema.Draft202012Validator(sources_schema()).validate(document)
    assert [one["name"] for one in document["sources"]] == ["one", "two", "three"]
    assert [one["good"] for one in document["sources"]] == [True, True, False]
    assert set(document["sources"][0]["lag"]) == {"traces", "logs"}
