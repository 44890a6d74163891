"""compose.yaml, as far as it can be held to something without a container engine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.host.layout import PAGES
from stack import targets
from stack.servers import CONFIG, SERVERS
from stack.state import Up

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "stack" / "compose.yaml"
OURS = ("pipeline", "validator")


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the services as podman-compose understands them.

    It asks podman for its version and nothing else, so a word of it is enough.
    """
    folder = tmp_path_factory.mktemp("bin")
    (folder / "podman").write_text("#!/bin/sh\necho podman version 4.3.1\n")
    (folder / "podman").chmod(0o755)
    done = subprocess.run(
        [Path(sys.executable).with_name("podman-compose"), "--file", FILE, "config"],
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = yaml.safe_load(done.stdout)["services"]
    return found


def test_all_of_the_stack_is_there_with_exact_tags(services: dict[str, Any]) -> None:
    """Tempo, Loki, Prometheus, Alertmanager, Grafana, the pipeline behind nginx, the validator."""
    backends = {"tempo", "loki", "prometheus", "alertmanager", "grafana", "edge"}
    assert set(services) == backends | set(OURS)
    for name in backends:
        image = services[name]["image"]
        assert re.fullmatch(r"docker\.io/[a-z]+/[a-z]+:v?\d+\.\d+\.\d+", image), image
    for name in OURS:
        assert services[name]["build"]["target"] == name


def test_the_versions_are_those_that_are_built_natively(services: dict[str, Any]) -> None:
    """What make stack builds as a Go module is what compose pulls."""
    go_mod = (ROOT / "stack" / "go" / "loki" / "go.mod").read_text()
    version = re.search(r"^require \S+ v(\S+)$", go_mod, re.MULTILINE)
    assert version
    assert services["loki"]["image"].endswith(f":{version[1]}")


def test_each_is_bounded_and_has_no_more_rights_than_it_needs(services: dict[str, Any]) -> None:
    """A memory limit, a read-only root, no capabilities, and ports on the loopback alone."""
    for name, service in services.items():
        assert service["mem_limit"], name
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["networks"], name
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), name
        # Over a folder of the image Podman would put its owner and mode, and nobody could write.
        paths = {one.partition(":")[0] for one in service["tmpfs"]}
        assert paths <= {"/data", "/tmp"}, name  # noqa: S108 - in a container of its own
        check = service["healthcheck"]
        assert check.get("disable") or check["test"][0] == "CMD", name


def test_nobody_waits_for_what_has_no_health(services: dict[str, Any]) -> None:
    """Each dependency is there and can become healthy."""
    for service in services.values():
        for name, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            assert "test" in services[name]["healthcheck"]


def test_every_mounted_file_exists(services: dict[str, Any]) -> None:
    """A mount of what does not exist would be an empty folder, made by root."""
    mounted = 0
    for service in services.values():
        for volume in service.get("volumes", ()):
            source, target, mode = volume.split(":")
            assert (FILE.parent / source).exists(), source
            assert target.startswith("/")
            assert mode == "ro"
            mounted += 1
    assert mounted >= len(services) - 1


def test_what_is_named_in_the_environment_is_a_service_and_one_of_its_ports(
    services: dict[str, Any],
) -> None:
    """An address names a service and a port that it has, by default or by its own variables."""
    ports = {server.name: set(server.ports.values()) for server in SERVERS}
    environment = services["pipeline"]["environment"]
    ports["pipeline"] = {
        int(value) for name, value in environment.items() if name.endswith("_PORT")
    }
    assert len(ports["pipeline"]) == 8
    edge = (CONFIG / "nginx.conf").read_text()
    ports["edge"] = {int(port) for port in re.findall(r"listen (\d+);", edge)}
    (upstream,) = re.findall(r"proxy_pass http://pipeline:(\d+);", edge)
    assert upstream == environment["PIPELINE_ORCHESTRATOR_PORT"]
    named = 0
    for service in services.values():
        for value in service.get("environment", {}).values():
            found = re.match(r"http://([a-z]+):(\d+)", str(value))
            if found:
                assert int(found[2]) in ports[found[1]], value
                named += 1
    assert named >= 10
    site = services["validator"]["environment"]["PIPELINE_SITE_URL"]
    assert site == f"http://127.0.0.1:{environment['PIPELINE_SITE_PORT']}"
    assert PAGES


def test_the_targets_are_those_that_are_written_natively(services: dict[str, Any]) -> None:
    """The same labels for the same processes; only the addresses are others."""
    environment = services["pipeline"]["environment"]
    names = {
        "orchestrator": "orchestrator",
        "scraper": "scraper",
        "chunking": "chunking",
        "embedding-api": "embedding-api",
        "search": "search",
        "scraper-worker": "scraper",
        "embedding-worker": "embedding-api",
    }
    description = {
        "services": {
            name: {
                "service_name": service,
                "metrics_url": "http://pipeline:{}/metrics".format(
                    environment[f"PIPELINE_{name.upper().replace('-', '_')}_PORT"]
                ),
            }
            for name, service in names.items()
        }
    }
    assert _targets("pipeline") == targets.of_pipeline(description)
    servers = {
        server.name: Up(f"http://{server.name}:{server.ports['http']}", None, {})
        for server in SERVERS
        if server.name in services
    }
    assert _targets("stack") == targets.of_servers(servers)
    assert _targets("alertmanager") == targets.of_alertmanager(servers)


def _targets(name: str) -> Any:
    return json.loads((CONFIG / "targets" / f"{name}.json").read_text())
