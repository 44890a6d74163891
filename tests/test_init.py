"""What `init` writes can be run as it is, and nothing is overwritten unasked."""

from __future__ import annotations

from pathlib import Path

import pytest

from checks import CHECKS
from tests.config.kinds import KINDS
from validator.config import load_settings
from validator.config_sources import ScrapeSettings
from validator.errors import ConfigError
from validator.init import InitAnswers, write_project
from validator.loader import load_suites

STANDING_IN = {"job_outcome": KINDS["at_most"], "connected_trace": KINDS["at_most"]}
ALL = {**STANDING_IN, **CHECKS}

FULL = InitAnswers(
    url="https://api.example/v1/jobs",
    body=(
        '{"url": "https://site.example/\U0001f600: \\"b\\" #c", "depth": 2, "id": "x", '
        '"a-b": [1], "n": null}'
    ),
    job_id="data.job.id",
    status_url="https://api.example/v1/jobs/{{ job.id }}",
    status="data.state",
    done=["done", "yes"],
    failed=["failed", "3"],
    key_header="X-API-Key",
    key_variable="MY_KEY",
    clean_up_url="https://api.example/v1/jobs/{{ job.id }}",
    services=["api", "worker: 1"],
    metrics={"api": "http://127.0.0.1:8000/metrics"},
)

SMALL = InitAnswers(url="http://127.0.0.1:8000/run")


@pytest.mark.parametrize("answers", [FULL, SMALL], ids=["full", "small"])
def test_what_is_written_loads(answers: InitAnswers, tmp_path: Path) -> None:
    """Configuration and suite are taken as they are, and have comments to go on from."""
    answers = answers if CHECKS.keys() >= STANDING_IN.keys() else _without_services(answers)
    config, suite = write_project(answers, tmp_path, kinds=ALL)
    settings = load_settings(config, {"MY_KEY": "s3cr3t-key"})
    suites = load_suites(settings, ALL)
    assert [one.name for one in suites] == ["first"]
    assert config == tmp_path / "obs-validator.yaml"
    assert suite == tmp_path / "suites" / "first.yaml"
    for path in (config, suite):
        assert sum(line.lstrip().startswith("#") for line in path.read_text().splitlines()) > 1


def _without_services(answers: InitAnswers) -> InitAnswers:
    """Return answers that need no kind that is not there yet."""
    return InitAnswers(
        **{
            name: getattr(answers, name)
            for name in InitAnswers.__dataclass_fields__
            if name != "services"
        }
    )


def test_every_answer_arrives(tmp_path: Path) -> None:
    """Awkward characters included; the job's values stand in the suite, where they are changed."""
    config, _ = write_project(_without_services(FULL), tmp_path, kinds=ALL)
    settings = load_settings(config, {"MY_KEY": "s3cr3t-key"})
    target = settings.targets["api"]
    assert target.submit is not None
    http = target.submit.http
    assert (http.url, http.method, http.job_id) == (FULL.url, "POST", "data.job.id")
    assert http.headers["X-API-Key"].get_secret_value() == "s3cr3t-key"
    assert http.body == {
        "url": "{{ job.url }}",
        "depth": "{{ job.depth }}",
        "id": "x",
        "a-b": [1],
        "n": None,
    }
    assert http.follow is not None
    assert (http.follow.status, http.follow.done) == ("data.state", ("done", "yes"))
    assert http.follow.failed == ("failed", "3")
    assert http.clean_up is not None
    assert http.clean_up.headers["X-API-Key"].get_secret_value() == "s3cr3t-key"
    metrics = settings.sources["metrics"]
    assert isinstance(metrics, ScrapeSettings)
    assert metrics.pages == {"api": ("http://127.0.0.1:8000/metrics",)}
    suite = load_suites(settings, ALL)[0]
    assert suite.job == {"url": 'https://site.example/\U0001f600: "b" #c', "depth": 2}


def test_the_services_are_those_of_the_trace(tmp_path: Path) -> None:
    """Services that were named are required in the first suite."""
    config, _ = write_project(FULL, tmp_path, kinds=ALL)
    suite = load_suites(load_settings(config, {"MY_KEY": "s3cr3t-key"}), ALL)[0]
    params = [one.params for one in suite.checks if one.kind == "connected_trace"]
    assert params == [{"services": ["api", "worker: 1"], "edges": ["api ->> worker: 1"]}]


def test_nothing_is_overwritten_without_force(tmp_path: Path) -> None:
    """One file that is there keeps both as they are; `force` replaces them."""
    (tmp_path / "suites").mkdir()
    mine = tmp_path / "suites" / "first.yaml"
    mine.write_text("mine")
    with pytest.raises(ConfigError, match=r"suites/first.yaml would be overwritten; --force"):
        write_project(SMALL, tmp_path, kinds=ALL)
    assert mine.read_text() == "mine"
    assert not (tmp_path / "obs-validator.yaml").exists()
    write_project(SMALL, tmp_path, force=True, kinds=ALL)
    assert mine.read_text() != "mine"


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (InitAnswers(url="api.example"), r"no configuration:\nobs-validator.yaml:\d+: .*http://"),
        (InitAnswers(url="http://a", body="{url"), "the body is not JSON"),
        (InitAnswers(url="http://a", method="SEND"), "unknown word"),
        (InitAnswers(url="http://a", job_id="a["), "is not a JMESPath"),
        (InitAnswers(url="http://a", status_url="http://a", done=()), "done: must not be empty"),
    ],
)
def test_answers_that_make_no_configuration_are_refused(
    answers: InitAnswers, said: str, tmp_path: Path
) -> None:
    """The loader's words are told, and nothing is written."""
    with pytest.raises(ConfigError, match=said):
        write_project(answers, tmp_path, kinds=ALL)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A file where a folder is needed ends in a line."""
    (tmp_path / "suites").write_text("a file")
    with pytest.raises(ConfigError, match=r"first.yaml: cannot be written"):
        write_project(SMALL, tmp_path, kinds=ALL)
