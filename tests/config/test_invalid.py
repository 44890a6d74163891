"""A file for each thing that is refused, and beside it word for word what is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.kinds import KINDS
from validator.config import load_settings
from validator.errors import ConfigError
from validator.loader import load_suite

INVALID = Path(__file__).parent / "invalid"

ENVIRON = {
    "API_URL": "http://api.example",
    "API_KEY": "k3y-0f-the-api",
    "EMPTY": "",
}

GOOD = """\
targets:
  api:
    submit:
      http:
        url: http://api.example/jobs
        body: {url: "{{ job.url }}"}
        job_id: id
        follow:
          url: "http://api.example/jobs/{{ job.id }}"
          status: status
          done: [done]
          fields: {pages: pages}
sources:
  collector: {type: collector}
"""


def said(path: Path, folder: Path) -> str:
    """Return what loading the file says."""
    good = folder / "obs-validator.yaml"
    good.write_text(GOOD)
    settings = load_settings(good, ENVIRON)
    if path.name.startswith("config-"):
        with pytest.raises(ConfigError) as caught:
            load_settings(path, ENVIRON)
    else:
        with pytest.raises(ConfigError) as caught:
            load_suite(path, settings, KINDS)
    text = str(caught.value).replace(f"{path.parent}/", "").replace(f"{folder}/", "")
    return text + "\n"


@pytest.mark.req("R-02")
@pytest.mark.parametrize("path", sorted(INVALID.glob("*.yaml")), ids=lambda path: path.stem)
def test_it_is_refused_with_this_message(path: Path, tmp_path: Path) -> None:
    """File, line, what was found, what is allowed, and the nearest known word."""
    assert said(path, tmp_path) == path.with_suffix(".txt").read_text()


def test_every_message_has_its_file() -> None:
    """No expected message is left without the file that brings it about."""
    stems = {path.stem for path in INVALID.glob("*.txt")}
    assert stems == {path.stem for path in INVALID.glob("*.yaml")}
    assert len(stems) > 100
