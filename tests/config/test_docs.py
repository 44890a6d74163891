"""The references tell of every key, and their examples load."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from checks import CHECKS
from tests.config.examples import ENVIRON, settings_in
from tests.config.kinds import KINDS
from validator.config import ConfigFile, load_settings
from validator.config_checks import CheckItem
from validator.config_sources import (
    AlertmanagerSettings,
    Auth,
    BasicAuth,
    CollectorSettings,
    Connection,
    ControlSettings,
    GrafanaSettings,
    JaegerSettings,
    LokiSettings,
    PrometheusSettings,
    RemoteCollectorSettings,
    ScrapeSettings,
    TempoSettings,
    Tls,
)
from validator.config_targets import Follow, HttpSubmit, LeaseSettings, TargetSettings
from validator.config_values import Strict
from validator.loader import SuiteFile, load_suite

DOCS = Path(__file__).parents[2] / "docs"


def example(page: str) -> str:
    """Return the first example of a page."""
    found = re.search(r"```yaml\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    assert found
    return found[1]


@pytest.mark.parametrize(
    ("page", "model"),
    [
        ("configuration.md", ConfigFile),
        ("configuration.md", TargetSettings),
        ("configuration.md", HttpSubmit),
        ("configuration.md", Follow),
        ("configuration.md", LeaseSettings),
        ("configuration.md", CollectorSettings),
        ("configuration.md", RemoteCollectorSettings),
        ("configuration.md", ScrapeSettings),
        ("configuration.md", TempoSettings),
        ("configuration.md", JaegerSettings),
        ("configuration.md", ControlSettings),
        ("configuration.md", PrometheusSettings),
        ("configuration.md", AlertmanagerSettings),
        ("configuration.md", GrafanaSettings),
        ("configuration.md", LokiSettings),
        ("configuration.md", Connection),
        ("configuration.md", Auth),
        ("configuration.md", BasicAuth),
        ("configuration.md", Tls),
        ("suites.md", SuiteFile),
        ("suites.md", CheckItem),
    ],
)
def test_every_key_is_told_of(page: str, model: type[Strict]) -> None:
    """A key that is taken stands in the reference, as code."""
    text = (DOCS / page).read_text()
    assert [key for key in model.model_fields if f"`{key}`" not in text] == []


def test_the_configurations_example_loads(tmp_path: Path) -> None:
    """It can be copied."""
    path = tmp_path / "obs-validator.yaml"
    path.write_text(example("configuration.md"))
    assert load_settings(path, ENVIRON).targets.keys() == {"pipeline"}


def test_the_suites_example_loads(tmp_path: Path) -> None:
    """It can be copied, with the kinds of check that it names."""
    path = tmp_path / "suite.yaml"
    path.write_text(example("suites.md"))
    kinds = {"job_outcome": KINDS["at_most"], **CHECKS}
    assert len(load_suite(path, settings_in(tmp_path), kinds).checks) == 2
