"""Every file of stack/config is accepted by the program whose it is, where that is there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack import golang
from stack.servers import CONFIG, SERVERS

_HOW_SOON = {"TEMPO_TRACE_IDLE", "TEMPO_FLUSH_PERIOD", "TEMPO_BLOCK_DURATION"}
"""What the benchmarks set otherwise, and is no port and no path."""


def _program(name: str) -> str:
    """Return a program that is on PATH or has been built before; else the test is left out."""
    built = {"loki": golang.loki().path}.get(name)
    found = shutil.which(name) or (str(built) if built and built.exists() else None)
    if found is None:
        pytest.skip(f"there is no {name} on this machine")
    return found


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("promtool", ["check", "config", "prometheus.yaml"]),
        ("amtool", ["check-config", "alertmanager.yaml"]),
        ("loki", ["-verify-config", "-config.expand-env=true", "-config.file=loki.yaml"]),
        ("tempo", ["-config.verify=true", "-config.expand-env=true", "-config.file=tempo.yaml"]),
    ],
)
@pytest.mark.parametrize("compose", [False, True], ids=["native", "compose"])
def test_its_program_accepts_it(
    program: str, arguments: list[str], compose: bool, tmp_path: Path
) -> None:
    """As it stands, and with the variables that compose.yaml sets."""
    variables = {"STACK_LISTEN": "0.0.0.0"} if compose else {}  # noqa: S104 - only verified
    data = {"LOKI_DATA": str(tmp_path), "TEMPO_DATA": str(tmp_path)}
    done = subprocess.run(
        [_program(program), *arguments],
        cwd=CONFIG,
        env={**os.environ, **data, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "WARNING" not in said


@pytest.mark.parametrize("name", ["loki", "tempo"])
def test_every_port_and_path_can_be_put_in(name: str) -> None:
    """No number of a port and no path stands there but as a default."""
    text = (CONFIG / f"{name}.yaml").read_text()
    server = next(one for one in SERVERS if one.name == name)
    ports = dict.fromkeys(server.ports, 1)
    named = set(re.findall(r"\$\{([A-Z_]+):-", text))
    assert named - {"STACK_LISTEN", *_HOW_SOON} == set(server.variables(ports, CONFIG))
    bare = re.sub(r"\$\{[^}]*\}", "", text)
    assert not re.search(r":\s*\d{4,5}\b(?!-)", bare)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("loki", ("analytics", "reporting_enabled")),
        ("tempo", ("usage_report", "reporting_enabled")),
    ],
)
def test_nothing_is_reported_home(name: str, keys: tuple[str, ...]) -> None:
    """Both count their users unless they are told not to."""
    value: Any = yaml.safe_load((CONFIG / f"{name}.yaml").read_text())
    for key in keys:
        value = value[key]
    assert value is False


def test_grafana_has_every_backend_as_a_data_source() -> None:
    """By the uids that others refer to."""
    folder = CONFIG / "grafana" / "provisioning" / "datasources"
    sources = yaml.safe_load((folder / "stack.yaml").read_text())["datasources"]
    assert {(one["uid"], one["type"]) for one in sources} == {
        (name, name) for name in ("tempo", "loki", "prometheus", "alertmanager")
    }
    referred = set(re.findall(r"datasourceUid: (\w+)", (folder / "stack.yaml").read_text()))
    assert referred <= {one["uid"] for one in sources}
