"""The catalogue of switches, the settings, and the command line's refusals."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline import faults
from pipeline.cli import pipeline
from pipeline.host import layout
from pipeline.settings import Settings

_ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", faults.FAULTS)
def test_every_switch_changes_processes_that_exist(name: str) -> None:
    """A switch names real processes, and says what it is and how it happens."""
    fault = faults.FAULTS[name]
    assert fault.affects
    assert set(fault.affects) <= set(layout.ALL)
    assert fault.title
    assert fault.in_life


@pytest.mark.parametrize("name", faults.FAULTS)
def test_every_switch_is_documented(name: str) -> None:
    """The page about the pipeline names every switch."""
    assert f"`{name}`" in (_ROOT / "docs" / "pipeline.md").read_text()


def test_every_variable_is_documented() -> None:
    """The page about the pipeline names every variable that is read."""
    code = "".join(path.read_text() for path in (_ROOT / "pipeline").rglob("*.py"))
    read = set(re.findall(r"PIPELINE_[A-Z_]*[A-Z]", code))
    told = (_ROOT / "docs" / "pipeline.md").read_text().partition("\n## Settings\n")[2]
    whose = {f"PIPELINE_{key}_KEY" for key in ("USER", "VALIDATOR", "SERVICE")}
    where = {f"PIPELINE_{name.upper().replace('-', '_')}_URL" for name in layout.ALL}
    assert sorted(name for name in read - whose - where if f"`{name}`" not in told) == []


def test_a_service_gets_only_its_own_switches() -> None:
    """Switches of other services do not reach a process."""
    both = frozenset({faults.ATTRIBUTE_DROPPED, faults.SERVICE_SAMPLES_NOTHING})
    assert faults.of_service(both, "chunking") == {faults.SERVICE_SAMPLES_NOTHING}
    assert faults.affected(both) == {"scraper-worker", "chunking"}


@pytest.mark.parametrize("command", ["break", "mend"])
def test_unknown_switch_is_refused_with_the_nearest_name(command: str, tmp_path: Path) -> None:
    """A misspelt switch is a bad usage, and the nearest known one is named."""
    arguments = [command, "atribute-droped", "--state-dir", str(tmp_path)]
    result = CliRunner().invoke(pipeline, arguments)
    assert result.exit_code == 2
    assert "did you mean attribute-dropped?" in result.output


@pytest.mark.parametrize(
    "arguments", [["status"], ["down"], ["mend"], ["break", "attribute-dropped"]]
)
def test_commands_without_a_pipeline_say_so(arguments: list[str], tmp_path: Path) -> None:
    """Where nothing runs, every command ends with 1 and says in which directory it looked."""
    result = CliRunner().invoke(pipeline, [*arguments, "--state-dir", str(tmp_path)])
    assert result.exit_code == 1
    assert f"no pipeline is running in {tmp_path}" in result.output


def test_switches_are_listed() -> None:
    """The command line lists every switch."""
    output = CliRunner().invoke(pipeline, ["switches"]).output
    assert all(name in output for name in faults.FAULTS)


def test_settings_name_what_is_missing_or_wrong() -> None:
    """A missing or senseless variable is told by its name."""
    settings = Settings(name="chunking", env={"PIPELINE_HOPS": "both", "PIPELINE_WAIT": "long"})
    with pytest.raises(LookupError, match="PIPELINE_BROKER_URL"):
        settings.need("PIPELINE_BROKER_URL")
    with pytest.raises(LookupError, match="PIPELINE_HOPS is 'both': it is parent or link"):
        _ = settings.hops_are_links
    with pytest.raises(LookupError, match="PIPELINE_WAIT is 'long'"):
        settings.number("PIPELINE_WAIT", 1)
